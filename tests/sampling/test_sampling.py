"""Runs that ask a model: what is sent, what comes back, what is counted, and what misbehaving models do to them."""

import json
import time

import openai
import pytest

from evals import inline_source, jsonl, wait
from servers import serving

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "reference": {}}, "required": ["text"]}
CONFIG = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
SAYS = {
    "type": "string_check",
    "name": "says",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}
ASK = {"type": "template", "template": [{"role": "user", "content": "{{item.text}}"}]}


@pytest.fixture
def eval_(client):
    return client.evals.create(name="asks", data_source_config=CONFIG, testing_criteria=[SAYS])


def rows(*texts, reference=str.upper):
    return [{"item": {"text": text, "reference": reference(text)}} for text in texts]


def asking(model, content, *, kind="completions", messages=ASK, **params):
    source = inline_source(content)["source"]
    asked = {"type": kind, "source": source, "model": model, "input_messages": messages}
    return asked | ({"sampling_params": params} if params else {})


def run_of(client, eval_, data_source, **more):
    return wait(client, client.evals.runs.create(eval_.id, data_source=data_source, **more), 90)


def items_of(client, run):
    return [
        item.to_dict(warnings=False) for item in client.evals.runs.output_items.list(run.id, eval_id=run.eval_id)
    ]


@pytest.mark.parametrize("kind", ["completions", "responses"])
@pytest.mark.parametrize("model", ["upper", "both/upper"])
def test_each_row_is_asked_and_its_answer_graded(client, eval_, kind, model):
    content = [*rows("one", "two"), *rows("three", reference=str.lower)]
    run = run_of(client, eval_, asking(model, content, kind=kind))
    assert (run.status, run.model) == ("completed", model)
    assert run.result_counts.to_dict() == {"total": 3, "passed": 2, "failed": 1, "errored": 0}
    [usage] = run.per_model_usage
    assert (usage.model_name, usage.invocation_count) == (f"{model}-001", 3)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    sample = items_of(client, run)[0]["sample"]
    assert sample["input"] == [
        {"role": "user", "content": "one", "tool_call_id": None, "tool_calls": None, "function_call": None}
    ]
    assert sample["output"][0]["content"] == "ONE"
    assert (sample["model"], sample["finish_reason"], sample["error"]) == (f"{model}-001", "stop", None)


def test_an_alias_asks_the_model_behind_it(client, eval_):
    run = run_of(client, eval_, asking("gpt-4o", rows("one")))
    assert (run.model, run.result_counts.passed) == ("gpt-4o", 1)


@pytest.mark.parametrize("spelling", ["max_completion_tokens", "max_completions_tokens", "max_tokens"])
def test_every_spelling_of_the_token_limit_reaches_the_model(client, eval_, spelling):
    params = {spelling: 77, "temperature": 0.5, "top_p": 0.9, "seed": 3, "reasoning_effort": "low"}
    run = run_of(client, eval_, asking("request", rows("one"), **params))
    assert run.data_source.to_dict()["sampling_params"] == params
    [item] = items_of(client, run)
    sent = json.loads(item["sample"]["output"][0]["content"])
    assert sent["max_completion_tokens"] == 77
    assert (sent["temperature"], sent["seed"], sent["reasoning_effort"]) == (0.5, 3, "low")
    assert item["sample"]["max_completion_tokens"] == item["sample"]["max_completions_tokens"] == 77
    assert (item["sample"]["temperature"], item["sample"]["top_p"], item["sample"]["seed"]) == (0.5, 0.9, 3)


def test_a_reference_to_the_items_own_messages_is_asked_as_it_is(client):
    config = {"type": "custom", "item_schema": {"type": "object"}}
    eval_ = client.evals.create(data_source_config=config, testing_criteria=[SAYS])
    content = [{"item": {"input": [{"role": "user", "content": "hello"}], "reference": "HELLO"}}]
    messages = {"type": "item_reference", "item_reference": "item.input"}
    assert run_of(client, eval_, asking("upper", content, messages=messages)).result_counts.passed == 1


def test_structured_outputs_and_tools_are_graded_on_both_apis(client):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer_format = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    criteria = [
        SAYS | {"input": "{{sample.output_json.city}}", "reference": "{{item.text}}"},
        SAYS | {"input": "{{sample.output_tools[0].function.arguments.city}}", "reference": "{{item.text}}"},
    ]
    for kind in ("completions", "responses"):
        for model, params, criterion in (
            ("json", {"response_format": answer_format}, criteria[0]),
            ("tool", {"tools": [tool]}, criteria[1]),
        ):
            eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[criterion])
            for vendor in ("", "both/"):
                run = run_of(client, eval_, asking(vendor + model, rows("Paris"), kind=kind, **params))
                assert run.result_counts.passed == 1, (kind, vendor, model, items_of(client, run))


