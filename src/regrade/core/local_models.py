"""Models whose weights lie on disk here: `[[base_models]]` of regrade.toml, read into values."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from regrade.core.errors import ConfigurationError
from regrade.types.json import JsonObject

MISSING_EXTRA = (
    "This server cannot run models itself yet: its operator installs that with pip install 'regrade[local]'."
)

_KEYS = ("name", "path", "hub")


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
        if not _is_text(value):
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
    return BaseModel(name=entry["name"], weights=Weights(path=path))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value == value.strip()
