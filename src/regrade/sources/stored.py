"""Rows from stored chat completions and responses: what was asked is the item, what was answered the sample."""

from collections.abc import Iterator

from regrade.core.entities import Eval, Run, StoredKind
from regrade.core.jsontext import dumps, loads
from regrade.core.stored_objects import filter_of
from regrade.ports.store import StoredObjectStore
from regrade.types.json import JsonObject


def rows(store: StoredObjectStore, run: Run, eval_: Eval, *, now: int) -> Iterator[bytes]:
    """Lines of JSON as sources/jsonl reads them, of all that the run's source selects at this moment."""
    source = run.data_source["source"]
    wanted = filter_of(source, eval_.data_source_config.get("metadata"))
    kind: StoredKind = "chat" if source["type"] == "stored_completions" else "response"
    for stored in store.select(run.project, kind, wanted, now=now):
        request = loads(stored.request)
        asked = request.get("messages") if kind == "chat" else _input(request)
        yield dumps({"item": {"input": asked}, "sample": loads(stored.answer)}) + b"\n"


def _input(request: JsonObject) -> list[JsonObject]:
    """What a response was asked, as messages: instructions first, a mere text as the user's."""
    asked = request.get("input") or []
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    instructions = request.get("instructions")
    return [{"role": "system", "content": instructions}, *asked] if instructions else asked
