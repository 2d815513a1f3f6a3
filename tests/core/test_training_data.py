"""Training rows: what each method takes, and where the fault is said to be."""

import base64
import json

import pytest

from regrade.core.training_data import Base, RowProblem, TrainingRow, count_problem, read_rows

USER = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()


def read(row, method="supervised", **base):
    (found,) = read_rows([json.dumps(row).encode()], method, Base(**base))
    return found


def test_a_conversation_is_taken_as_it_is():
    assert read({"messages": [USER, HELLO]}) == TrainingRow(line=1, row={"messages": [USER, HELLO]})


def test_tools_calls_weights_and_developers_have_one_form():
    row = read(
        {
            "messages": [
                {
                    "role": "developer",
                    "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
                },
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 0},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
                HELLO,
            ],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
            "parallel_tool_calls": False,
        }
    ).row
    assert row["messages"][0] == {"role": "system", "content": "Be brief."}
    assert row["messages"][2] == {"role": "assistant", "content": "", "tool_calls": [CALL], "weight": 0}
    assert row["tools"][0]["function"]["name"] == "look"


def test_legacy_functions_become_tools():
    row = read(
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
                {"role": "function", "name": "look", "content": "found"},
                HELLO,
            ],
            "functions": [{"name": "look"}],
        }
    ).row
    call = row["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "look", "arguments": "{}"}
    assert row["messages"][2] == {"role": "tool", "content": "found", "tool_call_id": call["id"], "name": "look"}
    assert row["tools"] == [{"type": "function", "function": {"name": "look"}}]


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ([1], ""),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [USER]}, "messages"),
        ({"messages": [USER, {**HELLO, "weight": 0}]}, "messages"),
        ({"messages": [USER, {**HELLO, "weight": 0.5}]}, "messages[1].weight"),
        ({"messages": [{**USER, "weight": 1}, HELLO]}, "messages[0].weight"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages[1].content"),
        ({"messages": [USER, {**HELLO, "tool_calls": [{"id": "c"}]}]}, "messages[1].tool_calls[0].function"),
        (
            {"messages": [USER, {**HELLO, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "x"}, HELLO]}, "messages[0].tool_call_id"),
        ({"messages": [USER, HELLO], "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"messages": [USER, HELLO], "tools": 3}, "tools"),
        ({"prompt": "a", "completion": "b"}, "prompt"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(row, path):
    found = read(row)
    assert isinstance(found, RowProblem)
    assert found.path == path
    assert found.message.startswith("Line 1")


def test_lines_are_counted_with_the_blank_ones():
    lines = [b"\xef\xbb\xbf" + json.dumps({"messages": [USER, HELLO]}).encode(), b"\n", b"{not json"]
    first, second = read_rows(lines, "supervised", Base())
    assert isinstance(first, TrainingRow)
    assert second.line == 3
    assert "not valid JSON" in second.message


def test_bases_without_a_chat_template_learn_completions_only():
    pair = {"prompt": "1 + 1 =", "completion": " 2"}
    assert read(pair, chat=False).row == pair
    assert read({"prompt": "1", "completion": ""}, chat=False).path == "completion"
    assert "chat template" in read({"messages": [USER, HELLO]}, chat=False).message


@pytest.mark.parametrize("method", ["dpo", "reinforcement"])
def test_only_supervised_jobs_learn_from_images(method):
    look = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}
    row = {"messages": [look], "input": {"messages": [look]}}
    found = read({**row, "preferred_output": [HELLO], "non_preferred_output": [HELLO]}, method, vision=True)
    assert found.path.endswith("messages[0].content[0].image_url")
    assert "only supervised jobs" in found.reason


def test_images_are_for_bases_that_see():
    look = {
        "role": "user",
        "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}],
    }
    assert read({"messages": [look, HELLO]}, vision=True).images == 1
    assert read({"messages": [look, HELLO]}).path == "messages[0].content[1].image_url"
    assert read({"messages": [{**look, "role": "assistant"}, HELLO]}, vision=True).path.endswith("image_url")
    for url in (
        "ftp://example.com/a.png",
        "data:image/gif;base64,R0lG",
        "data:image/png;base64,R0lG",
        "data:image/png;base64,!",
    ):
        look["content"][1]["image_url"]["url"] = url
        assert read({"messages": [look, HELLO]}, vision=True).path == "messages[0].content[1].image_url.url"
    look["content"] = [{"type": "image_url", "image_url": {"url": PNG}}] * 11
    assert "11 images" in read({"messages": [look, HELLO]}, vision=True).message


def test_preferences_take_both_spellings():
    row = {
        "input": {"messages": [USER]},
        "preferred_output": [HELLO],
        "non_preferred_output": [{**HELLO, "content": "No"}],
    }
    found = read(row, "dpo").row
    assert (found["messages"], found["preferred"]) == ([USER], [HELLO])
    row["preferred_completion"] = row.pop("preferred_output")
    assert read(row, "dpo").row == found
    assert read({**row, "non_preferred_output": [USER]}, "dpo").path == "non_preferred_output[0].role"
    assert read({**row, "non_preferred_output": [HELLO]}, "dpo").path == "non_preferred_output"
    assert read({"input": {}}, "dpo").path == "input.messages"


def test_prompts_of_reinforcement_keep_the_whole_row_as_item():
    row = {"messages": [USER], "answer": 4}
    assert read(row, "reinforcement").row == {"messages": [USER], "item": row}
    assert read({"messages": [USER, HELLO]}, "reinforcement").path == "messages[1].role"


def test_files_need_ten_rows_and_validation_files_one():
    assert count_problem(9, 0, "supervised", validation=False) == (
        "Training file has 9 example(s), but must have at least 10."
    )
    assert count_problem(10, 0, "supervised", validation=False) is None
    assert count_problem(1, 0, "dpo", validation=True) is None
    assert "1,000" in count_problem(1001, 0, "reinforcement", validation=True)
