"""Evals and rows that several tests use."""

import json
import time

CONFIG = {
    "type": "custom",
    "item_schema": {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "reference": {"type": "string"}},
        "required": ["answer", "reference"],
    },
}
EXACT = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{item.answer}}",
    "reference": "{{item.reference}}",
}


def row(index: int, *, right: bool) -> dict:
    return {"item": {"answer": str(index), "reference": str(index if right else -1)}}


def jsonl(rows) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in rows)


def upload(client, rows, name="rows.jsonl"):
    return client.files.create(file=(name, jsonl(rows)), purpose="evals")


def file_source(file):
    return {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}


def inline_source(rows):
    return {"type": "jsonl", "source": {"type": "file_content", "content": rows}}


def wait(client, run, seconds=60):
    """The run once it has ended."""
    deadline = time.monotonic() + seconds
    while run.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, f"the run is still {run.status}: {run.result_counts}"
        time.sleep(0.05)
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    return run
