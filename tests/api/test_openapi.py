"""The OpenAPI document says what the server does."""

import json
import re

import jsonschema_rs
import pytest


@pytest.fixture(scope="module")
def described(server):
    import httpx2

    return httpx2.get(f"{server.url}/openapi.json").json()


def _operations(described):
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_every_reference_is_defined(described):
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))
    assert named
    assert named <= set(described["components"]["schemas"])


def test_every_operation_has_an_id_of_its_own_and_says_how_it_can_fail(described):
    ids = [operation["operationId"] for _, _, operation in _operations(described)]
    assert len(ids) == len(set(ids))
    for _, _, operation in _operations(described):
        assert {"4XX", "5XX"} <= set(operation["responses"])
        assert "422" not in operation["responses"]


def test_every_documented_route_exists_under_every_prefix(described, http):
    assert [server["url"] for server in described["servers"]] == ["/v1", "/openai/v1", "/openai"]
    for method, path, _ in _operations(described):
        for server in described["servers"]:
            answer = http.request(method, server["url"] + re.sub(r"{\w+}", "x", path))
            assert "Invalid" not in answer.json().get("error", {}).get("message", ""), (method, path)


def test_every_body_that_is_read_is_described(described):
    bodies = {path for method, path, operation in _operations(described) if "requestBody" in operation}
    bare = {
        "/evals/{eval_id}/runs/{run_id}",
        "/evals/{eval_id}/runs/{run_id}/cancel",
        "/uploads/{upload_id}/cancel",
        "/responses/{response_id}/cancel",
        "/fine_tuning/jobs/{job_id}/cancel",
        "/fine_tuning/jobs/{job_id}/pause",
        "/fine_tuning/jobs/{job_id}/resume",
    }
    posts = {path for method, path, _ in _operations(described) if method == "post"}
    assert bodies == posts - bare


def _answer_schema(described, path, method, status="200"):
    content = described["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
    return {**content, "components": described["components"]}


def test_answers_are_what_the_document_says(described, http, new_eval):
    made = http.post("/v1/evals", json=new_eval).json()
    jsonschema_rs.validate(_answer_schema(described, "/evals", "post", "201"), made)
    jsonschema_rs.validate(_answer_schema(described, "/evals", "get"), http.get("/v1/evals").json())
    source = {"type": "file_content", "content": [{"item": {"a": "1"}}]}
    body = {"data_source": {"type": "jsonl", "source": source}}
    path = f"/v1/evals/{made['id']}/runs"
    run = http.post(path, json=body).json()
    runs = "/evals/{eval_id}/runs"
    jsonschema_rs.validate(_answer_schema(described, runs, "post", "201"), run)
    jsonschema_rs.validate(_answer_schema(described, runs, "get"), http.get(path).json())
    for prefix in ("/v1", "/openai"):
        error = http.get(f"{prefix}/evals/none").json()
        jsonschema_rs.validate(_answer_schema(described, "/evals", "get", "4XX"), error)


def test_bodies_of_requests_are_what_the_document_says(described, new_eval):
    body = described["paths"]["/evals"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = {**body, "components": described["components"]}
    jsonschema_rs.validate(schema, new_eval)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, {**new_eval, "testing_criteria": []})
