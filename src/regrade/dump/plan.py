"""What there is to fetch, how far each list has come, and what could not be had."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from regrade.core.errors import RegradeError
from regrade.dump.resources import PAGE_SIZE, RESOURCES, Answer, Request, Scope, escape, follow

_RANK = {resource: rank for rank, resource in enumerate(RESOURCES)}


class DamagedDumpError(RegradeError):
    """A dump is not what was written: it can be read up to the damage, and not be gone on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Something that could not be had, and why."""

    request: Request
    reason: str
    status: int | None
    """The HTTP status that refused it; None where no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of one resource, counted in objects; a list that could not be read at all counts as one."""

    found: int = 0
    saved: int = 0
    skipped: int = 0


@dataclass(slots=True, eq=False)
class _Thing:
    """How far one request has come."""

    request: Request
    number: int
    after: str | None = None
    answers: int = 0
    objects: int = 0
    ended: bool = False
    queued: bool = False
    skip: Skip | None = None
    cursors: set[str] = field(default_factory=set)

    @property
    def requests(self) -> int:
        """How many requests it takes in all, as far as one can know."""
        if self.ended or self.skip:
            return self.answers + (not self.ended)
        return max(self.answers + 1, -(-(self.request.promised or 1) // PAGE_SIZE))

    def tally(self) -> Tally:
        """What it has come to, in objects."""
        if self.skip:
            missing = max((self.request.promised or 0) - self.objects, 1)
            return Tally(found=self.objects + missing, saved=self.objects, skipped=missing)
        alone = 0 if self.request.kind == "page" else 1
        expected = self.objects if self.ended else max(self.objects, self.request.promised or alone)
        return Tally(found=expected, saved=self.objects)


class Plan:
    """The state of a walk.

    It follows from the answers alone, in whatever order: a walk that goes on shows it the answers that the dump
    holds and has its state back.
    """

    def __init__(self, scope: Scope, *, fetched: frozenset[str] = frozenset(RESOURCES)) -> None:
        self.scope = scope
        self._fetched = fetched
        self._things: dict[str, _Thing] = {}
        self._evals: set[str] = set()
        self._queue: list[tuple[int, int, _Thing]] = []
        self.requests = 0
        """How many requests the walk takes, as far as one can know; grows while lists are read."""
        self.answered = 0
        """How many of them are behind us."""

    def add(self, request: Request) -> None:
        """Fetch this too, unless it is known already."""
        if request.path in self._things:
            return
        if request.kind == "object" and request.resource == "evals" and request.path in self._evals:
            return
        thing = self._thing(request)
        if request.resource in self._fetched:
            self.requests += thing.requests
            self._enqueue(thing)

    def take(self) -> tuple[Request, str | None] | None:
        """What to fetch next, with the cursor to send; None when all is taken."""
        while self._queue:
            _, _, thing = heapq.heappop(self._queue)
            thing.queued = False
            if not thing.ended:
                return thing.request, thing.after
        return None

    def repeats(self, answer: Answer) -> bool:
        """Whether a list has come back to where it was, so that reading on would never end."""
        return answer.has_more and answer.objects[-1]["id"] in self._things[answer.request.path].cursors

    def record(self, answer: Answer) -> None:
        """Take note of an answer that is saved.

        Raises DamagedDumpError where it does not follow on the one before.
        """
        known = self._things.get(answer.request.path)
        thing = known or self._thing(answer.request)
        if thing.ended or thing.after != answer.after:
            raise DamagedDumpError(
                f"The answer for {answer.request.path} after {answer.after} does not follow on the one before."
            )
        before = thing.requests if known else 0
        thing.answers += 1
        thing.objects += len(answer.objects)
        thing.ended = not answer.has_more
        if answer.has_more:
            thing.after = answer.objects[-1]["id"]
            thing.cursors.add(answer.objects[-1]["id"])
        else:
            thing.cursors.clear()
        self.answered += 1
        self.requests += thing.requests - before
        if answer.request.resource == "evals" and answer.request.kind == "page":
            self._evals.update(f"/evals/{escape(found['id'])}" for found in answer.objects)
        for request in follow(answer, self.scope):
            self.add(request)
        if not thing.ended:
            self._enqueue(thing)

    def skip(self, skip: Skip) -> None:
        """Take note of what could not be had; nothing is tried twice in one walk."""
        thing = self._things[skip.request.path]
        before = thing.requests
        thing.skip = skip
        self.answered += 1
        self.requests += thing.requests - before

    def skipped(self) -> list[Skip]:
        """All that could not be had."""
        return [thing.skip for thing in self._things.values() if thing.skip]

    def open(self) -> Iterator[Request]:
        """What is not saved, or not to its end."""
        return (thing.request for thing in self._things.values() if not thing.ended)

    def unread(self) -> dict[str, int]:
        """Of each resource, the lists of unknown length that are not fetched."""
        lists: dict[str, int] = {}
        for thing in self._things.values():
            if (
                thing.request.kind == "page"
                and thing.request.promised is None
                and not thing.answers
                and not thing.skip
            ):
                lists[thing.request.resource] = lists.get(thing.request.resource, 0) + 1
        return lists

    def requests_ahead(self) -> int:
        """How many requests fetching everything takes from the start, as far as one can know."""
        return sum(thing.requests for thing in self._things.values())

    def tallies(self) -> dict[str, Tally]:
        """Found, saved and skipped of every resource."""
        sums = {resource: [0, 0, 0] for resource in RESOURCES}
        for thing in self._things.values():
            tally = thing.tally()
            row = sums[thing.request.resource]
            row[0] += tally.found
            row[1] += tally.saved
            row[2] += tally.skipped
        return {
            resource: Tally(found=found, saved=saved, skipped=skipped)
            for resource, (found, saved, skipped) in sums.items()
        }

    def _thing(self, request: Request) -> _Thing:
        thing = self._things[request.path] = _Thing(request, len(self._things))
        return thing

    def _enqueue(self, thing: _Thing) -> None:
        if not thing.queued:
            thing.queued = True
            heapq.heappush(self._queue, (_RANK[thing.request.resource], thing.number, thing))
