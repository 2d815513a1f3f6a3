"""What models were asked, counted: tokens in one form, whichever API counted them, added up by model."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from regrade.types.json import JsonObject, JsonValue


class Tokens(NamedTuple):
    """The tokens of one answer; 0 where unknown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


_NONE = Tokens(0, 0, 0, 0)
_MOST = 2**53  # recordings can hold integers so long that their sum has no text any more


def counted(usage: JsonValue) -> Tokens:
    """The counts in a `usage` as chat completions, responses, embeddings or output items write it."""
    if not isinstance(usage, dict):
        return _NONE
    prompt = _first_integer(usage, "prompt_tokens", "input_tokens")
    completion = _first_integer(usage, "completion_tokens", "output_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = details if isinstance(details, dict) else usage
    total = _first_integer(usage, "total_tokens") or prompt + completion
    return Tokens(prompt, completion, total, _first_integer(cached, "cached_tokens"))


def _first_integer(counts: JsonObject, *names: str) -> int:
    for name in names:
        value = counts.get(name)
        if type(value) is int and abs(value) <= _MOST:
            return value
    return 0


@dataclass(slots=True)
class ModelUsage:
    """What one model was asked."""

    invocation_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0

    def merge(self, other: "ModelUsage") -> None:
        """Add another's calls to this one's."""
        self.invocation_count += other.invocation_count
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.total_tokens += other.total_tokens
        self.cached_tokens += other.cached_tokens


@dataclass(slots=True)
class UsageByModel:
    """What each model was asked, by the name that it answered with. Merging is commutative and associative."""

    models: dict[str, ModelUsage] = field(default_factory=dict)

    @classmethod
    def from_json(cls, entries: Iterable[JsonObject]) -> "UsageByModel":
        """Read `as_json` back."""
        usage = cls()
        for entry in entries:
            counts = {name: count for name, count in entry.items() if name != "model_name"}
            usage.models[entry["model_name"]] = ModelUsage(**counts)
        return usage

    def add(self, model: str, usage: JsonValue) -> None:
        """Count one answer of `model` with its `usage` in any form."""
        tokens = counted(usage)
        self.models.setdefault(model, ModelUsage()).merge(ModelUsage(1, *tokens))

    def merge(self, other: "UsageByModel") -> None:
        """Add another's calls to this one's."""
        for model, usage in other.models.items():
            self.models.setdefault(model, ModelUsage()).merge(usage)

    def as_json(self) -> list[JsonObject]:
        """`per_model_usage` as answered, in the order of names."""
        return [{"model_name": model, **asdict(usage)} for model, usage in sorted(self.models.items())]

    def tokens_by_model(self) -> JsonObject:
        """As graders/run answers it: the counts of tokens by model."""
        return {
            entry.pop("model_name"): {name: count for name, count in entry.items() if name != "invocation_count"}
            for entry in self.as_json()
        }
