"""Models whose weights lie on disk here: `[[base_models]]` of regrade.toml, read into values."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from regrade.core.errors import ConfigurationError
from regrade.types.json import JsonObject

MISSING_EXTRA = (
    "This server cannot run models itself yet: its operator installs that with pip install 'regrade[local]'."
)

JSON_SPACE = r"[ \n]?"
"""White space between the parts of JSON that is enforced: small models go on with it for ever where they may."""

_KEYS = ("name", "path", "hub", "training")
_WHOLE = ("lora_rank", "rows_at_once", "max_length", "max_completion_tokens")
_TRAINING = ("tuning", *_WHOLE, "learning_rate", "price")
_TUNINGS = ("full", "lora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where a model lies."""

    path: str
    """A folder as Hugging Face's libraries write it, absolute; or the name of a model on their hub."""
    adapter: str | None = None
    """The folder of a LoRA adapter that goes on top of `path`."""

    def to_json(self) -> JsonObject:
        """As the built-in engine is told."""
        return {"path": self.path, "adapter": self.adapter}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A model that can be asked, and trained further."""

    name: str
    weights: Weights
    training: JsonObject = field(default_factory=dict)
    """How it is trained, where the operator says so: fields of core/training_job.Spec, and `price`.

    The price is of a million trained tokens, in whatever currency the operator counts.
    """


def read_base_models(tables: JsonObject, *, folder: Path) -> tuple[BaseModel, ...]:
    """The base models of a configuration file's tables; `folder` is what their paths are relative to.

    Raises ConfigurationError that names the table and the key at fault. Whether the folders are there is not asked.
    """
    entries = tables.get("base_models", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError("base_models must be written as [[base_models]] tables.", param="base_models")
    found: dict[str, BaseModel] = {}
    for n, entry in enumerate(entries):
        where = f"base_models[{n}]"
        model = _base_model(entry, where, folder)
        if model.name in found:
            raise ConfigurationError(
                f"{where}.name is {model.name!r}, as another base model's is; names must differ.",
                param=f"{where}.name",
            )
        found[model.name] = model
    return tuple(found.values())


def _base_model(entry: JsonObject, where: str, folder: Path) -> BaseModel:
    for key, value in entry.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(_KEYS)}."
            raise ConfigurationError(
                f"{where} has a key {key}, which Regrade does not know. {hint}", param=f"{where}.{key}"
            )
        if key != "training" and not _is_text(value):
            raise ConfigurationError(
                f"{where}.{key} is {value!r}; it must be a text that is not empty.", param=f"{where}.{key}"
            )
    if "name" not in entry:
        raise ConfigurationError(f"{where} has no name.", param=f"{where}.name")
    if entry["name"].startswith("ft:"):
        raise ConfigurationError(
            f"{where}.name is {entry['name']!r}, but names that begin with ft: are those of tuned models.",
            param=f"{where}.name",
        )
    if ("path" in entry) == ("hub" in entry):
        raise ConfigurationError(
            f"{where} must have either a path (a folder) or a hub (a name such as Qwen/Qwen3-0.6B).",
            param=f"{where}.path",
        )
    path = str(folder.absolute() / Path(entry["path"]).expanduser()) if "path" in entry else entry["hub"]
    training = _training(entry.get("training", {}), f"{where}.training")
    return BaseModel(name=entry["name"], weights=Weights(path=path), training=training)


def _training(table: Any, where: str) -> JsonObject:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} must be written as a table.", param=where)
    for key, value in table.items():
        if key not in _TRAINING:
            near = get_close_matches(key, _TRAINING, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(_TRAINING)}."
            raise ConfigurationError(
                f"{where} has a key {key}, which Regrade does not know. {hint}", param=f"{where}.{key}"
            )
        if key == "tuning" and value not in _TUNINGS:
            raise ConfigurationError(
                f"{where}.tuning is {value!r}; it must be one of {', '.join(_TUNINGS)}.", param=f"{where}.tuning"
            )
        if key != "tuning" and not _is_amount(value, whole=key in _WHOLE):
            raise ConfigurationError(
                f"{where}.{key} is {value!r}; it must be a {'whole ' if key in _WHOLE else ''}number above zero.",
                param=f"{where}.{key}",
            )
    return table


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value == value.strip()


def _is_amount(value: Any, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value > 0
