"""Tokens as text while they come: whole characters, up to a stop string."""

from collections.abc import Callable, Sequence

_TORN = "\ufffd"
_LONGEST_CHARACTER = 8
"""Tokens that a character may take; what is torn after as many is no character at all."""


class Text:
    """The text of one answer."""

    __slots__ = ("_decode", "_decoded", "_from", "_stops", "_streams", "_to", "_tokens", "stopped", "whole")

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str], *, streams: bool) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._streams = streams
        self._tokens: list[int] = []
        self._from = 0
        self._to = 0
        self.whole = ""
        """What has been decoded so far, without the stop string that ended it."""
        self.stopped = False

    @property
    def wants_tokens(self) -> bool:
        """Whether tokens have to be added as they come; otherwise `finish` alone will do."""
        return self._streams or bool(self._stops)

    @property
    def safe(self) -> int:
        """Characters of `whole` that stay, whatever comes: no stop string can begin in them."""
        if self.stopped:
            return len(self.whole)
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for held in range(min(longest, len(self.whole)), 0, -1):
            tail = self.whole[-held:]
            if any(stop.startswith(tail) for stop in self._stops):
                return len(self.whole) - held
        return len(self.whole)

    def add(self, token: int) -> bool:
        """Take a token; whether a stop string is there now."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._from : self._to])
        now = self._decode(self._tokens[self._from :])
        if now.endswith(_TORN) and len(self._tokens) - self._to < _LONGEST_CHARACTER:
            return False  # the rest of a character is still to come
        self._from, self._to = self._to, len(self._tokens)
        return self._grow(now[len(before) :])

    def finish(self, tokens: Sequence[int]) -> None:
        """All tokens are known now."""
        if not self.stopped:
            self.whole = self._decode(tokens)
            self._cut(0)

    def _grow(self, more: str) -> bool:
        begin = max(0, len(self.whole) - max((len(stop) for stop in self._stops), default=0))
        self.whole += more
        return self._cut(begin)

    def _cut(self, begin: int) -> bool:
        places = [at for stop in self._stops if (at := self.whole.find(stop, begin)) >= 0]
        if places:
            self.whole = self.whole[: min(places)]
            self.stopped = True
        return self.stopped
