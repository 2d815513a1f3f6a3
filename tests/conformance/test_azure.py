"""Azure's two families of clients do the main job, and read the errors that they expect."""

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from conformance import main_job


@pytest.fixture
def azure(keyed):
    """The class of its own, with a version of the API in each URL: /openai/...?api-version=."""
    with AzureOpenAI(
        azure_endpoint=keyed.server.url, api_key=keyed.red, api_version="2025-04-01-preview"
    ) as client:
        yield client


@pytest.fixture
def azure_v1(keyed):
    """OpenAI's class with Azure's header: /openai/v1/."""
    headers = {"api-key": keyed.red, "aoai-evals": "preview"}
    with OpenAI(
        base_url=f"{keyed.server.url}/openai/v1/",
        api_key="placeholder",
        default_headers=headers,
        default_query={"api-version": "preview"},
    ) as client:
        yield client


@pytest.fixture(params=["azure", "azure_v1"])
def either(request):
    return request.getfixturevalue(request.param)


def test_the_main_job(either):
    assert main_job.do(either) == main_job.EXPECTED


def test_an_error_has_azures_form(either):
    with pytest.raises(openai.NotFoundError) as unknown:
        either.evals.retrieve("eval_none")
    assert unknown.value.body == {
        "code": "not_found",
        "message": "No eval found with id 'eval_none'.",
        "param": "eval_id",
        "type": "error",
        "inner_error": {},
    }
    assert unknown.value.request_id


def test_the_same_error_has_openais_form_under_v1(keyed):
    with keyed.server.client(keyed.red) as plain, pytest.raises(openai.NotFoundError) as unknown:
        plain.evals.retrieve("eval_none")
    assert unknown.value.body == {
        "message": "No eval found with id 'eval_none'.",
        "type": "invalid_request_error",
        "param": "eval_id",
        "code": "not_found",
    }


def test_a_wrong_key_is_refused_in_azures_words(keyed):
    with (
        AzureOpenAI(azure_endpoint=keyed.server.url, api_key="wrong", api_version="preview") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.evals.list()
    assert refused.value.code == "401"
    assert "invalid subscription key" in refused.value.message


def test_a_token_of_entra_is_read_like_a_key(keyed):
    with AzureOpenAI(
        azure_endpoint=keyed.server.url,
        azure_ad_token_provider=lambda: keyed.red,
        api_version="2025-04-01-preview",
    ) as client:
        client.evals.list()


@pytest.mark.parametrize("version", ["2024-10-21", "2025-04-01-preview", "v1", "anything"])
def test_any_version_of_the_api_is_taken(keyed, version):
    with AzureOpenAI(azure_endpoint=keyed.server.url, api_key=keyed.red, api_version=version) as client:
        client.files.list()
