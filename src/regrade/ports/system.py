"""Time, ids and secrets, as the inside asks for them."""

from typing import Protocol


class Clock(Protocol):
    """The only way to learn the time."""

    def now(self) -> int:
        """Unix seconds."""
        ...

    def nanoseconds(self) -> int:
        """Unix nanoseconds, never the same or smaller twice in a process."""
        ...


class Ids(Protocol):
    """Where new ids and secrets come from."""

    def new(self, kind: str) -> str:
        """A new id of a kind named in core/ids.PREFIXES; later ids sort after earlier ones."""
        ...

    def uuid4(self) -> str:
        """A random UUID, as in criterion ids."""
        ...

    def secret(self) -> str:
        """43 URL-safe random characters."""
        ...
