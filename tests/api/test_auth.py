"""Keys: who may come in, and what each may see."""

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from regrade.api.auth import masked


def test_either_header_lets_a_key_in_on_every_prefix(strict_http, keyed):
    for prefix in ("/v1", "/openai/v1", "/openai"):
        for headers in (
            {"authorization": f"Bearer {keyed.red}"},
            {"api-key": keyed.red},
            {"authorization": "Bearer wrong", "api-key": keyed.red},
            {"authorization": f"Bearer {keyed.red}", "api-key": "wrong"},
        ):
            assert strict_http.get(f"{prefix}/evals", headers=headers).status_code == 200


def test_without_a_key_the_answer_says_how_to_send_one(strict_http):
    answer = strict_http.get("/v1/evals")
    error = answer.json()["error"]
    assert answer.status_code == 401
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", None, None)
    assert error["message"].startswith("You didn't provide an API key.")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_key_is_named_but_masked(strict_http):
    answer = strict_http.get("/v1/evals", headers={"authorization": "Bearer sk-0123456789abcdefghij"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "invalid_api_key")
    assert error["message"].startswith("Incorrect API key provided: sk-********ghij.")


def test_a_short_key_is_masked_whole():
    assert masked("password") == "********"


def test_azure_clients_get_their_own_refusal(strict_http):
    error = strict_http.get("/openai/evals", headers={"api-key": "wrong"}).json()["error"]
    assert error["code"] == "401"
    assert error["message"].startswith("Access denied due to invalid subscription key.")


@pytest.mark.parametrize(
    "path", ["/v1/evals", "/v1/models", "/v1/models/x", "/v1/files", "/openai/v1/evals/e/runs"]
)
def test_no_route_of_the_api_answers_without_a_key(strict_http, path):
    assert strict_http.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
def test_health_and_the_description_need_no_key(strict_http, path):
    assert strict_http.get(path).status_code == 200


def test_a_project_sees_nothing_of_another(keyed, new_eval):
    with keyed.server.client(keyed.red) as red, keyed.server.client(keyed.blue) as blue:
        hidden = red.evals.create(**new_eval)
        assert hidden.id in [eval_.id for eval_ in red.evals.list()]
        assert hidden.id not in [eval_.id for eval_ in blue.evals.list()]
        for call in (blue.evals.retrieve, blue.evals.delete, blue.evals.update):
            with pytest.raises(openai.NotFoundError):
                call(hidden.id)
        with pytest.raises(openai.BadRequestError) as refused:
            blue.evals.list(after=hidden.id)
        assert refused.value.param == "after"


def test_the_three_client_families_see_the_same_evals(keyed, new_eval):
    url, key = keyed.server.url, keyed.red
    with (
        OpenAI(base_url=f"{url}/v1", api_key=key) as plain,
        OpenAI(base_url=f"{url}/openai/v1/", api_key="x", default_headers={"api-key": key}) as azure_v1,
        AzureOpenAI(azure_endpoint=url, api_key=key, api_version="2025-04-01-preview") as azure,
    ):
        made = azure.evals.create(**new_eval)
        assert plain.evals.retrieve(made.id) == azure_v1.evals.retrieve(made.id) == azure.evals.retrieve(made.id)


def test_without_keys_any_authorization_is_taken(server):
    with server.client("anything") as client:
        client.evals.list()
