"""How this machine trains: `[training]` of regrade.toml, read into a value."""

import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from regrade.core.errors import ConfigurationError
from regrade.types.json import JsonObject

_KEYS = ("slots", "launch", "gpus", "grace_seconds", "folder")
_MAX_SLOTS = 64
_MAX_GRACE = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Jobs at a time, and how each is started."""

    slots: int = 1
    launch: tuple[str, ...] | None = None
    """The command that trains a job, with `{job}` for its folder; None is one process of this interpreter."""
    gpus: tuple[str, ...] = ()
    """For each slot the GPUs that its jobs see, as in CUDA_VISIBLE_DEVICES; empty where all see all."""
    grace_seconds: int = 30
    """How long a trainer may take to leave before it is ended."""
    folder: str | None = None
    """Where the jobs' folders are, relative to the file that says so; None is in the data directory."""


def read_training(tables: JsonObject) -> TrainingOptions:
    """The options of a configuration file's tables. Raises ConfigurationError that names the key at fault."""
    table = tables.get("training", {})
    if not isinstance(table, dict):
        raise ConfigurationError("training must be written as one [training] table.", param="training")
    for key in table:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(_KEYS)}."
            raise ConfigurationError(
                f"training has a key {key}, which Regrade does not know. {hint}", param=f"training.{key}"
            )
    gpus = _gpus(table.get("gpus"))
    folder = table.get("folder")
    if folder is not None and (not isinstance(folder, str) or not folder):
        raise ConfigurationError(f"training.folder is {folder!r}; it must be a path.", param="training.folder")
    return TrainingOptions(
        slots=len(gpus) if gpus and "slots" not in table else _integer(table, "slots", 1, 1, _MAX_SLOTS),
        launch=_launch(table.get("launch")),
        gpus=gpus,
        grace_seconds=_integer(table, "grace_seconds", 30, 0, _MAX_GRACE),
        folder=folder,
    )


def _integer(table: JsonObject, key: str, default: int, low: int, high: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigurationError(
            f"training.{key} is {value!r}; it must be a whole number from {low} to {high}.", param=f"training.{key}"
        )
    return value


def _launch(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    try:
        words = tuple(shlex.split(value))
    except (AttributeError, ValueError):
        words = ()
    if not any("{job}" in word for word in words):
        raise ConfigurationError(
            f"training.launch is {value!r}; it must be a command that holds {{job}}, which becomes the folder of a "
            'job, such as "torchrun --nproc_per_node 8 -m regrade.training {job}".',
            param="training.launch",
        )
    return words


def _gpus(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    groups = [group if isinstance(group, list) else [group] for group in value] if isinstance(value, list) else []
    if not groups or not all(group and all(_is_gpu(gpu) for gpu in group) for group in groups):
        raise ConfigurationError(
            f"training.gpus is {value!r}; it must list the GPUs of each slot, such as [[0, 1], [2, 3]].",
            param="training.gpus",
        )
    return tuple(",".join(str(gpu) for gpu in group) for group in groups)


def _is_gpu(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and str(value) != ""
