"""How a run asks its model."""

import pytest

from regrade.core.errors import InvalidError, RowError
from regrade.core.sampling import compile_plan
from regrade.core.templates import MissingVariableError

FILE = {"type": "file_id", "id": "file-1"}
USER = {"type": "message", "role": "user", "content": {"type": "input_text", "text": "Translate {{item.text}}"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
TEXT_FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}


def template(*messages):
    return {"type": "template", "template": list(messages or [USER])}


def source(kind="completions", **fields):
    return {"type": kind, "source": FILE, "model": "m", "input_messages": template(), **fields}


def plan(kind="completions", **fields):
    return compile_plan(source(kind, **fields))


def test_a_row_becomes_a_chat_request():
    compiled = plan()
    assert (compiled.api, compiled.model) == ("chat", "m")
    assert compiled.request({"text": "Hi"}) == {"messages": [{"role": "user", "content": "Translate Hi"}]}


def test_a_row_becomes_a_request_to_the_responses_api():
    item = {"type": "message", "role": "user", "content": "Translate Hi"}
    assert plan("responses").request({"text": "Hi"}) == {"input": [item], "store": False}


def test_every_part_of_a_message_may_name_the_item():
    content = [
        {"type": "input_text", "text": "See {{item.a}}"},
        {"type": "input_image", "image_url": "{{item.url}}"},
        {"type": "input_audio", "input_audio": {"data": "{{item.sound}}", "format": "wav"}},
        "constant",
    ]
    compiled = plan(
        input_messages=template({"role": "user", "content": content}, {"role": "system", "content": "Be brief."})
    )
    assert compiled.request({"a": 1, "url": "u", "sound": "UklG"})["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See 1"},
                {"type": "image_url", "image_url": {"url": "u"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {"type": "text", "text": "constant"},
            ],
        },
        {"role": "system", "content": "Be brief."},
    ]


@pytest.mark.parametrize("reference", ["item.input", "{{item.input}}"])
@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            [{"role": "user", "content": "Hi"}],
        ),
        (
            [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "5"},
            ],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "5"},
            ],
        ),
    ],
)
def test_a_row_may_bring_its_messages_itself(reference, value, messages):
    compiled = plan(input_messages={"type": "item_reference", "item_reference": reference})
    assert compiled.request({"input": value})["messages"] == messages


def test_chat_messages_of_a_row_go_to_the_responses_api_too():
    compiled = plan("responses", input_messages={"type": "item_reference", "item_reference": "item.input"})
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
    part = {"type": "input_image", "detail": "auto", "image_url": "u"}
    assert compiled.request({"input": messages})["input"] == [
        {"type": "message", "role": "user", "content": [part]}
    ]


def test_a_row_that_lacks_what_the_messages_name_is_an_error_of_the_row():
    with pytest.raises(MissingVariableError, match="no 'text'"):
        plan().request({"prompt": "Hi"})
    compiled = plan(input_messages={"type": "item_reference", "item_reference": "item.input"})
    with pytest.raises(RowError, match="list of messages"):
        compiled.request({"input": 5})
    with pytest.raises(RowError, match=r"item.input\[0\]: An item of type 'web_search_call'"):
        compiled.request({"input": [{"type": "web_search_call"}]})
    with pytest.raises(RowError, match="Messages are objects"):
        compiled.request({"input": [{"role": "assistant", "tool_calls": 5}]})


def test_a_value_that_looks_like_a_template_is_not_expanded():
    assert (
        plan()
        .request({"text": "{{item.secret}}", "secret": "x"})["messages"][0]["content"]
        .endswith("{{item.secret}}")
    )


# -- parameters ---------------------------------------------------------------------------------------------

TOOL = {"type": "function", "name": "f", "parameters": {}, "strict": True}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}


@pytest.mark.parametrize(
    "spelling", ["max_tokens", "max_completion_tokens", "max_completions_tokens", "max_output_tokens"]
)
def test_the_token_limit_is_read_in_every_spelling(spelling):
    assert plan(sampling_params={spelling: 9, "max_tokens": 9}).parameters == {"max_completion_tokens": 9}
    assert plan("responses", sampling_params={spelling: 9}).parameters == {"max_output_tokens": 9, "store": False}


