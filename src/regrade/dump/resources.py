"""What the hosted API holds, and what each answer leads to; rules without input or output."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from regrade.core.jsontext import JsonTextError, loads
from regrade.types.json import JsonObject, JsonValue

PAGE_SIZE = 100

RESOURCES = {
    "evals": "evals",
    "eval_runs": "eval runs",
    "output_items": "output items",
    "fine_tuning_jobs": "fine-tuning jobs",
    "fine_tuning_events": "fine-tuning events",
    "fine_tuning_checkpoints": "fine-tuning checkpoints",
    "chat_completions": "stored chat completions",
    "chat_completion_messages": "messages of stored chat completions",
    "files": "file records",
    "file_contents": "file contents",
}
"""Every resource with its name for people. One is fetched before those after it, so that totals are known early."""

COUNTED = frozenset({"evals", "eval_runs", "fine_tuning_jobs", "chat_completions"})
"""What a dry run fetches: the lists that tell how much there is."""

_DATED = frozenset({"eval_runs", "fine_tuning_jobs", "chat_completions"})

Kind = Literal["page", "object", "bytes"]


class MalformedAnswerError(Exception):
    """An answer that is not what its path promises: cut off, no JSON, or without ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing to fetch; a list is one thing, whatever its number of pages."""

    resource: str
    path: str
    """After the base URL; no two things share one."""
    kind: Kind = "page"
    promised: int | None = None
    """How many objects the list will have, where its parent says so."""
    size: int | None = None
    """How many bytes the file will have, where its record says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the service."""

    request: Request
    after: str | None
    """The cursor that was sent: None for a first page, and for all that is no list."""
    fetched_at: int
    raw: bytes
    """The body as it came. For bytes: our own record of the file that they were written to."""
    value: JsonObject
    """`raw`, parsed."""

    @property
    def objects(self) -> list[JsonObject]:
        """The objects in the answer, in its order."""
        if self.request.kind != "page":
            return [self.value]
        objects: list[JsonObject] = self.value["data"]
        return objects

    @property
    def has_more(self) -> bool:
        """Whether another page follows; an empty one is the last, as the SDK has it."""
        return self.request.kind == "page" and bool(self.value.get("has_more")) and bool(self.objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much of the account is wanted."""

    since: int | None = None
    """Runs, jobs and chat completions made before this second are not followed any further."""
    evals: tuple[str, ...] = ()
    """Where not empty: these evals with all that belongs to them, and nothing else."""

    def roots(self) -> list[list[Request]]:
        """Where the walk starts, in stages: each begins when all that the one before led to is fetched."""
        if self.evals:
            return [[Request(resource="evals", path=f"/evals/{escape(e)}", kind="object") for e in self.evals]]
        return [
            [Request(resource="evals", path="/evals")],
            [Request(resource="fine_tuning_jobs", path="/fine_tuning/jobs")],
            [Request(resource="chat_completions", path="/chat/completions")],
        ]

    def holds(self, value: JsonObject) -> bool:
        """Whether what belongs to this object is wanted."""
        created_at = value.get("created_at", value.get("created"))
        return self.since is None or not isinstance(created_at, int) or created_at >= self.since


def escape(object_id: str) -> str:
    """An id as one segment of a path, or as a file's name."""
    escaped = quote(object_id, safe="")
    return escaped if escaped.strip(".") else escaped.replace(".", "%2E")


def parse(raw: bytes, kind: Kind) -> JsonObject:
    """Read an answer's body. Raises MalformedAnswerError."""
    value = _parse_json(raw)
    if not isinstance(value, dict):
        raise MalformedAnswerError("the answer is not a JSON object")
    if kind == "page":
        data = value.get("data")
        if not isinstance(data, list):
            raise MalformedAnswerError("the list has no 'data'")
        if not all(isinstance(entry, dict) and _is_id(entry.get("id")) for entry in data):
            raise MalformedAnswerError("the list holds something that has no id")
    elif kind == "object" and not _is_id(value.get("id")):
        raise MalformedAnswerError("the object has no id")
    return value


def follow(answer: Answer, scope: Scope) -> Iterator[Request]:
    """What an answer says there is more to fetch."""
    resource = answer.request.resource
    for found in answer.objects:
        if resource in _DATED and not scope.holds(found):
            continue
        match resource:
            case "evals":
                yield Request(resource="eval_runs", path=f"/evals/{escape(found['id'])}/runs")
            case "eval_runs":
                yield from _of_run(answer.request.path, found)
            case "fine_tuning_jobs":
                yield from _of_job(found)
            case "chat_completions":
                path = f"/chat/completions/{escape(found['id'])}/messages"
                yield Request(resource="chat_completion_messages", path=path)
            case "files":
                path = f"/files/{escape(found['id'])}/content"
                yield Request(resource="file_contents", path=path, kind="bytes", size=_count(found.get("bytes")))


def _of_run(runs_path: str, run: JsonObject) -> Iterator[Request]:
    counts = run.get("result_counts")
    yield Request(
        resource="output_items",
        path=f"{runs_path}/{escape(run['id'])}/output_items",
        promised=_count(counts.get("total")) if isinstance(counts, dict) else None,
    )
    data_source = run.get("data_source")
    if isinstance(data_source, dict):
        source = data_source.get("source")
        if isinstance(source, dict) and source.get("type") == "file_id" and _is_id(source.get("id")):
            yield _file(source["id"])
        # Not `source` itself: it may hold a user's rows, whose `file_id` is anybody's guess.
        yield from map(_file, _file_ids({key: value for key, value in data_source.items() if key != "source"}))


def _of_job(job: JsonObject) -> Iterator[Request]:
    path = f"/fine_tuning/jobs/{escape(job['id'])}"
    yield Request(resource="fine_tuning_events", path=f"{path}/events")
    yield Request(resource="fine_tuning_checkpoints", path=f"{path}/checkpoints")
    results = job.get("result_files")
    for file_id in [
        job.get("training_file"),
        job.get("validation_file"),
        *(results if isinstance(results, list) else []),
    ]:
        if _is_id(file_id):
            yield _file(file_id)
    if _is_id(job.get("eval_id")):  # made by the service for a reinforcement job; the list of evals may lack it
        yield Request(resource="evals", path=f"/evals/{escape(job['eval_id'])}", kind="object")


def _file(file_id: str) -> Request:
    return Request(resource="files", path=f"/files/{escape(file_id)}", kind="object")


def _file_ids(value: JsonValue) -> Iterator[str]:
    """Every `file_id` and `file_ids` in a document, however deep."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            named = node.get("file_ids")
            for file_id in [node.get("file_id"), *(named if isinstance(named, list) else [])]:
                if _is_id(file_id):
                    yield file_id
        if isinstance(node, dict | list):
            stack.extend(node.values() if isinstance(node, dict) else node)


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _is_id(value: JsonValue) -> bool:
    return isinstance(value, str) and value != ""


def _parse_json(raw: bytes) -> JsonValue:
    try:
        return loads(raw)
    except JsonTextError:
        # What a service answered is saved even where it is not strict JSON: NaN as a loss, or deep nesting.
        try:
            return json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise MalformedAnswerError(f"the answer is not JSON ({error})") from error
