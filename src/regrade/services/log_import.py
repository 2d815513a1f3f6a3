"""Recorded calls of models from elsewhere, into the store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from regrade.core.entities import StoredKind, StoredObject
from regrade.core.errors import RegradeError
from regrade.core.jsontext import dumps, loads
from regrade.core.recorded_calls import recorded_call
from regrade.core.tool_secrets import split_secrets
from regrade.ports.store import StoredObjectStore
from regrade.ports.system import Clock
from regrade.services.keys import checked_project

_AT_ONCE = 200
_NAMED_AT_MOST = 20


@dataclass(slots=True)
class LogReport:
    """What has become of the lines."""

    added: dict[StoredKind, int] = field(default_factory=lambda: {"chat": 0, "response": 0})
    known: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    """A sentence for each of the first lines that could not be taken."""


class LogImport:
    """Adds each call once, however often the same recording is read."""

    def __init__(self, store: StoredObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def add(self, project: str, lines: Iterable[tuple[str, bytes]]) -> LogReport:
        """Store what each line holds; a line comes with a name for it, and one that is of no use is reported."""
        checked_project(project)
        report = LogReport()
        calls = self._read(project, lines, report)
        while batch := list(islice(calls, _AT_ONCE)):
            for kind in report.added:
                objects = [each for each in batch if each.kind == kind]
                new = self._store.add_new(objects) if objects else 0
                report.added[kind] += new
                report.known += len(objects) - new
        return report

    def _read(self, project: str, lines: Iterable[tuple[str, bytes]], report: LogReport) -> Iterator[StoredObject]:
        for name, line in lines:
            try:
                yield self._object(project, line)
            except RegradeError as error:
                report.refused += 1
                if report.refused <= _NAMED_AT_MOST:
                    report.reasons.append(f"{name}: {error.message}")

    def _object(self, project: str, line: bytes) -> StoredObject:
        call = recorded_call(loads(line))
        answered = call.answer.get("model")
        asked = call.request.get("model") or answered
        return StoredObject(
            id=call.id,
            project=project,
            kind=call.kind,
            model_asked=str(asked or ""),
            model_answered=str(answered or asked or ""),
            created_at=self._clock.now() if call.created_at is None else call.created_at,
            status=str(call.answer.get("status") or "completed") if call.kind == "response" else "completed",
            metadata=call.metadata,
            request=dumps(split_secrets(call.request)[0]),
            answer=dumps(split_secrets(call.answer)[0]),
        )
