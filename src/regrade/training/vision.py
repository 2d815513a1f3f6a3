"""Supervised rows with images: made into inputs batch by batch, for all pixels would not fit into memory."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from regrade.core.errors import RowError
from regrade.core.jsontext import loads
from regrade.training.encoding import IGNORED, Encoder
from regrade.types.json import JsonObject


class Seer:
    """Makes rows into inputs and labels of a vision model, as a collator of the training loop."""

    def __init__(self, encoder: Encoder, processor: Any) -> None:
        self._encoder = encoder
        self._processor = processor

    def __call__(self, examples: Sequence[Mapping[str, str]]) -> Any:
        """A batch: the inputs of the processor, and labels for what the assistant says."""
        rows = [loads(example["row"].encode()) for example in examples]
        texts = [self._encoder.render(row["messages"], row.get("tools")) for row in rows]
        inputs = self._inputs(texts, [images(row["messages"]) for row in rows], return_tensors="pt", padding=True)
        labels = torch.full_like(inputs["input_ids"], IGNORED)
        for n, (row, text) in enumerate(zip(rows, texts, strict=True)):
            ids = inputs["input_ids"][n][inputs["attention_mask"][n].bool()].tolist()
            for start, stop in self._spans(row, text, ids):
                labels[n, start:stop] = inputs["input_ids"][n, start:stop]
        inputs["labels"] = labels
        return inputs

    def length(self, row: JsonObject) -> int:
        """Tokens of a row, those of its images among them."""
        return len(self._tokens(self._encoder.render(row["messages"], row.get("tools")), row["messages"]))

    def _spans(self, row: JsonObject, text: str, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Where the answers stand among the tokens: behind those of all that is before them, images included."""
        messages = row["messages"]
        turns = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
        found = []
        for n, span in zip(turns, self._encoder.answers(messages, row.get("tools"), text), strict=True):
            if span is not None and messages[n].get("weight", 1):
                before = self._tokens(text[: span.start], messages[:n])
                through = self._tokens(text[: span.stop], messages[:n])
                found.append((_shared(before, ids), _shared(through, ids)))
        return found

    def _tokens(self, text: str, messages: Sequence[JsonObject]) -> list[int]:
        return list(self._inputs([text], [images(messages)])["input_ids"][0])

    def _inputs(self, texts: Sequence[str], seen: Sequence[Sequence[Any]], **given: Any) -> Any:
        return self._processor(
            text=list(texts),
            images=[list(each) for each in seen] if any(seen) else None,
            add_special_tokens=False,
            **({"padding_side": "right"} if given else {}),
            **given,
        )


def images(messages: Sequence[JsonObject]) -> list[Any]:
    """The images of a row, in order. Raises RowError for one that cannot be read."""
    found = []
    for message in messages:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] == "image_url":
                    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                    found.append(_image(data))
    return found


def _image(data: bytes) -> Any:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RowError("one of its images is broken, or has more pixels than any should have.") from error


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for n, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return n
    return min(len(one), len(other))
