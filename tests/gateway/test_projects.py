"""Who has no key gets nothing, and no project sees another's stored objects."""

import openai
import pytest

from gateway.conftest import gateway
from regrade import outside, settings

HELLO = [{"role": "user", "content": "hello you all"}]
PATHS = ("chat/completions", "responses", "embeddings")


@pytest.fixture(scope="module")
def keyed(up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed") / "here"
    folder.mkdir()
    with outside.open_keys(settings.load({"data_dir": str(folder / "data")}, environ={})) as keys:
        red, blue = (keys.create(project, "", admin=False)[1] for project in ("red", "blue"))
    with gateway(folder, up) as server, server.client(red) as red_client, server.client(blue) as blue_client:
        yield server, red_client, blue_client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prefix", ["v1", "openai", "openai/v1"])
def test_models_answer_nobody_without_a_key(keyed, up, prefix, path):
    server, _, _ = keyed
    up.forget()
    body = {"model": "both/echo", "messages": HELLO, "input": "hi"}
    client = openai.OpenAI(base_url=f"{server.url}/{prefix}", api_key="wrong", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError):
        client.post(f"/{path}", body=body, cast_to=object)
    assert up.requests() == []


def test_a_project_sees_its_own_objects_alone(keyed):
    _, red, blue = keyed
    completion = red.chat.completions.create(model="both/echo", messages=HELLO, store=True)
    response = red.responses.create(model="both/echo", input="hi")
    assert red.chat.completions.retrieve(completion.id).id == completion.id
    assert not list(blue.chat.completions.list())
    for call in (
        lambda: blue.chat.completions.retrieve(completion.id),
        lambda: blue.chat.completions.update(completion.id, metadata={}),
        lambda: blue.chat.completions.delete(completion.id),
        lambda: list(blue.chat.completions.messages.list(completion.id)),
        lambda: blue.responses.retrieve(response.id),
        lambda: blue.responses.delete(response.id),
        lambda: blue.responses.cancel(response.id),
        lambda: list(blue.responses.input_items.list(response.id)),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    with pytest.raises(openai.BadRequestError) as refused:
        blue.responses.create(model="both/echo", input="hi", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        blue.chat.completions.list(after=completion.id)
    assert refused.value.param == "after"
