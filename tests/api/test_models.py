"""Models, through the real SDK: what the operator's endpoints serve."""

import openai
import pytest

from servers import serving

CONFIG = """
[[endpoints]]
name = "office"
base_url = "http://127.0.0.1:9/v1"
models = ["Qwen/Qwen3-8B", "llama3.2:1b", "gpt-4o-*"]
[aliases]
"o3-mini" = "Qwen/Qwen3-8B"
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "regrade.toml").write_text(CONFIG)
    with serving(folder / "data", "--workers", "0") as server, server.client() as client:
        yield client.models


def test_there_are_no_models_before_endpoints_are_configured(client):
    assert client.models.list().data == []


def test_the_list_holds_what_is_named_and_aliases_of_it(models):
    listed = {model.id: model.owned_by for model in models.list()}
    assert listed == {"Qwen/Qwen3-8B": "office", "llama3.2:1b": "office", "o3-mini": "office"}


@pytest.mark.parametrize("name", ["Qwen/Qwen3-8B", "llama3.2:1b", "o3-mini"])
def test_a_model_is_read_by_its_name_whatever_that_holds(models, name):
    assert models.retrieve(name).id == name


def test_a_name_that_only_a_pattern_takes_is_a_model_while_its_upstream_cannot_be_asked(models):
    assert models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_an_unknown_model_is_not_found_and_close_names_are_told(models):
    with pytest.raises(openai.NotFoundError, match="Close to it: Qwen/Qwen3-8B") as caught:
        models.retrieve("qwen3-8b")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_configured_model_cannot_be_deleted(models):
    with pytest.raises(openai.PermissionDeniedError, match="configured by the operator"):
        models.delete("Qwen/Qwen3-8B")
    with pytest.raises(openai.NotFoundError):
        models.delete("nothing")
