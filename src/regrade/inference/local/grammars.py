"""What an answer has to look like, token by token: JSON schemas and calls of tools, by llguidance."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llguidance import LLExecutor, LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import fill_next_token_bitmask_par

from regrade.core.errors import InvalidError
from regrade.core.local_models import JSON_SPACE
from regrade.types.json import JsonObject

_BITS = 32


class Matcher:
    """Where one answer is in its grammar."""

    __slots__ = ("_matcher",)

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def handle(self) -> LLMatcher:
        """Llguidance's own."""
        return self._matcher

    def took(self, token: int) -> bool:
        """Go on by a token that the mask allowed; whether the answer is complete now and nothing can follow."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())


class Grammars:
    """Compiles what requests ask for, for one model's tokens."""

    def __init__(self, tokenizer: Any, *, size: int, ends: Sequence[int]) -> None:
        """`size` is how many tokens the model knows, those included that no text has."""
        self._tokenizer: LLTokenizer = from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
        self._executor = LLExecutor()
        self._size = size

    def json(self, schema: JsonObject, *, param: str) -> Matcher:
        """An answer that fits a JSON schema. Raises InvalidError where that cannot be enforced."""
        return self._matcher(_of_schema(json.dumps(schema)), param=param)

    def lark(self, grammar: str, *, param: str) -> Matcher:
        """An answer that fits a grammar in llguidance's form of Lark's language."""
        return self._matcher(LLMatcher.grammar_from_lark(grammar), param=param)

    def mask(self, matchers: Sequence[Matcher]) -> torch.Tensor:
        """Which tokens may come next in each answer: (answers, tokens), true where forbidden."""
        words = -(-self._size // _BITS)
        allowed: Any = np.zeros((len(matchers), words), dtype=np.int32)
        handles = [(matcher.handle, index) for index, matcher in enumerate(matchers)]
        fill_next_token_bitmask_par(self._executor, handles, allowed)
        bits = np.unpackbits(allowed.view(np.uint8), axis=1, bitorder="little")[:, : self._size]
        return torch.from_numpy(bits == 0)

    def piece(self, token: int) -> bytes:
        """A token's own bytes."""
        return bytes(self._tokenizer.decode_bytes([token]))

    def _matcher(self, grammar: str, *, param: str) -> Matcher:
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            reason = " ".join(str(matcher.get_error()).split())[:300]
            raise InvalidError(f"The schema cannot be enforced: {reason}", param=param, code="invalid_json_schema")
        return Matcher(matcher)


@lru_cache(maxsize=256)
def _of_schema(schema: str) -> str:
    options: Any = {"whitespace_pattern": JSON_SPACE}
    grammar: str = LLMatcher.grammar_from_json_schema(schema, overrides=options)
    return grammar
