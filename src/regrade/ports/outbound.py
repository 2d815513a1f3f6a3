"""The way to strangers: whom clients name by a URL."""

from collections.abc import Mapping
from typing import Protocol

from regrade.core.errors import RegradeError


class UnreachableError(RegradeError):
    """A stranger gave no answer, or may not be asked; the message is a part of a sentence without the URL."""


class Outbound(Protocol):
    """Requests to strangers: whoever may name a URL must reach nothing with it that only this machine can reach."""

    def check(self, url: str) -> str | None:
        """What is wrong with a URL, as a sentence; whether its host can be reached shows when it is asked."""
        ...

    async def get(self, url: str, *, most_bytes: int) -> bytes:
        """Fetch, following few redirects, at most so many bytes. From any event loop. Raises UnreachableError."""
        ...

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """Send, following no redirect; the status of the answer. From any event loop. Raises UnreachableError."""
        ...
