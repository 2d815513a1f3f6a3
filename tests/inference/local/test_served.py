"""Local models through a whole server: the gateway, eval runs in workers, and judges."""

import openai
import pytest

pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

from evals import inline_source, wait
from servers import serving

ITEMS = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CONFIG = {"type": "custom", "item_schema": ITEMS, "include_sample_schema": True}
JUDGE = {
    "type": "label_model",
    "name": "judge",
    "model": "tiny",
    "input": [{"role": "user", "content": "Is this kind? {{sample.output_text}}"}],
    "labels": ["kind", "unkind"],
    "passing_labels": ["kind"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("served")
    (folder / "regrade.toml").write_text(
        f'local_models_threads = 1\n[[base_models]]\nname = "tiny"\npath = "{tiny}"\n'
    )
    with serving(folder / "data") as running:
        yield running


def test_a_base_model_is_listed_and_answers_both_apis(client):
    assert [(model.id, model.owned_by) for model in client.models.list()] == [("tiny", "built-in")]
    talk = [{"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model="tiny", messages=talk, max_completion_tokens=8, seed=1)
    assert answer.usage.completion_tokens <= 8
    response = client.responses.create(model="tiny", input="Hello", max_output_tokens=16)
    assert response.output_text
    events = client.chat.completions.create(model="tiny", messages=talk, max_tokens=8, seed=1, stream=True)
    text = "".join(event.choices[0].delta.content or "" for event in events)
    assert text == answer.choices[0].message.content


def test_a_refusal_reaches_the_client_as_openai_words_it(client):
    with pytest.raises(openai.BadRequestError, match="maximum context length is 512 tokens") as caught:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hello " * 600}])
    assert caught.value.code == "context_length_exceeded"


def test_a_run_asks_it_and_is_judged_by_it(client):
    eval_ = client.evals.create(name="local", data_source_config=CONFIG, testing_criteria=[JUDGE])
    source = {
        "type": "completions",
        "model": "tiny",
        "source": inline_source([{"item": {"text": f"Hello {number}"}} for number in range(24)])["source"],
        "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{item.text}}"}]},
        "sampling_params": {"max_completion_tokens": 12, "seed": 7},
    }
    first, second = (wait(client, client.evals.runs.create(eval_.id, data_source=source), 90) for _ in range(2))
    assert (first.status, first.error) == (second.status, second.error) == ("completed", None)
    # A random model's reasons may go on until its context is full; where they end, there is a label.
    assert first.result_counts.passed > 0
    assert first.result_counts.failed > 0
    outputs = [
        [item.sample.output[0].content for item in client.evals.runs.output_items.list(run.id, eval_id=eval_.id)]
        for run in (first, second)
    ]
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0])) > 1
