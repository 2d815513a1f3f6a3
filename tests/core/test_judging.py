"""What graders ask models, and how the answers are read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core import criteria
from regrade.core.judging import Judge, JudgingError, judge_sample, read_label, read_score
from regrade.core.templates import MissingVariableError

INPUT = [
    {"role": "system", "content": "You grade."},
    {"role": "user", "content": "Is {{sample.output_text}} like {{item.answer}}?"},
]
ITEM, SAMPLE = {"answer": "4"}, {"output_text": "four"}


def score_model(**fields):
    return criteria.normalise({"type": "score_model", "name": "n", "model": "m", "input": INPUT, **fields})


def label_model(**fields):
    labels = {"labels": ["good", "bad", "not good"], "passing_labels": ["good"]}
    return criteria.normalise(
        {"type": "label_model", "name": "n", "model": "m", "input": INPUT, **labels, **fields}
    )


def says(text, finish_reason="stop", **message):
    return {
        "model": "m-1",
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_a_score_is_asked_for_with_its_steps_first():
    request = Judge(score_model()).request(ITEM, SAMPLE)
    assert request["messages"] == [
        {"role": "system", "content": "You grade."},
        {"role": "user", "content": "Is four like 4?"},
    ]
    assert request["max_completion_tokens"] == 4096
    assert "temperature" not in request
    form = request["response_format"]["json_schema"]
    assert (form["strict"], list(form["schema"]["properties"])) == (True, ["steps", "result"])
    assert form["schema"]["properties"]["result"] == {"type": "number"}


def test_labels_are_enforced_by_the_schema():
    form = Judge(label_model()).request(ITEM, SAMPLE)["response_format"]["json_schema"]
    assert form["schema"]["properties"]["result"] == {"type": "string", "enum": ["good", "bad", "not good"]}


def test_parameters_are_sent_only_as_given():
    params = {"temperature": 0, "top_p": None, "seed": 5, "reasoning_effort": "low", "max_completions_tokens": 9}
    request = Judge(score_model(sampling_params=params)).request(ITEM, SAMPLE)
    del request["messages"], request["response_format"]
    assert request == {"temperature": 0, "seed": 5, "reasoning_effort": "low", "max_completion_tokens": 9}


@pytest.mark.parametrize("make", [score_model, label_model])
def test_endpoints_without_schemas_are_asked_in_words(make):
    judge = Judge(make())
    as_object = judge.request(ITEM, SAMPLE, "json_object")
    assert as_object["response_format"] == {"type": "json_object"}
    assert "JSON" in as_object["messages"][-1]["content"]
    as_text = judge.request(ITEM, SAMPLE, "text")
    assert "response_format" not in as_text
    assert as_text["messages"][-1]["content"].startswith("Is four like 4?\n\nReason step by step.")


def test_the_words_come_last_whatever_the_last_message_is():
    parts = [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": "{{item.answer}}"}]
    asked = Judge(score_model(input=[{"role": "user", "content": parts}])).request(ITEM, SAMPLE, "text")["messages"]
    assert [part["type"] for part in asked[0]["content"]] == ["text", "image_url", "text"]
    assert asked[0]["content"][1]["image_url"] == {"url": "4"}
    asked = Judge(score_model(input=INPUT[:1])).request(ITEM, SAMPLE, "text")["messages"]
    assert [message["role"] for message in asked] == ["system", "user"]


def test_a_row_without_what_the_prompt_names_is_not_asked():
    with pytest.raises(MissingVariableError):
        Judge(score_model()).request({}, SAMPLE)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"steps": [], "result": 0.25}', 0.25),
        ('{"result": "0.5"}', 0.5),
        ('{"result": 7}', 1.0),
        ('{"result": -1e400}', 0.0),
        (f'{{"result": 1{"0" * 400}}}', 1.0),
        ('{"result": "good"}', 0.0),
        ('{"result": null}', 0.0),
        ('{"result": true}', 0.0),
        ('{"result": "NaN"}', 0.0),
        ('Sure!\n```json\n{"result": 0.5}\n```', 0.5),
        ('{"steps": [{"description": "3 of 4"], "result": 0.5}', 0.5),
        ("It is fine.\n\n0.75", 0.75),
        ("**Score: .5**", 0.5),
        ("I would say 0.5/1.", 0.5),
        ("0.5 out of 1", 0.5),
    ],
)
def test_a_score_is_read_and_clipped(text, score):
    assert read_score(text, (0.0, 1.0)) == score


@pytest.mark.parametrize("text", ["", "good", '{"score": 1}', '{"steps": [{"description": "3 of 4', "v1x"])
def test_an_answer_without_a_score_cannot_be_read(text):
    with pytest.raises(JudgingError) as caught:
        read_score(text, (0.0, 1.0))
    assert caught.value.kind == "model_grader_parse_error"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"steps": [], "result": "bad"}', "bad"),
        ('{"result": " Bad "}', "bad"),
        ("Good.", "good"),
        ("It is not bad, it is good.", "good"),
        ("It is not good", "not good"),
        ("badly put, goodness: **bad**", "bad"),
    ],
)
def test_a_label_is_read(text, label):
    assert read_label(text, ["good", "bad", "not good"]) == label


@pytest.mark.parametrize("text", ["", "goodness", '{"result": "fair"}', '{"result": "good or bad"}'])
def test_an_answer_without_a_label_cannot_be_read(text):
    with pytest.raises(JudgingError) as caught:
        read_label(text, ["good", "bad"])
    assert caught.value.kind == "model_grader_parse_error"


def test_a_label_of_no_words_is_never_mentioned():
    with pytest.raises(JudgingError):
        read_label("fair", ["good", ""])


@pytest.mark.parametrize(
    ("fields", "threshold"), [({}, 0.5), ({"range": [1, 7]}, 4.0), ({"range": [1, 7], "pass_threshold": 6}, 6)]
)
def test_a_score_passes_from_the_threshold_on_by_default_the_middle_of_the_range(fields, threshold):
    judge = Judge(score_model(**fields))
    assert judge.threshold == threshold
    assert judge.verdict(says(json.dumps({"result": threshold}))).passed
    assert not judge.verdict(says(json.dumps({"result": threshold - 0.01}))).passed


@pytest.mark.parametrize(("label", "score"), [("good", 1.0), ("bad", 0.0)])
def test_a_label_passes_where_it_is_among_the_passing_ones(label, score):
    verdict = Judge(label_model()).verdict(says(json.dumps({"result": label})))
    assert (verdict.score, verdict.passed, verdict.label) == (score, bool(score), label)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(None, refusal="I will not."), "model_grader_refusal_error"),
        (says("", "content_filter"), "model_grader_refusal_error"),
        (says('{"steps": [{"description": "5', "length"), "truncated_observation_error"),
        (says("It was 5 times", "length"), "truncated_observation_error"),
        (says(""), "model_grader_parse_error"),
        ({"choices": []}, "model_grader_parse_error"),
    ],
)
def test_an_answer_without_a_verdict_says_why(answer, kind):
    with pytest.raises(JudgingError) as caught:
        Judge(score_model()).verdict(answer)
    assert caught.value.kind == kind


def test_a_whole_verdict_counts_though_the_answer_was_cut_behind_it():
    assert Judge(score_model()).verdict(says('{"result": 1} ...', "length")).score == 1.0


def test_thoughts_before_the_answer_are_not_read():
    assert Judge(score_model()).verdict(says("<think>0.9?</think>\n0.1")).score == 0.1


def test_the_whole_call_is_shown():
    request = Judge(score_model(sampling_params={"seed": 5})).request(ITEM, SAMPLE)
    assert judge_sample(request, says('{"result": 1}')) == {
        "input": [{"role": "system", "content": "You grade."}, {"role": "user", "content": "Is four like 4?"}],
        "output": [{"role": "assistant", "content": '{"result": 1}'}],
        "finish_reason": "stop",
        "model": "m-1",
        "usage": {"total_tokens": 5, "completion_tokens": 2, "prompt_tokens": 3, "cached_tokens": 0},
        "error": None,
        "seed": 5,
        "temperature": None,
        "top_p": None,
        "reasoning_effort": None,
        "max_completions_tokens": 4096,
    }


@given(st.text(), st.floats(-9, 9), st.floats(0, 9))
def test_whatever_is_said_a_score_lies_in_the_range_or_is_none(text, low, width):
    try:
        score = read_score(text, (low, low + width))
    except JudgingError:
        return
    assert score == 0.0 or low <= score <= low + width


@given(st.floats(0, 1))
def test_a_score_that_was_asked_for_is_read_exactly(score):
    assert read_score(json.dumps({"steps": [], "result": score}), (0.0, 1.0)) == score