@pytest.mark.parametrize(
    ("given", "chat", "responses"),
    [
        (
            {"temperature": 0, "top_p": 0.5, "seed": 5},
            {"temperature": 0, "top_p": 0.5, "seed": 5},
            {"temperature": 0, "top_p": 0.5, "seed": 5},
        ),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"response_format": FORMAT}, {"response_format": FORMAT}, {"text": {"format": TEXT_FORMAT}}),
        ({"text": {"format": TEXT_FORMAT}}, {"response_format": FORMAT}, {"text": {"format": TEXT_FORMAT}}),
        ({"tools": [TOOL]}, {"tools": [CHAT_TOOL]}, {"tools": [TOOL]}),
        (
            {"tools": [CHAT_TOOL], "parallel_tool_calls": False, "tool_choice": {"type": "function", "name": "f"}},
            {
                "tools": [CHAT_TOOL],
                "parallel_tool_calls": False,
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
            {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": {"type": "function", "name": "f"}},
        ),
        ({"unheard_of": 1, "temperature": None, "response_format": None}, {}, {}),
    ],
)
def test_parameters_reach_either_api_in_its_own_form(given, chat, responses):
    assert plan(sampling_params=given).parameters == chat
    assert plan("responses", sampling_params=given).parameters == {**responses, "store": False}


def test_tools_of_every_kind_go_to_the_responses_api_as_they_are():
    tools = [{"type": "web_search"}, {"type": "mcp", "server_url": "u"}, {"type": "of_tomorrow", "a": 1}]
    assert plan("responses", sampling_params={"tools": tools}).parameters["tools"] == tools


# -- definitions that are wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "data_source.model"),
        ({"input_messages": None}, "data_source.input_messages"),
        (
            {"input_messages": template()["template"] and {"type": "template", "template": []}},
            "data_source.input_messages.template",
        ),
        ({"input_messages": template({"content": "Hi"})}, "data_source.input_messages.template[0].role"),
        (
            {"input_messages": template({"role": "assistant", "tool_calls": 5})},
            "data_source.input_messages.template",
        ),
        ({"input_messages": template({"role": "user"})}, "data_source.input_messages.template[0].content"),
        (
            {"input_messages": template({"role": "user", "content": "{{foo.bar}}"})},
            "data_source.input_messages.template[0].content",
        ),
        (
            {
                "input_messages": template(
                    {"role": "user", "content": [{"type": "input_text", "text": "{{sample.output_text}}"}]}
                )
            },
            "data_source.input_messages.template[0].content[0].text",
        ),
        (
            {"input_messages": {"type": "item_reference", "item_reference": "sample.input"}},
            "data_source.input_messages.item_reference",
        ),
        (
            {"input_messages": {"type": "item_reference", "item_reference": "messages"}},
            "data_source.input_messages.item_reference",
        ),
        ({"sampling_params": {"temperature": "hot"}}, "data_source.sampling_params.temperature"),
        ({"sampling_params": {"max_tokens": 0}}, "data_source.sampling_params.max_tokens"),
        ({"sampling_params": {"tools": "all"}}, "data_source.sampling_params.tools"),
        ({"sampling_params": {"tools": [TOOL, {"type": "mcp"}]}}, "data_source.sampling_params.tools[1].type"),
        ({"sampling_params": {"response_format": "json"}}, "data_source.sampling_params.response_format"),
        (
            {"sampling_params": {"text": {"format": {"type": "json_schema", "schema": {"$ref": "http://x/y"}}}}},
            "data_source.sampling_params.text.format.schema",
        ),
    ],
)
def test_a_wrong_definition_is_refused_by_its_path(fields, param):
    with pytest.raises(InvalidError) as caught:
        plan(**fields)
    assert caught.value.param == param


def test_messages_that_name_what_no_item_can_have_are_refused():
    schema = {"type": "object", "properties": {"prompt": {}}, "additionalProperties": False}
    with pytest.raises(InvalidError, match="allows no 'text'"):
        compile_plan(source(), item_schema=schema)


@pytest.mark.parametrize(
    ("data_source", "recorded"),
    [
        ({"type": "jsonl", "source": FILE}, False),
        ({"type": "completions", "source": {"type": "stored_completions"}}, False),
        ({"type": "responses", "source": {"type": "responses"}, "model": "m"}, False),
        ({"type": "completions", "source": FILE}, True),
    ],
)
def test_a_run_over_recorded_samples_asks_nobody(data_source, recorded):
    assert compile_plan(data_source, recorded=recorded) is None


def test_files_that_every_request_names_are_known_before_the_run():
    parts = [{"type": "input_image", "file_id": "file-1"}, {"type": "input_file", "file_id": "{{item.file}}"}]
    compiled = plan(input_messages=template({"role": "user", "content": parts}))
    assert compiled.files == (("data_source.input_messages.template[0].content[0].file_id", "file-1"),)
    asked = compiled.request({"file": "file-2"})["messages"][0]["content"]
    assert asked[1] == {"type": "file", "file": {"file_id": "file-2"}}
