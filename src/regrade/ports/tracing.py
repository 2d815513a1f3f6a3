"""Telling an operator's tracing system what took how long: requests, runs, chunks, calls of models."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol

from regrade.core.entities import Run


class Span(Protocol):
    """Something that takes time; what happens within it belongs to it."""

    def note(self, facts: Mapping[str, str | int], *, name: str | None = None) -> None:
        """Facts about it, and a better name: words of ours, numbers and statuses, never what clients have sent."""
        ...

    def leads_to(self, run_id: str) -> None:
        """It has caused the run, which goes on after it."""
        ...


class Tracing(Protocol):
    """Where spans begin. A run is a trace of its own, with its own id; a request is part of its client's."""

    on: bool
    """Whether anybody is told."""

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """A request to this server; its headers may name the trace that it is part of."""
        ...

    def chunk(self, run_id: str, k: int) -> AbstractContextManager[Span]:
        """Work on a chunk of a run, whoever else works on others."""
        ...

    def call(self, model: str, api: str) -> AbstractContextManager[Span]:
        """A call of a model with all its attempts."""
        ...

    def run_ended(self, run: Run) -> None:
        """Tell the run's own span, from its creation to its end."""
        ...

    def flush(self) -> None:
        """Send what was not sent yet, for a moment at most: the process ends."""
        ...


class NoSpan:
    """A span that nobody is told of."""

    def note(self, facts: Mapping[str, str | int], *, name: str | None = None) -> None:
        """See Span."""

    def leads_to(self, run_id: str) -> None:
        """See Span."""


class NoTraces:
    """ports.Tracing for operators who have not asked for it."""

    on = False

    def __init__(self) -> None:
        self._nothing = nullcontext(NoSpan())

    def request(self, _method: str, _headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """See Tracing."""
        return self._nothing

    def chunk(self, _run_id: str, _k: int) -> AbstractContextManager[Span]:
        """See Tracing."""
        return self._nothing

    def call(self, _model: str, _api: str) -> AbstractContextManager[Span]:
        """See Tracing."""
        return self._nothing

    def run_ended(self, run: Run) -> None:
        """See Tracing."""

    def flush(self) -> None:
        """See Tracing."""


REQUEST_SPAN: ContextVar[Span | None] = ContextVar("request_span", default=None)
"""The span of the request that is answered, where requests are traced."""
