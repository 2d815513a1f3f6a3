"""Every error that the HTTP edge and the evals make, in both forms."""

import pytest

RUNS = "/evals/eval_0/runs"

ROWS = [
    # method, path, body, status, code, param
    ("GET", "/evals/eval_0", None, 404, "not_found", "eval_id"),
    ("DELETE", "/evals/eval_0", None, 404, "not_found", "eval_id"),
    ("POST", "/evals/eval_0", {"name": "x"}, 404, "not_found", "eval_id"),
    ("GET", RUNS, None, 404, "not_found", "eval_id"),
    ("GET", f"{RUNS}/evalrun_0", None, 404, "not_found", "eval_id"),
    ("GET", f"{RUNS}/evalrun_0/output_items", None, 404, "not_found", "eval_id"),
    ("GET", "/models/Qwen%2FQwen3-8B", None, 404, "model_not_found", "model"),
    ("GET", "/models/ft:tiny:acme::abc", None, 404, "model_not_found", "model"),
    ("DELETE", "/models/tiny", None, 404, "model_not_found", "model"),
    ("GET", "/nothing", None, 404, None, None),
    ("GET", "/evals/", None, 404, None, None),
    ("PUT", "/evals", None, 405, None, None),
    ("POST", "/evals", b"", 400, None, None),
    ("POST", "/evals", b"{", 400, None, None),
    ("POST", "/evals", b"[]", 400, None, None),
    ("POST", "/evals", b'{"a": NaN}', 400, None, None),
    ("POST", "/evals", b"[" * 200_000, 400, None, None),
    ("POST", "/evals", {}, 400, "missing_required_parameter", "data_source_config"),
    ("GET", "/evals?limit=0", None, 400, "invalid_value", "limit"),
    ("GET", "/evals?limit=101", None, 400, "invalid_value", "limit"),
    ("GET", "/evals?limit=many", None, 400, "invalid_type", "limit"),
    ("GET", "/evals?order=random", None, 400, "invalid_value", "order"),
    ("GET", "/evals?order_by=name", None, 400, "invalid_value", "order_by"),
    ("GET", "/evals?after=eval_0", None, 400, "invalid_value", "after"),
    ("GET", f"{RUNS}?status=cancelled", None, 400, "invalid_value", "status"),
]


def _send(http, method, path, body):
    if isinstance(body, bytes):
        return http.request(method, path, content=body, headers={"content-type": "application/json"})
    return http.request(method, path, json=body) if body is not None else http.request(method, path)


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "param"), ROWS)
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai"])
def test_an_error_has_the_form_of_its_prefix(http, prefix, method, path, body, status, code, param):
    answer = _send(http, method, prefix + path, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert error["message"].endswith(".")
    if prefix == "/v1":
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
    else:
        assert set(error) == {"code", "message", "param", "type", "inner_error"}
        assert (error["type"], error["code"], error["inner_error"]) == ("error", code or str(status), {})


BAD_EVALS = [
    # what is changed, code, param
    ({"testing_criteria": []}, "invalid_value", "testing_criteria"),
    ({"testing_criteria": None}, "invalid_type", "testing_criteria"),
    ({"testing_criteria": [{"type": "vibes"}]}, "invalid_value", "testing_criteria[0].type"),
    ({"testing_criteria": [{}]}, "missing_required_parameter", "testing_criteria[0].type"),
    (
        {"testing_criteria": [{"type": "string_check", "reference": "", "operation": "eq"}]},
        "missing_required_parameter",
        "testing_criteria[0].input",
    ),
    (
        {"testing_criteria": [{"type": "string_check", "input": 1, "reference": "", "operation": "eq"}]},
        "invalid_type",
        "testing_criteria[0].input",
    ),
    ({"data_source_config": {"type": "cosmic"}}, "invalid_value", "data_source_config.type"),
    ({"data_source_config": []}, "invalid_type", "data_source_config"),
    ({"data_source_config": {"type": "custom"}}, "missing_required_parameter", "data_source_config.item_schema"),
    (
        {"data_source_config": {"type": "custom", "item_schema": {"type": "nonsense"}}},
        "invalid_value",
        "data_source_config.item_schema",
    ),
    ({"name": "n" * 513}, "invalid_value", "name"),
    ({"name": 3}, "invalid_type", "name"),
    ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "metadata"),
    ({"metadata": {"k" * 65: ""}}, "invalid_value", "metadata"),
    ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata"),
]


@pytest.mark.parametrize(("change", "code", "param"), BAD_EVALS)
def test_an_eval_that_is_wrong_is_refused_with_the_path_of_the_fault(http, new_eval, change, code, param):
    answer = http.post("/v1/evals", json={**new_eval, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_of_another_media_type_is_refused(http, content_type):
    headers = {"content-type": content_type} if content_type else {}
    answer = http.post("/v1/evals", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]["message"]


def test_a_media_type_may_name_its_charset(http, new_eval):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http.post("/v1/evals", headers=headers, json=new_eval).status_code == 201


def test_an_unknown_url_and_a_wrong_method_are_named(http):
    unknown, wrong = http.post("/v1/foo"), http.put("/v1/models")
    assert unknown.json()["error"]["message"] == "Invalid URL (POST /v1/foo)."
    assert wrong.json()["error"]["message"] == "Invalid method for URL (PUT /v1/models)."
    assert wrong.headers["allow"] == "GET"


def test_a_wrong_method_is_answered_with_all_right_ones(http):
    for prefix in ("/v1", "/openai/v1", "/openai"):
        assert http.put(f"{prefix}/evals").headers["allow"] == "GET, POST"
        assert http.options(f"{prefix}/evals/eval_0").headers["allow"] == "DELETE, GET, POST"


@pytest.mark.parametrize("path", ["/nothing", "/v1/models/a%0Ab", "/v1/evals/a%0Ab/runs"])
def test_a_url_outside_the_api_is_answered_with_an_error_too(http, path):
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("Invalid URL (GET /")
