"""One conversation with a server in which every operation is asked, in many ways; what was answered is kept."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from conformance.graders_of_the_wire import EVERY_GRADER, SIMILAR
from evals import CONFIG, EXACT, inline_source, jsonl, row


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    status: int
    content_type: str
    body: Any


@dataclass
class Talker:
    """An HTTP client that keeps what it hears."""

    http: httpx2.Client
    heard: list[Exchange] = field(default_factory=list)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self.http.request(method, f"/v1{path}", **request)
        content_type = answer.headers["content-type"]
        body = answer.json() if content_type == "application/json" else answer.content
        self.heard.append(Exchange(method.lower(), answer.request.url.path, answer.status_code, content_type, body))
        return body

    def upload(self, content: bytes, **form: str) -> str:
        files = {"file": ("rows.jsonl", content)}
        return self.ask("POST", "/files", files=files, data={"purpose": "evals", **form})["id"]

    def run(self, eval_id: str, data_source: Any, **body: Any) -> str:
        return self.ask("POST", f"/evals/{eval_id}/runs", json={"data_source": data_source, **body})["id"]

    def end(self, eval_id: str, run_id: str) -> Any:
        """The run once it has ended; the states before that are heard too."""
        for _ in range(600):
            run = self.ask("GET", f"/evals/{eval_id}/runs/{run_id}")
            if run["status"] not in ("queued", "in_progress"):
                return run
            time.sleep(0.05)
        raise AssertionError(f"the run is still {run['status']}")


def hold(http: httpx2.Client) -> list[Exchange]:
    """The whole conversation."""
    talker = Talker(http)
    for part in (_evals, _runs, _files, _uploads, _graders, _models, _errors):
        part(talker)
    return talker.heard


def _evals(talker: Talker) -> None:
    configs = [
        CONFIG,
        {**CONFIG, "include_sample_schema": True},
        {"type": "custom", "item_schema": {}},
        {"type": "logs"},
        {"type": "logs", "metadata": {"usecase": "chat"}},
        {"type": "stored_completions", "metadata": {"usecase": "chat"}},
    ]
    for config in configs:
        made = talker.ask("POST", "/evals", json={"data_source_config": config, "testing_criteria": [EXACT]})
    body = {"data_source_config": CONFIG, "testing_criteria": EVERY_GRADER, "metadata": None}
    made = talker.ask("POST", "/evals", json=body)
    talker.ask("GET", f"/evals/{made['id']}")
    talker.ask("POST", f"/evals/{made['id']}", json={"name": "renamed", "metadata": {"k": "v"}})
    talker.ask("GET", "/evals", params={"limit": 2, "order": "desc", "order_by": "updated_at"})
    talker.ask("GET", "/evals", params={"after": made["id"], "order": "asc"})
    talker.ask("DELETE", f"/evals/{made['id']}")


def _runs(talker: Talker) -> None:
    body = {"data_source_config": CONFIG, "testing_criteria": [EXACT, SIMILAR], "name": "runs"}
    eval_id = talker.ask("POST", "/evals", json=body)["id"]
    runs = f"/evals/{eval_id}/runs"
    talker.ask("GET", runs)
    sample = {"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}}]}
    rows = [row(0, right=True), row(1, right=False), {**row(2, right=True), "sample": sample}]
    inline = talker.run(eval_id, inline_source([*rows, row(3, right=True)["item"]]), metadata={"k": "v"})
    from_file = talker.run(eval_id, _file(talker, jsonl([*rows, {"item": {"answer": 1}}])), name="from a file")
    failed = talker.run(eval_id, _file(talker, b"\n"))
    for run_id in (inline, from_file, failed):
        talker.end(eval_id, run_id)
        items = talker.ask("GET", f"{runs}/{run_id}/output_items")["data"]
        for item in items:
            talker.ask("GET", f"{runs}/{run_id}/output_items/{item['id']}")
    talker.ask("GET", f"{runs}/{from_file}/output_items", params={"status": "fail", "limit": 1})
    canceled = talker.run(eval_id, _file(talker, jsonl(row(index, right=True) for index in range(20_000))))
    talker.ask("POST", f"{runs}/{canceled}/cancel")
    talker.ask("POST", f"{runs}/{canceled}")
    for status in ("completed", "failed", "canceled", "queued"):
        talker.ask("GET", runs, params={"status": status})
    talker.ask("DELETE", f"{runs}/{inline}")


def _file(talker: Talker, content: bytes) -> Any:
    return {"type": "jsonl", "source": {"type": "file_id", "id": talker.upload(content)}}


def _files(talker: Talker) -> None:
    talker.upload(b"{}", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})
    file_id = talker.upload(b"{}", purpose="fine-tune")
    talker.ask("GET", f"/files/{file_id}")
    talker.ask("GET", f"/files/{file_id}/content")
    talker.ask("GET", "/files", params={"limit": 2})
    talker.ask("GET", "/files", params={"order": "asc", "after": file_id})
    talker.ask("DELETE", f"/files/{file_id}")


def _uploads(talker: Talker) -> None:
    announced = {"bytes": 4, "filename": "rows.jsonl", "mime_type": "application/jsonl", "purpose": "evals"}
    whole, given_up = (talker.ask("POST", "/uploads", json=announced)["id"] for _ in range(2))
    parts = [
        talker.ask("POST", f"/uploads/{whole}/parts", files={"data": ("upload", half)})["id"]
        for half in (b"{}", b"\n\n")
    ]
    talker.ask("POST", f"/uploads/{whole}/complete", json={"part_ids": parts})
    talker.ask("POST", f"/uploads/{given_up}/cancel")


def _graders(talker: Talker) -> None:
    path = "/fine_tuning/alpha/graders"
    for grader in EVERY_GRADER:
        talker.ask("POST", f"{path}/validate", json={"grader": grader})
        item = {"answer": "4", "reference": "4"}
        talker.ask("POST", f"{path}/run", json={"grader": grader, "model_sample": "4", "item": item})
    talker.ask("POST", f"{path}/run", json={"grader": EXACT, "model_sample": "4", "item": {}})


def _models(talker: Talker) -> None:
    talker.ask("GET", "/models")


def _errors(talker: Talker) -> None:
    talker.ask("POST", "/evals", json={})
    for path in ("/evals/none", "/files/none", "/models/none", "/evals/none/runs/none"):
        talker.ask("GET", path)
        talker.ask("DELETE", path)
    talker.ask("POST", "/uploads/none/cancel")