def test_a_row_whose_model_fails_is_errored_with_the_upstreams_words_and_the_others_go_on(client, eval_):
    content = rows("one", "two")
    run = run_of(client, eval_, asking("upper@no=seed", content, seed=1))
    assert (run.status, run.result_counts.errored) == ("failed", 2)
    error = items_of(client, run)[0]["sample"]["error"]
    assert "seed" in error["message"]
    assert "seed" in run.error.message


@pytest.mark.parametrize("fault", ["429", "429ms=50", "500", "503", "drop", "reset", "cut", "malformed", "html"])
def test_what_passes_is_asked_again_and_every_row_answers_once(client, eval_, up, fault):
    up.next_faults(*[fault] * 6)
    run = run_of(client, eval_, asking("upper", rows(*(f"{fault} {index}" for index in range(60)))))
    assert run.result_counts.to_dict() == {"total": 60, "passed": 60, "failed": 0, "errored": 0}
    assert run.per_model_usage[0].invocation_count == 60


def test_a_refusal_is_an_answer(client, eval_):
    run = run_of(client, eval_, asking("refusal", rows("one")))
    assert run.result_counts.failed == 1
    assert items_of(client, run)[0]["sample"]["output"][0].get("refusal")


def test_an_answer_cut_at_its_limit_says_so(client, eval_):
    run = run_of(client, eval_, asking("truncated", rows("one two three four")))
    assert items_of(client, run)[0]["sample"]["finish_reason"] == "length"


def test_an_endpoint_that_dies_makes_the_run_wait_and_go_on(client, eval_, up):
    run = client.evals.runs.create(eval_.id, data_source=asking("upper@slow=0.3", rows(*map(str, range(300)))))
    up.close_for(3.0)
    seen = set()
    while run.status in ("queued", "in_progress"):
        run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
        seen |= set(run.to_dict(warnings=False).get("waiting") or {})
    assert run.result_counts.to_dict() == {"total": 300, "passed": 300, "failed": 0, "errored": 0}
    assert seen == {"office"}


def test_cancel_closes_the_calls_that_are_under_way(client, eval_, up):
    run = client.evals.runs.create(eval_.id, data_source=asking("upper@hang", rows(*map(str, range(20)))))
    before = up.state()["abandoned"]
    while up.state()["in_flight"] < 20:
        pass
    client.evals.runs.cancel(run.id, eval_id=eval_.id)
    while up.state()["in_flight"]:
        pass
    assert up.state()["abandoned"] >= before + 20


@pytest.mark.parametrize("kind", ["completions", "responses"])
def test_files_of_this_server_are_sent_inline(client, kind):
    image = client.files.create(file=("dot.png", b"\x89PNG\r\n\x1a\n" + b"0" * 20), purpose="vision")
    parts = [{"type": "input_text", "text": "{{item.text}}"}, {"type": "input_image", "file_id": image.id}]
    messages = {"type": "template", "template": [{"role": "user", "content": parts}]}
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SAYS])
    for vendor in ("", "both/"):
        run = run_of(client, eval_, asking(f"{vendor}request", rows("look"), kind=kind, messages=messages))
        [item] = items_of(client, run)
        assert "data:image/png;base64," in item["sample"]["output"][0]["content"]
        assert image.id in item["sample"]["input"][0]["content"]


def test_an_unknown_file_in_messages_is_refused_with_its_path(client, eval_):
    parts = [{"type": "input_image", "file_id": "file-nowhere"}]
    messages = {"type": "template", "template": [{"role": "user", "content": parts}]}
    with pytest.raises(openai.BadRequestError) as refused:
        client.evals.runs.create(eval_.id, data_source=asking("upper", rows("one"), messages=messages))
    assert refused.value.param == "data_source.input_messages.template[0].content[0].file_id"


def test_an_unknown_model_is_refused_with_names_that_come_close(tmp_path, up):
    (tmp_path / "regrade.toml").write_text(
        f'[[endpoints]]\nname = "one"\nbase_url = "{up.url}"\nmodels = ["llama-3-8b"]\n'
    )
    with serving(tmp_path / "data") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SAYS])
        with pytest.raises(openai.BadRequestError, match="llama-3-8b") as refused:
            client.evals.runs.create(eval_.id, data_source=asking("llama-3-8", rows("one")))
        assert (refused.value.param, refused.value.code) == ("data_source.model", "model_not_found")


