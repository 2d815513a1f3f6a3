"""From `auto` to numbers: what a job's hyperparameters are once its training file has been counted."""

from dataclasses import dataclass

from regrade.core.training_job import Method
from regrade.types.json import JsonObject, JsonValue

_AUTO_STEPS = 100
_MAX_AUTO_EPOCHS = 10
_MAX_AUTO_BATCH = 32
_ROWS_A_BATCH = 64
_PROMPTS_A_STEP = 8
_VALIDATIONS = 10
_BETA = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The numbers of one job."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    total_steps: int
    eval_interval: int
    """Given for reinforcement; else a tenth of the steps, or an epoch where that is shorter."""
    beta: float = _BETA
    compute_multiplier: float = 1.0
    eval_samples: int = 1
    reasoning_effort: str | None = None


def resolve(method: Method, given: JsonObject, rows: int) -> Hyperparameters:
    """The numbers for a training file of so many rows; what is absent, null or `auto` in `given` is chosen.

    About a hundred steps, in one to ten epochs: few rows are seen often, many once.
    """
    batch = _number(given, "batch_size")
    batch = int(batch) if batch else _auto_batch(method, rows)
    epochs = _number(given, "n_epochs")
    epochs = int(epochs) if epochs else min(max(round(_AUTO_STEPS * batch / max(rows, 1)), 1), _MAX_AUTO_EPOCHS)
    steps_an_epoch = -(-rows // batch)
    total = steps_an_epoch * epochs
    interval = _number(given, "eval_interval")
    chosen_interval = min(max(total // _VALIDATIONS, 1), max(steps_an_epoch, 1))
    return Hyperparameters(
        n_epochs=epochs,
        batch_size=batch,
        learning_rate_multiplier=_number(given, "learning_rate_multiplier") or 1.0,
        total_steps=total,
        eval_interval=int(interval) if interval else chosen_interval,
        beta=_number(given, "beta") or _BETA,
        compute_multiplier=_number(given, "compute_multiplier") or 1.0,
        eval_samples=int(_number(given, "eval_samples") or 1),
        reasoning_effort=_effort(given.get("reasoning_effort")),
    )


def _auto_batch(method: Method, rows: int) -> int:
    if method == "reinforcement":
        return min(_PROMPTS_A_STEP, rows)
    size = 1
    while size * 2 <= min(rows // _ROWS_A_BATCH * 2, _MAX_AUTO_BATCH):
        size *= 2
    return size


def _number(given: JsonObject, key: str) -> float | None:
    value: JsonValue = given.get(key)
    return None if value is None or value == "auto" else float(value)


def _effort(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value not in ("auto", "default") else None
