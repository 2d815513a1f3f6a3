"""Files of this server in messages."""

import base64

import pytest

from regrade.core.message_files import file_ids, inline_file, inline_files
from regrade.core.translation import chat_messages

PNG = b"\x89PNG\r\n\x1a\n...."
ITEMS = [
    {"role": "user", "content": {"type": "input_image", "file_id": "file-1", "detail": "low"}},
    {"role": "user", "content": ["See", {"type": "input_file", "file_id": "file-2"}]},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "file-3"}]},
]


@pytest.mark.parametrize(
    ("filename", "content", "kind"),
    [
        ("a", PNG, "image/png"),
        ("a.png", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", b"RIFF....WEBPVP8 ", "image/webp"),
        ("a", b"%PDF-1.7", "application/pdf"),
        ("a.csv", b"1,2", "text/csv"),
        ("a", b"?", "application/octet-stream"),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_first_bytes_or_else_by_its_name(filename, content, kind):
    assert inline_file(filename, content).url == f"data:{kind};base64,{base64.b64encode(content).decode()}"


def test_files_are_found_wherever_messages_name_them():
    paths = ["input[0].content.file_id", "input[1].content[1].file_id", "input[2].output[0].file_id"]
    assert list(file_ids(ITEMS, at="input")) == list(zip(paths, ["file-1", "file-2", "file-3"], strict=True))
    chat = chat_messages(ITEMS)
    assert [file_id for _, file_id in file_ids({"messages": chat})] == ["file-1", "file-2", "file-3"]
    assert next(file_ids({"messages": chat}))[0] == "messages[0].content[0].image_url.file_id"


def test_the_responses_api_gets_their_content():
    png, text = inline_file("a.png", PNG), inline_file("a.txt", b"Hi")
    inlined = inline_files({"input": ITEMS, "seed": 5}, {"file-1": png, "file-2": text})
    assert inlined["input"][0]["content"] == {"type": "input_image", "detail": "low", "image_url": png.url}
    assert inlined["input"][1]["content"] == [
        "See",
        {"type": "input_file", "file_data": text.url, "filename": "a.txt"},
    ]
    assert inlined["input"][2] == ITEMS[2]
    assert inlined["seed"] == 5
    assert ITEMS[0]["content"]["file_id"] == "file-1"


def test_chat_completions_get_their_content():
    png, text = inline_file("a.png", PNG), inline_file("a.txt", b"Hi")
    inlined = inline_files({"messages": chat_messages(ITEMS)}, {"file-1": png, "file-2": text})["messages"]
    assert inlined[0]["content"] == [{"type": "image_url", "image_url": {"detail": "low", "url": png.url}}]
    assert inlined[1]["content"][1] == {"type": "file", "file": {"file_data": text.url, "filename": "a.txt"}}
