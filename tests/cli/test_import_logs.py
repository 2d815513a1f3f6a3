"""`regrade import logs`: recorded calls of elsewhere, read through the API as if they had been made here."""

import gzip
import json

import pytest

from cli.commands import regrade
from regrade.dump.layout import data_file
from regrade.dump.resources import Answer, Request
from regrade.dump.storage import DumpWriter
from servers import serving

COMPLETION = {
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-2024",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
}
REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "2+2?"}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_001,
    "model": "gpt-4o-2024",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}],
    "input": "2+2?",
}


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def imported(data_dir, source, *flags):
    return regrade("import", "logs", source, "--data-dir", data_dir, *flags)


def test_recorded_calls_are_served_like_those_that_were_made_here(data_dir, tmp_path):
    lines = [
        {"request": {**REQUEST, "metadata": {"k": str(n)}}, "response": {**COMPLETION, "id": f"chatcmpl-{n}"}}
        for n in range(3)
    ]
    source = tmp_path / "calls.jsonl"
    source.write_text("\ufeff" + "\n\n".join(map(json.dumps, [*lines, RESPONSE])))
    first, again = imported(data_dir, source), imported(data_dir, source)
    assert first.returncode == 0, first.stderr
    assert first.stdout == (
        "3 chat completions and 1 responses are stored in project default; 0 were there already.\n"
    )
    assert "0 chat completions and 0 responses" in again.stdout
    assert "4 were there already" in again.stdout
    with serving(data_dir, "--workers", "0") as server, server.client() as client:
        assert [each.id for each in client.chat.completions.list()] == ["chatcmpl-0", "chatcmpl-1", "chatcmpl-2"]
        [found] = client.chat.completions.list(metadata={"k": "1"}, model="gpt-4o")
        assert found.choices[0].message.content == "4"
        assert client.responses.retrieve("resp_1").output_text == "4"
        [item] = client.responses.input_items.list("resp_1")
        assert item.content[0].text == "2+2?"


def test_lines_that_are_no_calls_are_named_and_the_others_read(data_dir, tmp_path):
    source = tmp_path / "calls.jsonl.gz"
    source.write_bytes(gzip.compress(f'{json.dumps(RESPONSE)}\n{{"a": \n{{}}\n'.encode()))
    answer = imported(data_dir, source, "--project", "acme")
    assert answer.returncode == 1
    assert "0 chat completions and 1 responses are stored in project acme" in answer.stdout
    assert "2 could not be read" in answer.stderr
    assert "line 2: This is not valid JSON" in answer.stderr
    assert "line 3: It has neither" in answer.stderr


@pytest.mark.parametrize("flags", [["--project", "no such name"], []])
def test_a_wrong_name_is_a_usage_error(data_dir, tmp_path, flags):
    source = tmp_path / "calls.jsonl"
    if flags:
        source.write_text("")
    answer = imported(data_dir, source, *flags)
    assert answer.returncode == 2
    assert answer.stderr.startswith("regrade: ")


def test_stored_completions_come_out_of_a_dump_with_their_messages(data_dir, tmp_path):
    parts = [{"type": "text", "text": "2+2?"}]
    listed = [{"id": "chatcmpl-1-0", "role": "user", "content": "2+2?", "content_parts": parts, "name": None}]
    with DumpWriter(tmp_path / "dump", {}, now=1) as dump:
        for resource, path, objects in (
            ("chat_completions", "/chat/completions", [{**COMPLETION, "id": "chatcmpl-1", "metadata": {"a": "1"}}]),
            ("chat_completion_messages", "/chat/completions/chatcmpl-1/messages", listed),
        ):
            page = {"object": "list", "data": objects, "has_more": False}
            request = Request(resource=resource, path=path)
            dump.append(
                Answer(request=request, after=None, fetched_at=1, raw=json.dumps(page).encode(), value=page)
            )
            assert (tmp_path / "dump" / data_file(resource)).exists()
    answer = imported(data_dir, tmp_path / "dump")
    assert answer.returncode == 0, answer.stderr
    with serving(data_dir, "--workers", "0") as server, server.client() as client:
        [found] = client.chat.completions.list(metadata={"a": "1"})
        [message] = client.chat.completions.messages.list(found.id)
        assert [part.text for part in message.content_parts] == ["2+2?"]