def test_a_tool_kind_that_chat_lacks_is_refused_with_kind_and_endpoint(client, eval_):
    asked = asking("upper", rows("one"), kind="responses", tools=[{"type": "web_search"}])
    with pytest.raises(openai.BadRequestError, match=r"(?s)web_search.*office|office.*web_search"):
        client.evals.runs.create(eval_.id, data_source=asked)


def test_a_secret_inside_a_tool_reaches_the_model_and_no_answer(client, eval_, up):
    tool = mcp_tool("planted-token-8c1f")
    run = run_of(client, eval_, asking("both/upper", rows("one"), kind="responses", tools=[tool]))
    assert "planted-token-8c1f" in json.dumps(up.requests())
    shown = json.dumps([items_of(client, run), run.to_dict(warnings=False)])
    assert "planted-token-8c1f" not in shown
    assert "<redacted>" in shown


def mcp_tool(token):
    headers = {"X-Key": f"{token}-header"}
    return {
        "type": "mcp",
        "server_label": "x",
        "server_url": "https://x",
        "authorization": token,
        "headers": headers,
    }


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_after_a_run_its_secrets_are_nowhere_in_the_data_directory(tmp_path, up, end):
    token = "planted-token-77aa"
    (tmp_path / "regrade.toml").write_text(
        f'[[endpoints]]\nname = "up"\nbase_url = "{up.url}"\nmodels = ["*"]\napi = ["responses"]\n'
    )
    with serving(tmp_path / "data") as server:
        with server.client() as client:
            eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SAYS])
            model = "upper" if end == "complete" else "upper@hang"
            asked = asking(model, rows("one"), kind="responses", tools=[mcp_tool(token)])
            run = client.evals.runs.create(eval_.id, data_source=asked)
            if end == "cancel":
                client.evals.runs.cancel(run.id, eval_id=eval_.id)
            assert wait(client, run).status == ("completed" if end == "complete" else "canceled")
        deadline = time.monotonic() + 25
        while found := [path for path in files_below(tmp_path / "data") if token.encode() in path.read_bytes()]:
            assert time.monotonic() < deadline, f"the secret is still in {found}"
            time.sleep(0.2)


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_cache_answers_the_same_row_of_another_run(tmp_path, up):
    (tmp_path / "regrade.toml").write_text(f'[[endpoints]]\nname = "up"\nbase_url = "{up.url}"\nmodels = ["*"]\n')
    with serving(tmp_path / "data", "--response-cache-bytes", "1 MiB") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SAYS])
        content = rows("cached one", "cached one")
        before = up.state()["requests"]
        runs = [run_of(client, eval_, asking("upper", content)) for _ in range(2)]
        assert up.state()["requests"] - before == 2
        cached = [[item["sample"].get("cached", False) for item in items_of(client, run)] for run in runs]
        assert cached == [[False, False], [True, True]]


def test_sounds_are_sent_as_they_are(client, eval_):
    parts = [
        {"type": "input_text", "text": "{{item.text}}"},
        {"type": "input_audio", "input_audio": {"data": "{{item.sound}}", "format": "wav"}},
    ]
    messages = {"type": "template", "template": [{"role": "user", "content": parts}]}
    content = [{"item": {"text": "listen", "sound": "UklGRg==", "reference": ""}}]
    run = run_of(client, eval_, asking("request", content, messages=messages))
    [item] = items_of(client, run)
    assert '"data":"UklGRg=="' in item["sample"]["output"][0]["content"].replace(" ", "")
    assert item["sample"]["input"][0]["content"] == "listen <audio>UklGRg==</audio>"


def test_one_prompt_is_tried_on_several_models(client, eval_):
    content = rows("one", "two")
    rates = {}
    for model in ("upper", "echo", "both/upper"):
        run = run_of(client, eval_, asking(model, content), metadata={"experiment": "e1"})
        rates[model] = run.result_counts.passed
    assert rates == {"upper": 2, "echo": 0, "both/upper": 2}


def test_rows_of_a_file_that_carry_samples_need_no_messages(client, eval_):
    content = [{"item": {"text": "a", "reference": "hi"}, "sample": {"output_text": "hi"}}]
    file = client.files.create(file=("rows.jsonl", jsonl(content)), purpose="evals")
    asked = {"type": "completions", "source": {"type": "file_id", "id": file.id}, "model": "upper"}
    assert run_of(client, eval_, asked).result_counts.passed == 1
