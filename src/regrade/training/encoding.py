"""Rows as tokens, and which of them are learned: what the assistant says, unless its message has weight 0."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from regrade.core.errors import RowError
from regrade.core.jsontext import JsonTextError, loads
from regrade.types.json import JsonObject

IGNORED = -100
"""The label of a token that is read and not learned."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Encoded(NamedTuple):
    """A row as tokens; `labels` are the tokens that are learned, and IGNORED elsewhere."""

    input_ids: list[int]
    labels: list[int]
    cut: bool


class Pair(NamedTuple):
    """Tokens of a prompt and of its two answers."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    cut: bool


class Span(NamedTuple):
    """Characters of a rendered conversation, from `start` up to `stop`."""

    start: int
    stop: int


class Encoder:
    """A tokenizer with its chat template, as rows need it."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int,
        eos_ids: Iterable[int],
        effort: str | None = None,
        vision: bool = False,
    ) -> None:
        """`vision` says that the template is one that takes parts."""
        self._vision = vision
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._eos_ids = frozenset(eos_ids)
        self._ends = tuple(tokenizer.convert_ids_to_tokens(sorted(self._eos_ids)))
        self._variables = {} if effort is None else {"reasoning_effort": effort}
        template = tokenizer.chat_template
        self._template = template.get("default") if isinstance(template, dict) else template
        self._marks_answers = bool(self._template and _GENERATION.search(self._template))

    def supervised(self, row: JsonObject) -> Encoded:
        """A conversation, or a prompt with its completion. Raises RowError where the template cannot say it."""
        if "messages" not in row:
            return self._completion(row["prompt"], row["completion"])
        messages = row["messages"]
        text, marks = self._rendered(messages, row.get("tools"))
        weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
        spans = self._answers(messages, row.get("tools"), text, marks)
        learned = [span for span, weight in zip(spans, weights, strict=True) if weight and span is not None]
        if not learned:
            raise RowError("the chat template of the base model does not show where the answers begin and end.")
        return self._encoded(text, learned, special=False)

    def pair(self, row: JsonObject) -> Pair:
        """A prompt with the preferred and the other answer. Raises RowError where the prompt leaves no room."""
        prompt = self.render(row["messages"], row.get("tools"), ask=True)
        texts = [
            self._to_the_end(self.render(row["messages"] + row[key], row.get("tools")))
            for key in ("preferred", "non_preferred")
        ]
        start = min(_common(prompt, text) for text in texts)
        shared = self._ids(texts[0][:start])
        answers = [self._ids(text[start:]) for text in texts]
        room = self._max_length - len(shared)
        if room <= 0:
            raise RowError(f"the prompt alone is longer than {self._max_length} tokens.", param="input")
        cut = any(len(answer) > room for answer in answers)
        return Pair(shared, answers[0][:room], answers[1][:room], cut)

    def prompt(self, row: JsonObject) -> str:
        """A conversation as the text that a model goes on from."""
        return self.render(row["messages"], row.get("tools"), ask=True)

    def answers(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None, text: str
    ) -> Sequence[Span | None]:
        """Where each assistant message stands in the rendered conversation; None where the template hides that."""
        spans = self._answers(messages, tools, text, self._rendered(messages, tools)[1])
        return [span and Span(span.start, self._with_end(text, span.stop)) for span in spans]

    def _with_end(self, text: str, stop: int) -> int:
        """With the end of the turn, where the template leaves that out of the answer."""
        end = next((end for end in self._ends if text.startswith(end, stop)), "")
        return stop + len(end)

    def tokens(self, text: str) -> list[int]:
        """Tokens of text that the template made; it has all special tokens already."""
        return self._ids(text)

    def render(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None, *, ask: bool = False
    ) -> str:
        """The conversation as text; with `ask`, up to where the next answer begins."""
        return self._rendered(messages, tools, ask=ask)[0]

    def _rendered(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None, *, ask: bool = False
    ) -> tuple[str, list[Span]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            texts, marks = render_jinja_template(
                [[_for_template(message, vision=self._vision) for message in messages]],
                tools=list(tools) if tools else None,
                chat_template=self._template,
                return_assistant_tokens_mask=self._marks_answers,
                add_generation_prompt=ask,
                **self._tokenizer.special_tokens_map,
                **self._variables,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise RowError(
                f"the chat template of the base model cannot say it: {error}.", param="messages"
            ) from error
        return texts[0], [Span(*mark) for mark in marks[0]] if self._marks_answers else []

    def _answers(
        self,
        messages: Sequence[JsonObject],
        tools: Sequence[JsonObject] | None,
        text: str,
        marks: Sequence[Span],
    ) -> Sequence[Span | None]:
        """Where each assistant message stands in the text; None where the template hides that."""
        turns = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
        if len(marks) == len(turns):
            return marks
        return [self._answer(messages, tools, text, n) for n in turns]

    def _answer(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None, text: str, n: int
    ) -> Span | None:
        """Where message `n` stands, found by rendering what is before it and what is up to it.

        None where the text up to it is not how the whole begins: some templates rewrite what is past.
        """
        try:
            before = self.render(messages[:n], tools, ask=True) if n else ""
            through = text if n == len(messages) - 1 else self.render(messages[: n + 1], tools)
        except RowError:
            return None
        if not text.startswith(through):
            return None
        return Span(_common(before, text), len(self._to_the_end(through)))

    def _to_the_end(self, text: str) -> str:
        """Without what templates put after the end of a turn, such as a newline, which the model never says."""
        trimmed = text.rstrip()
        return trimmed if trimmed.endswith(self._ends) else text

    def _completion(self, prompt: str, completion: str) -> Encoded:
        text = prompt + completion
        return self._encoded(text, [Span(len(prompt), len(text))], special=True)

    def _encoded(self, text: str, learned: Sequence[Span], *, special: bool) -> Encoded:
        found = self._tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
        ids: list[int] = list(found["input_ids"])
        labels = [IGNORED] * len(ids)
        position = 0
        for place, (start, stop) in enumerate(found["offset_mapping"]):
            while position < len(learned) and start >= learned[position].stop:
                if ids[place] in self._eos_ids and start == learned[position].stop:
                    labels[place] = ids[place]  # a template that leaves the end of the turn out of the answer
                position += 1
            if (
                position < len(learned)
                and stop > start
                and stop > learned[position].start
                and labels[place] == IGNORED
            ):
                labels[place] = ids[place]
        if special and ids[-1] not in self._eos_ids and self._tokenizer.eos_token_id is not None:
            ids.append(self._tokenizer.eos_token_id)
            labels.append(self._tokenizer.eos_token_id)
        cut = len(ids) > self._max_length
        return Encoded(ids[: self._max_length], labels[: self._max_length], cut)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _for_template(message: JsonObject, *, vision: bool) -> JsonObject:
    """As templates take it: without the weight, arguments of calls as objects where they are such.

    Those of vision models take parts, and images without their bytes.
    """
    found = {key: value for key, value in message.items() if key != "weight"}
    content = found["content"]
    if isinstance(content, list):
        found["content"] = [{"type": "image"} if part["type"] == "image_url" else part for part in content]
    elif vision:
        found["content"] = [{"type": "text", "text": content}] if content else []
    if "tool_calls" in found:
        found["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _arguments(call["function"]["arguments"])}}
            for call in found["tool_calls"]
        ]
    return found


def _arguments(text: str) -> Any:
    try:
        value = loads(text.encode())
    except JsonTextError:
        return text
    return value if isinstance(value, dict) else text


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    if other.startswith(one):
        return len(one)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
