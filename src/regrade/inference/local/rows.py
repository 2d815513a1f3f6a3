"""One answer that is being written, as the running batch knows it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from regrade.inference.local.grammars import Matcher
from regrade.inference.local.sampling import Likely, Taste
from regrade.inference.local.texts import Text

Ending = Literal["stop", "length", "cancelled"]


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """A prompt, what has been written after it, and how to go on."""

    prompt: list[int]
    limit: int
    """Tokens that may be written."""
    taste: Taste
    chance: Random
    ends: frozenset[int]
    """Tokens that end an answer."""
    text: Text
    matcher: Matcher | None
    """What the answer has to be by its schema."""
    told: Callable[["Row"], None]
    """Called in the generation's thread after each step that is news to somebody."""
    streams: bool = False
    written: list[int] = field(default_factory=list)
    likely: list[Likely] = field(default_factory=list)
    ending: Ending | None = None

    @property
    def tokens(self) -> list[int]:
        """Everything that the model has to have read before it goes on."""
        return self.prompt + self.written

    @property
    def spoken(self) -> list[int]:
        """What has been written, without the token that ends it."""
        return self.written[:-1] if self.written and self.written[-1] in self.ends else self.written

    def take(self, token: int, likely: Likely | None) -> None:
        """Go on by a token, and see whether that ends the answer."""
        self.written.append(token)
        if likely is not None:
            self.likely.append(likely)
        if token in self.ends:
            self.ending = "stop"
        else:
            if self.matcher is not None and self.matcher.took(token):
                self.ending = "stop"
            if self.text.wants_tokens and self.text.add(token):
                self.ending = "stop"
            if self.ending is None and len(self.written) >= self.limit:
                self.ending = "length"
        if self.ending is not None or self.streams:
            self.told(self)

    def cancel(self) -> None:
        """End it now, for nobody waits any more."""
        if self.ending is None:
            self.ending = "cancelled"
