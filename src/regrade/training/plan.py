"""How a job runs on the machine it has: rows in memory at once, accumulation, learning rate, steps."""

import itertools
from dataclasses import dataclass

from regrade.core.training_job import Method, Spec, Tuning

_TOKENS_AT_ONCE = 32_768
_LOGGED_STEPS = 1_000

# Found with a model of two million parameters (full) and as the field has it (LoRA).
_RATES: dict[tuple[Method, Tuning], float] = {
    ("supervised", "full"): 2e-3,
    ("dpo", "full"): 3e-4,
    ("reinforcement", "full"): 2e-4,
    ("supervised", "lora"): 2e-4,
    ("dpo", "lora"): 3e-5,
    ("reinforcement", "lora"): 2e-5,
}
_SMALL = 2_000_000
_FALL = 0.75  # full training of a model of a billion parameters comes out at 2e-5, as is usual
_GENERATIONS = 8
_CHECKPOINTING_FROM = 300_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbers of a job that depend on its model, its rows and its processes."""

    batch_size: int
    """The spec's, or the next larger one that the processes can share evenly."""
    rows_at_once: int
    """Of one process; for reinforcement, completions."""
    accumulation: int
    learning_rate: float
    steps_an_epoch: int
    total_steps: int
    log_every: int
    generations: int
    gradient_checkpointing: bool


def plan(spec: Spec, *, rows: int, longest: int, parameters: int, processes: int) -> Plan:
    """Decide them; `longest` is the number of tokens of the longest row."""
    generations = max(2, round(_GENERATIONS * spec.compute_multiplier)) if spec.method == "reinforcement" else 1
    batch = next(size for size in itertools.count(spec.batch_size) if size * generations % processes == 0)
    steps = -(-rows // batch)
    share = batch * generations // processes
    most = spec.rows_at_once or max(_TOKENS_AT_ONCE // max(longest, 1), 1)
    at_once = _largest_divisor(share, most)
    total = steps * spec.n_epochs
    return Plan(
        batch_size=batch,
        rows_at_once=at_once,
        accumulation=share // at_once,
        learning_rate=_rate(spec, parameters) * spec.learning_rate_multiplier,
        steps_an_epoch=steps,
        total_steps=total,
        log_every=max(1, total // _LOGGED_STEPS),
        generations=generations,
        gradient_checkpointing=parameters >= _CHECKPOINTING_FROM,
    )


def _rate(spec: Spec, parameters: int) -> float:
    if spec.learning_rate is not None:
        return spec.learning_rate
    rate = _RATES[spec.method, spec.tuning]
    return rate * min(1.0, (_SMALL / parameters) ** _FALL) if spec.tuning == "full" else rate


def _largest_divisor(number: int, most: int) -> int:
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)
