"""Graders that ask models, in evals, in multi, and by themselves; and what bad judges do to a row."""

import openai
import pytest

from evals import inline_source, wait

CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
RATE = [{"role": "user", "content": "Rate this: {{sample.output_text}} score {{item.score}}"}]
SCORE = {"type": "score_model", "name": "quality", "model": "judge", "input": RATE, "range": [0, 10]}
LABEL = {
    "type": "label_model",
    "name": "tone",
    "model": "judge",
    "labels": ["kind", "rude"],
    "passing_labels": ["kind"],
    "input": [{"role": "user", "content": "The tone of this: {{sample.output_text}}"}],
}
COSINE = {
    "type": "text_similarity",
    "name": "close",
    "evaluation_metric": "cosine",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
    "pass_threshold": 0.9,
}


def graded(client, criterion, *content):
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[criterion])
    run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source(list(content))), 90)
    items = client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=100)
    return run, [item.to_dict(warnings=False)["results"][0] for item in items]


def row(text, **item):
    return {"item": item, "sample": {"output_text": text}}


@pytest.mark.parametrize("vendor", ["", "both/"])
def test_a_score_model_gives_its_score_and_passes_from_the_middle_of_its_range(client, vendor):
    criterion = SCORE | {"model": f"{vendor}judge"}
    run, results = graded(client, criterion, row("a", score=7), row("b", score=3), row("c", score=25))
    assert [(result["score"], result["passed"]) for result in results] == [(7, True), (3, False), (10, True)]
    assert run.per_model_usage[0].model_name == f"{vendor}judge-001"
    assert run.per_model_usage[0].invocation_count == 3
    call = results[0]["sample"]
    assert call["input"][0]["content"].startswith("Rate this: a score 7")
    assert call["output"][0]["role"] == "assistant"
    assert call["usage"]["total_tokens"] > 0
    assert call["max_completions_tokens"] == 4096


def test_a_label_model_chooses_one_of_its_labels(client):
    _, results = graded(client, LABEL, row("so kind"), row("how rude"))
    assert [(result["label"], result["passed"], result["score"]) for result in results] == [
        ("kind", True, 1.0),
        ("rude", False, 0.0),
    ]


@pytest.mark.parametrize("answer", ['{"steps": [], "result": 7}', "All in all it deserves 7", "Score: 7/10"])
@pytest.mark.parametrize("refused", ["", "@no=response_format"])
def test_an_endpoint_without_json_schema_is_asked_in_words(client, answer, refused):
    _, results = graded(client, SCORE | {"model": f"plain/say={answer}{refused}"}, row("a", score=1))
    assert (results[0]["score"], results[0]["passed"]) == (7.0, True)
    assert "0 to 10" in results[0]["sample"]["input"][0]["content"]


def test_an_endpoint_that_refuses_the_schema_is_asked_in_words(client):
    _, results = graded(client, SCORE | {"model": "say=7@no=response_format"}, row("a", score=1), row("b", score=1))
    assert [result["score"] for result in results] == [7.0, 7.0]


def test_cosine_asks_the_embedding_model(client):
    _, results = graded(client, COSINE, row("same", reference="same"), row("same", reference="quite another"))
    assert results[0]["score"] == pytest.approx(1.0)
    assert results[0]["passed"]
    assert results[1]["score"] < 0.9


def test_multi_combines_judges_and_checks(client):
    check = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}", "reference": "good"}
    multi = {
        "type": "multi",
        "name": "both",
        "graders": {"judge": SCORE, "check": check, "label": LABEL},
        "calculate_output": "0.1 * judge + check + label",
        "pass_threshold": 2.5,
    }
    _, results = graded(client, multi, row("good and kind", score=8))
    assert results[0]["score"] == pytest.approx(2.8)
    assert results[0]["sub_scores"] == {"judge": 8.0, "check": 1.0, "label": 1.0}


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("refusal", "model_grader_refusal_error"),
        ("filtered", "model_grader_refusal_error"),
        ("say=no idea", "model_grader_parse_error"),
        ("truncated", "truncated_observation_error"),
        ("judge@401", "model_grader_server_error"),
    ],
)
def test_each_way_to_fail_sets_its_own_flag(client, model, kind):
    grader = SCORE | {"model": model}
    answer = client.fine_tuning.alpha.graders.run(grader=grader, model_sample="text", item={"score": 5})
    errors = answer.metadata.to_dict(warnings=False)["errors"]
    assert answer.reward == 0.0
    assert [flag for flag, raised in errors.items() if raised is True] == [kind]
    run, [result] = graded(client, grader, row("text", score=5))
    assert (run.result_counts.errored, result["error"]["code"]) == (1, kind)


def test_a_grader_by_itself_answers_with_reward_and_tokens(client):
    answer = client.fine_tuning.alpha.graders.run(grader=SCORE, model_sample="text", item={"score": 6})
    facts = answer.to_dict(warnings=False)
    assert facts["reward"] == 6.0
    assert facts["metadata"]["sampled_model_name"] == "judge-001"
    assert facts["metadata"]["token_usage"]["total_tokens"] > 0
    assert facts["model_grader_token_usage_per_model"]["judge-001"] == facts["metadata"]["token_usage"]


def test_a_judge_that_the_server_does_not_know_is_refused_when_the_run_is_made(tmp_path):
    from servers import serving

    with serving(tmp_path / "data") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SCORE])
        with pytest.raises(openai.BadRequestError) as refused:
            client.evals.runs.create(eval_.id, data_source=inline_source([row("a", score=1)]))
        assert (refused.value.param, refused.value.code) == ("testing_criteria[0].model", "model_not_found")


def test_an_image_is_judged(client):
    url = "data:image/png;base64,iVBORw0KGgo="
    content = [
        {"type": "input_text", "text": "score {{item.score}}"},
        {"type": "input_image", "image_url": "{{item.image}}"},
    ]
    criterion = SCORE | {"input": [{"role": "user", "content": content}]}
    _, [result] = graded(client, criterion, row("a", score=9, image=url))
    assert result["score"] == 9
    assert f"<image>{url}</image>" in result["sample"]["input"][0]["content"]
