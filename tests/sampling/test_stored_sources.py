"""Traffic that passed through the gateway becomes eval data: as recorded, or asked again of another model."""

from evals import wait

LOGS = {"type": "logs", "metadata": {"usecase": "shout"}}
SHOUTS = {
    "type": "string_check",
    "name": "shouts",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "HELLO",
}


def run_of(client, eval_, data_source):
    return wait(client, client.evals.runs.create(eval_.id, data_source=data_source), 90)


def remember(client, model, metadata, text="hello"):
    messages = [{"role": "system", "content": "Shout."}, {"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, store=True, metadata=metadata)


def test_stored_completions_are_graded_as_recorded_by_all_metadata(client):
    remember(client, "upper", {"usecase": "shout", "prompt_version": "1"})
    remember(client, "echo", {"usecase": "shout", "prompt_version": "2"})
    remember(client, "upper", {"usecase": "whisper", "prompt_version": "1"})
    eval_ = client.evals.create(data_source_config=LOGS, testing_criteria=[SHOUTS])
    source = {"type": "stored_completions"}
    for metadata, passed, failed in (({}, 1, 1), ({"prompt_version": "1"}, 1, 0), ({"prompt_version": "2"}, 0, 1)):
        run = run_of(client, eval_, {"type": "completions", "source": source | {"metadata": metadata}})
        assert (run.status, run.result_counts.passed, run.result_counts.failed) == ("completed", passed, failed)
        assert run.per_model_usage == []


def test_stored_questions_are_asked_again_of_another_model(client):
    for index in range(3):
        remember(client, "echo", {"usecase": "again", "n": str(index)})
    eval_ = client.evals.create(
        data_source_config={"type": "stored_completions", "metadata": {"usecase": "again"}},
        testing_criteria=[SHOUTS],
    )
    asked = {
        "type": "completions",
        "source": {"type": "stored_completions", "limit": 2},
        "model": "upper",
        "input_messages": {"type": "item_reference", "item_reference": "item.input"},
    }
    run = run_of(client, eval_, asked)
    assert run.result_counts.to_dict() == {"total": 2, "passed": 2, "failed": 0, "errored": 0}
    assert run.per_model_usage[0].invocation_count == 2


def test_stored_responses_are_graded_and_asked_again(client):
    for text in ("hello", "other"):
        client.responses.create(
            model="both/upper", input=text, instructions="Shout.", metadata={"usecase": "resp"}, temperature=0.3
        )
    eval_ = client.evals.create(
        data_source_config={"type": "logs", "metadata": {"usecase": "resp"}}, testing_criteria=[SHOUTS]
    )
    source = {"type": "responses", "temperature": 0.3, "instructions_search": "Shout"}
    run = run_of(client, eval_, {"type": "responses", "source": source})
    assert (run.result_counts.passed, run.result_counts.failed) == (1, 1)
    asked = {
        "type": "responses",
        "source": source,
        "model": "echo",
        "input_messages": {"type": "item_reference", "item_reference": "item.input"},
    }
    again = run_of(client, eval_, asked)
    assert (again.result_counts.passed, again.result_counts.failed) == (0, 2)


def test_a_source_that_selects_nothing_fails_the_run_and_says_so(client):
    eval_ = client.evals.create(data_source_config={"type": "logs"}, testing_criteria=[SHOUTS])
    source = {"type": "stored_completions", "model": "no-such-model"}
    run = run_of(client, eval_, {"type": "completions", "source": source})
    assert (run.status, run.error.code) == ("failed", "empty_data_source")
