"""Traces, as a collector of OpenTelemetry's receives them from a real server and its worker."""

import subprocess
import sys

import httpx2
import pytest

from evals import CONFIG, EXACT, inline_source, row, wait
from operations.collector import collector, facts
from operations.conftest import CONFIG as ENDPOINTS
from servers import serving

ROWS = 3
CLIENTS = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.fixture(scope="module")
def traced(tmp_path_factory, up):
    """A server that sends its traces, and where they arrive."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "regrade.toml").write_text(ENDPOINTS.format(url=up.url))
    with collector() as (collected, url):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with serving(folder / "data", "--traces", "otlp", env=environment) as server:
            yield server, collected


def sampled_run(client):
    """A run that asks a model for every row, ended."""
    eval_ = client.evals.create(
        data_source_config=CONFIG,
        testing_criteria=[{**EXACT, "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}],
    )
    template = [{"role": "user", "content": "{{item.answer}}"}]
    source = {
        "type": "completions",
        "model": "echo",
        "input_messages": {"type": "template", "template": template},
        "source": inline_source([row(1_234_567 + index, right=True) for index in range(ROWS)])["source"],
    }
    return wait(client, client.evals.runs.create(eval_.id, data_source=source))


def test_a_run_is_a_trace_of_its_own_id_with_its_chunks_and_calls(traced):
    server, collected = traced
    with server.client() as client:
        run = sampled_run(client)
    trace_id = bytes.fromhex(run.id.removeprefix("evalrun_"))

    def of_run(spans, name):
        return [span for span in spans if span.trace_id == trace_id and span.name == name]

    spans = collected.wait_for(
        lambda spans: of_run(spans, "run") and len(of_run(spans, "chat echo")) == ROWS and of_run(spans, "chunk")
    )
    [whole], [chunk] = of_run(spans, "run"), of_run(spans, "chunk")
    assert whole.parent_span_id == b""
    assert chunk.parent_span_id == whole.span_id
    assert all(call.parent_span_id == chunk.span_id for call in of_run(spans, "chat echo"))
    assert facts(whole)["regrade.run.status"] == "completed"
    assert facts(whole)["regrade.run.rows"] == ROWS
    assert facts(of_run(spans, "chat echo")[0])["regrade.attempts"] == 1
    [asked] = [span for span in spans if span.name == "POST /v1/evals/{eval_id}/runs"]
    [link] = asked.links
    assert (link.trace_id, link.span_id) == (trace_id, whole.span_id)


def test_a_request_is_part_of_its_clients_trace_and_tells_no_bodies(traced):
    server, collected = traced
    secret = "a text that stays here"
    body = {"model": "echo", "messages": [{"role": "user", "content": secret}]}
    answer = httpx2.post(f"{server.url}/v1/chat/completions", json=body, headers={"traceparent": CLIENTS})
    assert answer.status_code == 200
    _, trace, parent, _ = CLIENTS.split("-")

    def of_client(spans):
        return {span.name: span for span in spans if span.trace_id == bytes.fromhex(trace)}

    found = of_client(collected.wait_for(lambda spans: len(of_client(spans)) == 2))
    asked = found["POST /v1/chat/completions"]
    assert asked.parent_span_id == bytes.fromhex(parent)
    assert facts(asked)["http.response.status_code"] == 200
    assert facts(asked)["regrade.request.id"] == answer.headers["x-request-id"]
    assert found["chat echo"].parent_span_id == asked.span_id
    assert not any(secret in str(request) for request in collected.requests)


def test_a_call_that_fails_is_marked_and_its_words_stay_here(traced):
    server, collected = traced
    body = {"model": "echo@400", "messages": [{"role": "user", "content": "x"}]}
    assert httpx2.post(f"{server.url}/v1/chat/completions", json=body).status_code == 400
    spans = collected.wait_for(lambda spans: any(span.name == "chat echo@400" for span in spans))
    [call] = [span for span in spans if span.name == "chat echo@400"]
    assert call.status.code == 2
    assert (call.status.message, list(call.events)) == ("", [])
    assert facts(call)["error.type"] == "ModelError"


def test_the_operator_says_how_many_runs_are_kept(tmp_path, up):
    (tmp_path / "regrade.toml").write_text(ENDPOINTS.format(url=up.url))
    with collector() as (collected, url):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        with serving(tmp_path / "data", "--traces", "otlp", env=environment) as server, server.client() as client:
            assert sampled_run(client).status == "completed"
        assert collected.requests == []


def test_without_its_packages_the_setting_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; from regrade.cli import main;"
        f"sys.argv = ['regrade', 'serve', '--traces', 'otlp', '--data-dir', {str(tmp_path)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install 'regrade[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
