"""What the real SDK gets through the gateway, from endpoints that speak chat alone, responses alone, or both."""

import asyncio
import json

import openai
import pydantic
import pytest

HELLO = [{"role": "user", "content": "hello you all"}]
SPOKEN = ["chat", "resp", "both"]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("spoken", SPOKEN)
def test_chat_completions_answer_whatever_the_endpoint_speaks(client, spoken):
    completion = client.chat.completions.create(model=f"{spoken}/echo", messages=HELLO)
    assert completion.choices[0].message.content == "hello you all"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == f"{spoken}/echo-001"
    assert completion.usage.total_tokens == 6


@pytest.mark.parametrize("spoken", SPOKEN)
def test_responses_answer_whatever_the_endpoint_speaks(client, spoken):
    response = client.responses.create(model=f"{spoken}/echo", input="hello you all", instructions="Be brief.")
    assert response.output_text == "hello you all"
    assert response.status == "completed"
    assert response.model == f"{spoken}/echo-001"
    assert response.usage.output_tokens == 3
    assert response.instructions == "Be brief."


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("store", [False, True])
def test_chat_streams_are_what_the_sdk_reads(client, spoken, store):
    with client.chat.completions.stream(model=f"{spoken}/echo", messages=HELLO, store=store) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta" and event.delta]
        final = stream.get_final_completion()
    assert "".join(deltas) == "hello you all"
    assert len(deltas) == 3
    assert final.choices[0].message.content == "hello you all"
    assert final.usage is None


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("store", [False, True])
def test_usage_is_streamed_to_those_who_ask_for_it(client, spoken, store):
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model=f"{spoken}/echo", messages=HELLO, store=store, stream=True, stream_options=options
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 6
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("store", [False, True])
def test_response_streams_are_what_the_sdk_reads(client, spoken, store):
    with client.responses.stream(
        model=f"{spoken}/echo", input="hello you all", store=store, metadata={"a": "1"}
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    names = [event.type for event in events]
    assert names[:2] == ["response.created", "response.in_progress"]
    assert names[-1] == "response.completed"
    assert names.count("response.output_text.delta") == 3
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "hello you all"
    assert (final.store, final.metadata) == (store, {"a": "1"})
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}


@pytest.mark.parametrize("spoken", SPOKEN)
def test_streams_reach_the_asynchronous_client_too(aclient, spoken):
    async def read():
        async with aclient as client:
            async with client.responses.stream(model=f"{spoken}/echo", input="hello you all") as stream:
                async for _ in stream:
                    pass
                text = (await stream.get_final_response()).output_text
            async with client.chat.completions.stream(model=f"{spoken}/echo", messages=HELLO) as stream:
                async for _ in stream:
                    pass
                return text, (await stream.get_final_completion()).choices[0].message.content

    assert asyncio.run(read()) == ("hello you all", "hello you all")


@pytest.mark.parametrize("spoken", SPOKEN)
def test_tools_are_called_through_either_api(client, spoken):
    model = f"{spoken}/tool"
    function = {"name": "weather", "parameters": WEATHER}
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Oslo"}],
        tools=[{"type": "function", "function": function}],
    )
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oslo"}'
    tools = [{"type": "function", "strict": False, **function}]
    with client.responses.stream(model=model, input="Oslo", tools=tools) as stream:
        for _ in stream:
            pass
        first = stream.get_final_response()
    [call] = first.output
    assert (call.name, call.arguments) == ("weather", '{"city": "Oslo"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
    second = client.responses.create(model=model, input=[output], tools=tools, previous_response_id=first.id)
    assert second.output_text == "Rain."


@pytest.mark.parametrize("spoken", SPOKEN)
def test_structured_answers_are_parsed_by_the_sdk_through_either_api(client, spoken):
    class City(pydantic.BaseModel):
        name: str

    model = f"{spoken}/json"
    message = {"role": "user", "content": "Oslo"}
    parsed = client.chat.completions.parse(model=model, messages=[message], response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Oslo")
    assert client.responses.parse(model=model, input="Oslo", text_format=City).output_parsed == City(name="Oslo")


@pytest.mark.parametrize("spoken", SPOKEN)
def test_an_answer_that_was_cut_says_so_in_either_api(client, spoken):
    completion = client.chat.completions.create(model=f"{spoken}/truncated", messages=HELLO)
    assert completion.choices[0].finish_reason == "length"
    with client.responses.stream(model=f"{spoken}/truncated", input="hello you all") as stream:
        names = [event.type for event in stream]
    assert names[-1] == "response.incomplete"


@pytest.mark.parametrize("spoken", ["chat", "both"])
def test_embeddings_are_passed_on(client, spoken):
    found = client.embeddings.create(model=f"{spoken}/echo", input=["a b", "a b", "c"])
    first, same, other = (each.embedding for each in found.data)
    assert first == same != other
    assert found.model == f"{spoken}/echo-001"


def test_an_alias_stands_for_a_model(client):
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO).model == "both/echo-001"


def test_parameters_that_this_server_does_not_know_reach_the_endpoint(client, sent):
    client.chat.completions.create(
        model="chat/echo",
        messages=HELLO,
        temperature=0.5,
        seed=7,
        extra_body={"top_k": 20},
        store=True,
        metadata={},
    )
    [body] = sent()
    assert body == {"model": "chat/echo", "messages": HELLO, "temperature": 0.5, "seed": 7, "top_k": 20}


def test_endpoints_keep_no_response(client, sent):
    first = client.responses.create(model="resp/echo", input="one", metadata={"a": "1"})
    client.responses.create(model="resp/echo", input="two", previous_response_id=first.id)
    assert [body["store"] for body in sent()] == [False, False]
    assert all("metadata" not in body and "previous_response_id" not in body for body in sent())


def test_azure_clients_name_the_model_in_the_url(server):
    with openai.AzureOpenAI(
        azure_endpoint=server.url, api_key="unused", api_version="2025-04-01-preview", max_retries=0
    ) as azure:
        model = "both/echo"
        assert azure.chat.completions.create(model=model, messages=HELLO).model == "both/echo-001"
        assert azure.responses.create(model=model, input="hi").output_text == "hi"
        assert len(azure.embeddings.create(model=model, input="a").data) == 1
        with azure.chat.completions.stream(model=model, messages=HELLO) as stream:
            assert stream.get_final_completion().choices[0].message.content == "hello you all"


def test_azures_other_prefix_answers_the_same(server):
    with openai.OpenAI(base_url=f"{server.url}/openai/v1/", api_key="unused", max_retries=0) as client:
        assert client.chat.completions.create(model="both/echo", messages=HELLO).model == "both/echo-001"


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("stream", [False, True])
def test_a_file_of_this_server_reaches_the_model_by_its_content(client, sent, spoken, stream):
    png = b"\x89PNG\r\n\x1a\n0000"
    file = client.files.create(file=("a.png", png), purpose="vision")
    parts = [{"type": "input_text", "text": "See"}, {"type": "input_image", "file_id": file.id}]
    answer = client.responses.create(
        model=f"{spoken}/echo", input=[{"role": "user", "content": parts}], stream=stream
    )
    response = [*answer][-1].response if stream else answer
    assert "data:image/png;base64,iVBORw0KGgowMDAw" in json.dumps(sent())
    [item] = client.responses.input_items.list(response.id)
    assert item.content[1].file_id == file.id


def test_a_file_that_nobody_has_uploaded_is_refused_with_its_place(client):
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"file_id": "file-none"}}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="both/echo", messages=[{"role": "user", "content": parts}])
    assert refused.value.param == "messages[0].content[1].image_url.file_id"
    assert "file-none" in refused.value.message
