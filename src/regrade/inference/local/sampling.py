"""Choosing the next token of every row: greedily or by chance, each row with a chance of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch

_NUCLEUS_AT_FIRST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """How one row chooses."""

    temperature: float
    """0 takes the likeliest."""
    top_p: float
    logprobs: int | None
    """How many likely tokens to report beside the chosen one; None reports nothing at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """How likely the chosen token was, and which others were."""

    logprob: float
    top: list[tuple[int, float]]


def choose(logits: torch.Tensor, tastes: Sequence[Taste], chances: Sequence[Random]) -> list[int]:
    """The next token of each row. A row draws one number from its own chance, whoever is beside it in the batch."""
    chosen: list[int] = logits.argmax(-1).tolist()
    drawing = [index for index, taste in enumerate(tastes) if taste.temperature > 0]
    if drawing:
        rows = logits if len(drawing) == len(tastes) else logits[drawing]
        temperatures = torch.tensor([tastes[index].temperature for index in drawing], device=rows.device)
        likelihoods = torch.softmax(rows.float() / temperatures[:, None], -1)
        top_ps = [tastes[index].top_p for index in drawing]
        if min(top_ps) < 1:
            likelihoods = _nucleus(likelihoods, torch.tensor(top_ps, device=rows.device))
        draws = [chances[index].random() for index in drawing]
        for index, token in zip(drawing, _drawn(likelihoods, draws), strict=True):
            chosen[index] = token
    return chosen


def likely(logits: torch.Tensor, chosen: Sequence[int], tastes: Sequence[Taste]) -> list[Likely | None]:
    """What rows that asked for it report: what the model itself thought, before temperature, top_p and schema."""
    found: list[Likely | None] = [None] * len(tastes)
    asking = [index for index, taste in enumerate(tastes) if taste.logprobs is not None]
    if not asking:
        return found
    logprobs = torch.log_softmax(logits[asking].float(), -1)
    most = max(tastes[index].logprobs or 0 for index in asking)
    values, tokens = logprobs.topk(min(most, logprobs.shape[-1])) if most else (None, None)
    for place, index in enumerate(asking):
        count = tastes[index].logprobs or 0
        top = []
        if count and values is not None and tokens is not None:
            top = list(zip(tokens[place, :count].tolist(), values[place, :count].tolist(), strict=True))
        found[index] = Likely(logprob=float(logprobs[place, chosen[index]]), top=top)
    return found


def _drawn(likelihoods: torch.Tensor, draws: Sequence[float]) -> list[int]:
    """Where each draw from [0, 1) falls, likelihoods laid end to end; never on one of zero."""
    ends = likelihoods.double().cumsum(-1)
    total = ends[:, -1:]
    marks = torch.tensor(draws, dtype=torch.float64, device=ends.device)[:, None] * total
    marks = torch.minimum(marks, torch.nextafter(total, torch.zeros_like(total)))
    tokens: list[int] = torch.searchsorted(ends, marks, right=True)[:, 0].tolist()
    return tokens


def _nucleus(likelihoods: torch.Tensor, top_ps: torch.Tensor) -> torch.Tensor:
    """Likelihoods of the fewest tokens that make up `top_p` of each row; the others become zero."""
    size = likelihoods.shape[-1]
    count = min(size, _NUCLEUS_AT_FIRST)
    while True:
        values, tokens = likelihoods.topk(count)
        before = values.cumsum(-1) - values
        if count == size or bool(((before[:, -1] >= top_ps) | (top_ps >= 1)).all()):
            break
        count = min(size, 16 * count)
    beyond = before >= top_ps[:, None]
    beyond[:, 0] = False  # the likeliest token stays, also with top_p = 0
    kept = torch.zeros_like(likelihoods).scatter_(-1, tokens, values.masked_fill(beyond, 0.0))
    return torch.where(top_ps[:, None] < 1, kept, likelihoods)
