"""Rows for benchmarks: answers of about 300 characters that differ from their references a little."""

import json
import random
from pathlib import Path

CONFIG = {
    "type": "custom",
    "item_schema": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("question", "reference", "label")},
        "required": ["question", "reference", "label"],
    },
    "include_sample_schema": True,
}
CRITERIA = [
    {
        "type": "string_check",
        "name": "label",
        "operation": "eq",
        "input": "{{item.label}}",
        "reference": "{{sample.model}}",
    },
    {
        "type": "text_similarity",
        "name": "rouge",
        "evaluation_metric": "rouge_l",
        "input": "{{sample.output_text}}",
        "reference": "{{item.reference}}",
        "pass_threshold": 0.5,
    },
    {
        "type": "text_similarity",
        "name": "fuzzy",
        "evaluation_metric": "fuzzy_match",
        "input": "{{sample.output_text}}",
        "reference": "{{item.reference}}",
        "pass_threshold": 0.8,
    },
]
_WORDS = """
the a of to and in is that for it as was with be by on not he his but at are this have from or one had all were
which their an she you would there been more when who will no if out so said what up its about into than them
can only other new some could time these two may then do first any my now such like our over man me even most
""".split()  # noqa: SIM905 - a list would be a page long


def write_rows(path: Path, rows: int, seed: int = 7) -> Path:
    """A JSONL file of `rows` rows of about 1,000 bytes, from a pool of 2,000 distinct ones."""
    chance = random.Random(seed)
    pool = [row(chance) for _ in range(min(rows, 2_000))]
    with path.open("wb") as file:
        for index in range(rows):
            file.write(pool[index % len(pool)])
    return path


def row(chance: random.Random) -> bytes:
    reference = _text(chance, 300)
    words = reference.split()
    answer = " ".join(chance.choice(_WORDS) if chance.random() < 0.2 else word for word in words)
    item = {"question": _text(chance, 120), "reference": reference, "label": "model-a"}
    message = {"role": "assistant", "content": answer}
    sample = {
        "model": "model-a" if chance.random() < 0.9 else "model-b",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 70, "completion_tokens": 60, "total_tokens": 130},
    }
    return json.dumps({"item": item, "sample": sample}).encode() + b"\n"


def _text(chance: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        text += chance.choice(_WORDS) + " "
    return text.strip()
