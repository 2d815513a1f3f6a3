"""What programs that were written for the hosted service do, as they do it."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from conformance import environments
from evals import inline_source, jsonl, wait

FOUNDRY = ("azure-ai-evaluation==1.18.10", "openai==3.54.0")
FOUNDRY_JOB = Path(__file__).with_name("foundry_job.py")


class Push(BaseModel):
    """A notification, nested so that its schema has `$defs`."""

    text: str
    urgent: bool = False


class PushItem(BaseModel):
    """A row, described as the cookbook does: by a pydantic model."""

    notifications: list[Push]
    summary: str


def _completion(content, **message):
    """A recorded answer as the SDK dumps it, nulls included."""
    return ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_740_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": content, **message},
                }
            ],
            "usage": {
                "prompt_tokens": 30,
                "completion_tokens": 7,
                "total_tokens": 37,
                "prompt_tokens_details": {"cached_tokens": 16},
            },
        }
    ).model_dump()


def _eval(client, schema, criterion):
    return client.evals.create(
        name="Push notifications",
        data_source_config={"type": "custom", "item_schema": schema, "include_sample_schema": True},
        testing_criteria=[criterion],
    )


@pytest.fixture
def regression(client):
    """The cookbook's regression of a prompt, its answers recorded beforehand."""
    eval_ = _eval(
        client,
        PushItem.model_json_schema(),
        {
            "type": "string_check",
            "name": "says the summary",
            "operation": "ilike",
            "input": "{{sample.output_text}}",
            "reference": "{{item.summary}}",
        },
    )
    item = PushItem(notifications=[Push(text="Your parcel is late")], summary="late parcel")
    answers = ["There is a LATE PARCEL.", "Nothing new."]
    rows = [{"item": item.model_dump(), "sample": _completion(answer)} for answer in answers]
    run = client.evals.runs.create(eval_.id, name="v1", data_source=inline_source(rows))
    return client, eval_, wait(client, run)


def test_a_regression_of_recorded_completions_is_counted(regression):
    _, eval_, run = regression
    assert run.status == "completed"
    assert run.result_counts.to_dict() == {"total": 2, "passed": 1, "failed": 1, "errored": 0}
    [result] = run.per_testing_criteria_results
    assert result.testing_criteria == eval_.testing_criteria[0].id
    assert run.per_model_usage == []


def test_its_items_show_the_recorded_answers(regression):
    client, eval_, run = regression
    items = client.evals.runs.output_items.list(run.id, eval_id=eval_.id).data
    assert [item.sample.output[0].content for item in items] == ["There is a LATE PARCEL.", "Nothing new."]
    assert [item.results[0].passed for item in items] == [True, False]
    sample = items[0].sample
    assert (sample.model, sample.finish_reason) == ("gpt-4o-mini-2024-07-18", "stop")
    assert sample.usage.to_dict() == {
        "total_tokens": 37,
        "completion_tokens": 7,
        "prompt_tokens": 30,
        "cached_tokens": 16,
    }
    assert items[0].datasource_item["notifications"][0]["text"] == "Your parcel is late"


def test_its_report_opens_in_a_browser(regression, server):
    _, eval_, run = regression
    page = httpx2.get(run.report_url)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    hosted = httpx2.get(f"{server.url}/evaluations/{eval_.id}", params={"project_id": "proj_1", "run_id": run.id})
    assert hosted.status_code in (302, 303, 307)
    assert httpx2.URL(server.url).join(hosted.headers["location"]) == run.report_url


def test_arguments_of_tool_calls_are_walked_into(client):
    criterion = {
        "type": "string_check",
        "name": "symbol",
        "operation": "eq",
        "input": "{{sample.output_tools[0].function.arguments.symbols[0]}}",
        "reference": "{{ item.symbol }}",
    }
    eval_ = _eval(client, {"type": "object", "properties": {"symbol": {"type": "string"}}}, criterion)
    function = {"name": "quotes", "arguments": json.dumps({"symbols": ["ACME", "X"]})}
    called = _completion(None, tool_calls=[{"id": "call_1", "type": "function", "function": function}])
    rows = [
        {"item": {"symbol": "ACME"}, "sample": called},
        {"item": {"symbol": "ACME"}, "sample": _completion("no call")},
    ]
    run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source(rows)))
    passed, errored = client.evals.runs.output_items.list(run.id, eval_id=eval_.id).data
    assert (passed.status, errored.status) == ("pass", "error")
    assert passed.sample.output[0].to_dict()["tool_calls"][0]["function"] == function
    assert "{{sample.output_tools[0].function.arguments.symbols[0]}}" in json.dumps(errored.to_dict())


def test_a_prompt_with_an_unclosed_brace_is_taken_as_it_is(client):
    prompt = "Judge this: {{sample.output_text}"
    judge = {
        "type": "label_model",
        "name": "judge",
        "model": "o3-mini",
        "input": [{"role": "user", "content": prompt}],
        "labels": ["ok", "bad"],
        "passing_labels": ["ok"],
    }
    [criterion] = _eval(client, {}, judge).testing_criteria
    assert criterion.input[0].content.text == prompt


def test_many_runs_are_started_and_polled_at_once(server):
    async def graded(client, eval_, text):
        rows = [{"item": {"text": text}}]
        run = await client.evals.runs.create(eval_.id, name=text, data_source=inline_source(rows))
        while run.status not in {"completed", "failed"}:
            await asyncio.sleep(0.05)
            run = await client.evals.runs.retrieve(run.id, eval_id=eval_.id)
        return run.name, run.result_counts.passed

    async def flow():
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
            eval_ = await client.evals.create(
                data_source_config={"type": "custom", "item_schema": {"type": "object"}},
                testing_criteria=[
                    {
                        "type": "string_check",
                        "name": "is b",
                        "operation": "eq",
                        "input": "b",
                        "reference": "{{item.text}}",
                    }
                ],
            )
            return await asyncio.gather(*(graded(client, eval_, text) for text in "abc"))

    assert asyncio.run(flow()) == [("a", 0), ("b", 1), ("c", 0)]


def test_data_named_json_is_read_line_by_line(client):
    file = client.files.create(file=("audio.json", jsonl([{"item": {"text": "a"}}] * 2)), purpose="evals")
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    criterion = {
        "type": "string_check",
        "name": "a",
        "operation": "eq",
        "input": "{{item.text}}",
        "reference": "a",
    }
    eval_ = _eval(client, {}, criterion)
    assert wait(client, client.evals.runs.create(eval_.id, data_source=source)).result_counts.passed == 2


def test_the_id_of_a_request_is_read_from_its_headers(client):
    raw = client.evals.with_raw_response.list(limit=1)
    assert raw.headers["x-request-id"] == raw.request_id
    assert raw.parse().object == "list"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["openai", "azure"])
def test_azure_ai_evaluation_grades_with_it(server, pytestconfig, tmp_path, family):
    python = environments.python_with(pytestconfig.cache.mkdir("azure-ai-evaluation"), *FOUNDRY)
    models = {
        "openai": {"api_key": "any", "model": "none", "base_url": f"{server.url}/v1"},
        "azure": {"api_key": "any", "azure_deployment": "none", "azure_endpoint": server.url},
    }
    answer = tmp_path / "answer.json"
    environments.run(python, FOUNDRY_JOB, json.dumps(models[family]), str(answer))
    assert json.loads(answer.read_text()) == {
        "metrics": {"exact.pass_rate": pytest.approx(1 / 3), "similar.pass_rate": pytest.approx(2 / 3)},
        "verdicts": [[True, True], [False, True], [False, False]],
    }
