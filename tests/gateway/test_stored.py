"""What passes through the gateway and is stored: read at once, listed, filtered, relabelled, forgotten."""

import openai
import pytest

HELLO = [{"role": "user", "content": "hello you all"}]
SPOKEN = ["chat", "resp", "both"]


def complete(client, text="hello you all", model="both/echo", **more):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, store=True, **more)


def test_nothing_is_stored_of_a_chat_that_does_not_ask_for_it(client):
    completion = client.chat.completions.create(model="both/echo", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(completion.id)


def test_a_stored_completion_can_be_read_as_soon_as_it_is_answered(client):
    completion = complete(client, metadata={"usecase": "read"}, temperature=0.5, tools=None)
    stored = client.chat.completions.retrieve(completion.id)
    assert stored.choices == completion.choices
    assert (stored.id, stored.created, stored.model) == (completion.id, completion.created, completion.model)
    assert stored.metadata == {"usecase": "read"}
    assert stored.temperature == 0.5
    assert stored.request_id.startswith("req_")
    [listed] = client.chat.completions.list(metadata={"usecase": "read"})
    assert listed.id == completion.id


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("model", ["echo", "think", "refusal", "truncated"])
def test_a_streamed_completion_is_stored_as_if_it_had_not_been_streamed(client, spoken, model):
    asked = {"model": f"{spoken}/{model}", "messages": HELLO, "store": True}
    whole = client.chat.completions.create(**asked).model_dump(exclude={"id", "created"}, exclude_none=True)
    [*_, last] = client.chat.completions.create(**asked, stream=True)
    stored = client.chat.completions.retrieve(last.id).model_dump(exclude={"id", "created"}, exclude_none=True)
    for extra in ("request_id", "metadata"):
        del stored[extra]
    for message in (stored["choices"][0]["message"], whole["choices"][0]["message"]):
        message.pop("annotations", None)
        if not message.get("content"):
            message.pop("content", None)
    assert stored == whole


@pytest.mark.parametrize("spoken", SPOKEN)
def test_a_streamed_response_is_stored_whole_before_its_last_event(client, spoken):
    for event in client.responses.create(model=f"{spoken}/echo", input="hello you all", stream=True):
        if event.type == "response.completed":
            stored = client.responses.retrieve(event.response.id)
    assert stored.output_text == "hello you all"
    assert stored.status == "completed"
    assert stored == event.response


def test_completions_are_listed_by_model_and_metadata_in_pages(client):
    made = [
        complete(client, model=f"{each}/echo", metadata={"test": "pages"}).id for each in ("chat", "both", "chat")
    ]
    listed = client.chat.completions.list(metadata={"test": "pages"}, limit=2)
    assert [each.id for each in listed.data] == made[:2]
    assert [each.id for each in listed] == made
    descending = client.chat.completions.list(metadata={"test": "pages"}, order="desc", limit=1)
    assert [each.id for each in descending] == made[::-1]
    for model in ("chat/echo", "chat/echo-001"):
        assert [each.id for each in client.chat.completions.list(model=model, metadata={"test": "pages"})] == [
            made[0],
            made[2],
        ]
    assert not list(client.chat.completions.list(metadata={"test": "pages", "more": "x"}))


def test_new_metadata_takes_the_place_of_the_old(client):
    completion = complete(client, metadata={"test": "update", "a": "1"})
    changed = client.chat.completions.update(completion.id, metadata={"test": "update", "b": "2"})
    assert changed.metadata == {"test": "update", "b": "2"}
    assert not list(client.chat.completions.list(metadata={"test": "update", "a": "1"}))
    assert client.chat.completions.update(completion.id, metadata=None).metadata == {}


def test_a_deleted_completion_is_gone(client):
    completion = complete(client, metadata={"test": "delete"})
    deleted = client.chat.completions.delete(completion.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (completion.id, "chat.completion.deleted", True)
    for call in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(openai.NotFoundError):
            call(completion.id)
    assert not list(client.chat.completions.list(metadata={"test": "delete"}))


def test_the_messages_of_a_completion_are_listed_with_their_parts(client):
    parts = [{"type": "text", "text": "Look: "}, {"type": "image_url", "image_url": {"url": "http://x.example/y"}}]
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": parts}]
    completion = client.chat.completions.create(model="both/parts", messages=messages, store=True)
    first, second = client.chat.completions.messages.list(completion.id, limit=1)
    assert (first.id, first.content, first.content_parts) == (f"{completion.id}-0", "Be kind.", None)
    assert second.content == "Look: "
    assert [part.type for part in second.content_parts] == ["text", "image_url"]


@pytest.mark.parametrize("store", [None, True])
def test_responses_are_stored_unless_the_client_declines(client, store):
    kept = client.responses.create(model="both/echo", input="hi", store=store, metadata={"a": "1"})
    read = client.responses.retrieve(kept.id)
    assert read == kept
    assert (read.metadata, read.store) == ({"a": "1"}, True)
    declined = client.responses.create(model="both/echo", input="hi", store=False)
    assert declined.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(declined.id)


@pytest.mark.parametrize("spoken", SPOKEN)
def test_a_response_goes_on_from_another_and_knows_what_was_said(client, spoken):
    model = f"{spoken}/echo"
    first = client.responses.create(model=model, input="one")
    second = client.responses.create(
        model=model, input=[{"role": "user", "content": "two"}], previous_response_id=first.id
    )
    with client.responses.stream(model=model, input="three", previous_response_id=second.id) as stream:
        for _ in stream:
            pass
        third = stream.get_final_response()
    assert third.previous_response_id == second.id
    said = [item.content[0].text for item in client.responses.input_items.list(third.id, order="asc", limit=2)]
    assert said == ["one", "one", "two", "two", "three"]
    newest = client.responses.input_items.list(third.id, limit=1)
    assert newest.data[0].content[0].text == "three"
    # A response keeps what it went on from, whatever becomes of that.
    client.responses.delete(first.id)
    again = client.responses.create(model=model, input="four", previous_response_id=third.id)
    assert len(list(client.responses.input_items.list(again.id))) == 7


@pytest.mark.parametrize("model", ["echo", "think", "refusal", "truncated", "tool"])
def test_a_stored_response_is_read_again_as_a_stream(client, model):
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
    tools = {"tools": [tool]} if model == "tool" else {}
    kept = client.responses.create(model=f"both/{model}", input="one two three", **tools)
    events = list(client.responses.retrieve(kept.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert (events[-1].type, events[-1].response) == (f"response.{kept.status}", kept)
    assert [event.item for event in events if event.type == "response.output_item.done"] == kept.output
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == kept.output_text
    assert list(client.responses.retrieve(kept.id, stream=True, starting_after=2)) == events[3:]


def test_the_stream_of_a_response_in_the_background_ends_with_it(client):
    kept = client.responses.create(model="resp/echo", input="hello", background=True)
    *_, last = client.responses.retrieve(kept.id, stream=True)
    assert (last.type, last.response.output_text) == ("response.completed", "hello")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_unknown", stream=True)


def test_a_deleted_response_is_gone_and_nothing_goes_on_from_it(client):
    response = client.responses.create(model="both/echo", input="hi")
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="both/echo", input="hi", previous_response_id=response.id)
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "previous_response_not_found")


def test_a_response_in_the_background_is_asked_for_until_it_is_there(client):
    response = client.responses.create(model="resp/echo", input="hello", background=True)
    assert response.status == "queued"
    assert client.responses.retrieve(response.id).status == "in_progress"
    done = client.responses.retrieve(response.id)
    assert (done.id, done.status, done.output_text) == (response.id, "completed", "hello")
    assert client.responses.retrieve(response.id) == done
    assert client.responses.cancel(response.id).status == "completed"


def test_a_response_in_the_background_is_cancelled_and_deleted_where_it_runs(client, up, sent):
    response = client.responses.create(model="resp/echo", input="cancel me", background=True)
    assert sent()[0]["store"] is True
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    assert up.state()["background"] == 0


def test_only_what_runs_in_the_background_can_be_cancelled(client):
    response = client.responses.create(model="resp/echo", input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(response.id)
    assert refused.value.code == "invalid_state"


@pytest.mark.parametrize("field", [{"background": True}, {"conversation": "conv_1"}])
@pytest.mark.parametrize("stream", [False, True])
def test_what_only_the_responses_api_has_is_refused_where_the_endpoint_speaks_chat(client, field, stream):
    [name] = field
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="chat/echo", input="hi", stream=stream, **field)
    assert refused.value.param == name
    assert "chat-only" in refused.value.message


def test_a_conversation_is_passed_to_an_endpoint_that_has_them(client, sent):
    client.responses.create(model="resp/echo", input="hi", conversation="conv_1")
    assert sent()[0]["conversation"] == "conv_1"


def test_secrets_of_tools_are_in_no_answer_and_nowhere_in_the_data(server, client, sent):
    secret = "planted-Qm9v-secret"
    tools = [{"type": "mcp", "server_label": "s", "server_url": "http://s.example", "authorization": secret}]
    response = client.responses.create(model="resp/echo", input="hi", tools=tools)
    assert sent()[0]["tools"] == tools
    events = client.responses.create(model="resp/echo", input="hi", tools=tools, stream=True)
    told = "".join(event.model_dump_json() for event in events)
    told += response.model_dump_json() + client.responses.retrieve(response.id).model_dump_json()
    assert secret not in told
    assert "redacted" in told
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_repeated_request_finds_what_the_first_one_stored(http):
    body = {"model": "both/echo", "messages": HELLO, "store": True, "metadata": {"test": "repeat"}}
    first = http.post("/v1/chat/completions", json=body).json()
    again = http.post("/v1/chat/completions", json=body, headers={"x-stainless-retry-count": "1"}).json()
    other = http.post("/v1/chat/completions", json=body).json()
    assert again["id"] == first["id"] != other["id"]
    elsewhere = http.post("/openai/chat/completions", json=body, headers={"x-stainless-retry-count": "1"}).json()
    assert elsewhere["id"] in (first["id"], other["id"])
    answer = http.post("/v1/responses", json={"model": "both/echo", "input": "repeat"}).json()
    headers = {"x-stainless-retry-count": "2"}
    assert (
        http.post("/v1/responses", json={"model": "both/echo", "input": "repeat"}, headers=headers).json() == answer
    )
