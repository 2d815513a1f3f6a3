"""Messages as they are answered, and as plain text."""

import pytest

from regrade.core.messages import flatten, normalise


def test_a_string_comes_back_as_a_part():
    assert normalise([{"role": "user", "content": "Hi"}]) == [
        {"type": "message", "role": "user", "content": {"type": "input_text", "text": "Hi"}}
    ]


def test_parts_lists_and_unknown_fields_stay_as_sent():
    part = {"type": "output_text", "text": "Hi", "cache": True}
    messages = [
        {"role": "assistant", "content": part, "phase": "final"},
        {"type": None, "role": "tool", "content": ["Hi", part]},
    ]
    assert normalise(messages) == [
        {"type": "message", "role": "assistant", "content": part, "phase": "final"},
        {"type": "message", "role": "tool", "content": ["Hi", part]},
    ]


def test_items_that_are_no_messages_stay_as_sent():
    output = {"type": "function_call_output", "call_id": "c", "output": "5"}
    assert normalise([output]) == [output]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        (None, ""),
        ({"type": "input_text", "text": "Hi"}, "Hi"),
        (["Hi", {"type": "text", "text": "there"}], "Hi there"),
        (
            [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": "u"}],
            "See <image>u</image>",
        ),
        ([{"type": "image_url", "image_url": {"url": "u"}}], "<image>u</image>"),
        ([{"type": "input_image", "image_url": None, "file_id": "file-1"}], "<image>file-1</image>"),
        ([{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}], "<audio>UklG</audio>"),
        ([{"type": "input_file", "filename": "a.pdf", "file_data": "x"}], "<file>a.pdf</file>"),
        ([{"type": "unheard_of"}], ""),
    ],
)
def test_content_flattens_to_one_string(content, text):
    assert flatten(content) == text
