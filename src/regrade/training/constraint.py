"""Answers that must be JSON of a schema: which token may come next, by llguidance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from regrade.core.jsontext import dumps
from regrade.core.local_models import JSON_SPACE
from regrade.training.failures import TrainingError
from regrade.types.json import JsonObject


class Grammar:
    """A response format, compiled for one tokenizer."""

    def __init__(
        self, response_format: JsonObject, tokenizer: Any, *, vocabulary: int, eos_ids: Iterable[int]
    ) -> None:
        """Raises TrainingError where the schema cannot be enforced."""
        import llguidance.hf
        from llguidance import LLMatcher

        self.eos_ids = list(eos_ids)
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=self.eos_ids)
        schema = _schema(response_format)
        options: Any = {"whitespace_pattern": JSON_SPACE}
        self._grammar = LLMatcher.grammar_from_json_schema(dumps(schema).decode(), overrides=options)
        problem = LLMatcher.validate_grammar(self._grammar, self._tokenizer)
        if problem:
            raise TrainingError("server_error", f"The response_format cannot be enforced: {problem}")

    def matcher(self) -> Any:
        """Follows one answer from its beginning."""
        from llguidance import LLMatcher

        return LLMatcher(self._tokenizer, self._grammar)


class Constrained(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Holds every answer of one batch to the grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._matchers: list[Any] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Forbid what the grammar does not let follow; once an answer is whole, only its end may follow."""
        if not self._matchers:
            self._matchers = [self._grammar.matcher() for _ in range(len(input_ids))]
        else:
            for matcher, token in zip(self._matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        allowed = torch.from_numpy(np.stack([self._allowed(each, scores.shape[1]) for each in self._matchers]))
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))

    def _allowed(self, matcher: Any, vocabulary: int) -> np.ndarray:
        allowed: np.ndarray = np.zeros(vocabulary, dtype=bool)
        if matcher.is_stopped():
            allowed[self._grammar.eos_ids] = True
            return allowed
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        size = min(vocabulary, len(bits))
        allowed[:size] = bits[:size]
        if not allowed.any():
            allowed[self._grammar.eos_ids] = True
        return allowed


def _schema(response_format: JsonObject) -> JsonObject:
    if response_format.get("type") == "json_object":
        return {"type": "object"}
    named = response_format.get("json_schema", response_format)
    schema: JsonObject = named.get("schema") or {"type": "object"}
    return schema
