"""Creates that a client repeats because it never got the answer: one object, however often it asks."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import TypeVar

from regrade.core.entities import Creation
from regrade.core.errors import InvalidError, NotFoundError
from regrade.ports.store import CreationStore
from regrade.ports.system import Clock

WINDOW_SECONDS = 600
MAX_KEY_LENGTH = 255

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to create something."""

    project: str
    path: str
    """Without the prefix, so that a client which changes it still repeats itself."""
    body_hash: str
    repeat: bool
    """Whether the client says that it sent this before."""
    idempotency_key: str | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether anything says that this is not the first time."""
        return self.repeat or self.idempotency_key is not None

    @property
    def fingerprint(self) -> str:
        """Equal for a create and its repeats, and for nothing else."""
        return _digest(self.project, self.path, self.idempotency_key or "", self.body_hash)

    @property
    def key_fingerprint(self) -> str:
        """Equal for all attempts that share an Idempotency-Key, whatever their bodies."""
        return _digest("key", self.project, self.path, self.idempotency_key or "")


class Creations:
    """Durable through its store; in this process a repeat also waits for a first attempt that is still at work."""

    def __init__(self, store: CreationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._at_work: Counter[str] = Counter()
        self._changed = Condition()

    def once(self, attempt: Attempt, make: Callable[[Creation], T], find: Callable[[str], T]) -> T:
        """What `make` makes, or, where `attempt` repeats an earlier one, what that one made.

        `find` gives the object by its id. It raises NotFoundError where that was deleted since: a new one is made.
        """
        keyed = attempt.idempotency_key is not None
        lane = attempt.key_fingerprint if keyed else attempt.fingerprint
        with self._turn(lane, wait=attempt.may_repeat):
            now = self._clock.now()
            if attempt.may_repeat:
                known = self._known(attempt, since=now - WINDOW_SECONDS)
                if known is not None:
                    try:
                        return find(known)
                    except NotFoundError:
                        pass
            made = make(Creation(fingerprint=attempt.fingerprint, created_at=now))
            if keyed:
                self._store.add(attempt.key_fingerprint, attempt.body_hash, now=now)
            return made

    def earlier(self, attempt: Attempt) -> str | None:
        """The id of what an earlier request has made, where this one says that it is a repeat."""
        if not attempt.may_repeat:
            return None
        return self._known(attempt, since=self._clock.now() - WINDOW_SECONDS)

    def creation(self, attempt: Attempt) -> Creation:
        """What a store remembers of the attempt, together with what it makes."""
        return Creation(fingerprint=attempt.fingerprint, created_at=self._clock.now())

    def _known(self, attempt: Attempt, *, since: int) -> str | None:
        if attempt.idempotency_key is not None:
            if len(attempt.idempotency_key) > MAX_KEY_LENGTH:
                raise InvalidError(f"An Idempotency-Key can have at most {MAX_KEY_LENGTH} characters.")
            body_hash = self._store.find(attempt.key_fingerprint, since=since)
            if body_hash not in (None, attempt.body_hash):
                raise InvalidError(
                    f"The Idempotency-Key '{attempt.idempotency_key}' came with another body in the last"
                    f" {WINDOW_SECONDS // 60} minutes. Send a new key with a new request."
                )
        return self._store.find(attempt.fingerprint, since=since)

    @contextmanager
    def _turn(self, lane: str, *, wait: bool) -> Iterator[None]:
        """Be at work in a lane; with `wait`, only once nobody else is.

        First attempts never wait: equal creates that are no repeats are separate objects.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: not self._at_work[lane])
            self._at_work[lane] += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work[lane] -= 1
                if not self._at_work[lane]:
                    del self._at_work[lane]
                self._changed.notify_all()


def _digest(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
