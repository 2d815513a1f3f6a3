"""Eval files: the API's own create bodies in YAML, JSON or TOML, with the path of the rows and a gate."""

import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from regrade.core import jsontext
from regrade.core.errors import InvalidError, NotFoundError
from regrade.types.json import JsonObject

_MAX_VALUES = 1_000_000

KEYS = ("name", "eval", "run", "data", "gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalFile:
    """An eval file, read and checked as far as that needs no server."""

    path: Path
    name: str
    eval: JsonObject | str
    """The body of POST /evals, or the id of an eval that exists."""
    run: JsonObject
    """The body of POST /evals/{id}/runs; where there is `data`, without its `data_source.source`."""
    data: Path | None
    fail_under: float | None
    """Share of rows that must pass."""


def read(path: Path) -> EvalFile:
    """Read an eval file; its suffix names the format.

    Raises NotFoundError and InvalidError, whose `param` is the path of the key at fault.
    """
    document = _parse(path)
    for key in document:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(KEYS)}."
            raise InvalidError(f"{path} has a key {key}, which eval files do not have. {hint}", param=str(key))
    name = document.get("name", path.stem)
    if not isinstance(name, str):
        raise InvalidError(f"In {path}, name must be a text.", param="name")
    data = _data(path, document)
    return EvalFile(
        path=path,
        name=name,
        eval=_eval(path, document, name),
        run=_run(path, document, name, has_data=data is not None),
        data=data,
        fail_under=_fail_under(path, document),
    )


def _parse(path: Path) -> JsonObject:
    parse = _FORMATS.get(path.suffix.lower())
    if parse is None:
        raise InvalidError(f"{path} is no eval file: its name must end with {', '.join(_FORMATS)}.")
    try:
        document = parse(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"There is no eval file {path}.") from None
    except RecursionError:
        raise _too_deep(path) from None
    except (OSError, ValueError, InvalidError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError(f"{path} must hold one object with the keys {', '.join(KEYS)}.")
    try:
        _refuse_what_json_lacks(path, document, "")
    except RecursionError:
        raise _too_deep(path) from None
    return document


def _too_deep(path: Path) -> InvalidError:
    return InvalidError(f"{path} cannot be read: it is nested too deeply.")


def _parse_yaml(text: bytes) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML as JSON's superset: `no` and `2026-01-01` are texts, as their writers mean them.

        An alias counts as all that it stands for, so that a few of them cannot become an immense document.
        """

        values = 0
        sizes: ClassVar[dict[yaml.Node | None, int]]

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            is_alias, before = self.check_event(yaml.AliasEvent), self.values
            node = super().compose_node(parent, index)
            if is_alias and node not in self.sizes:
                raise InvalidError("An alias in it stands for what holds the alias itself.")
            if is_alias:
                self.values += self.sizes[node]
            else:
                self.values += 1
                self.sizes[node] = self.values - before
            if self.values > _MAX_VALUES:
                raise InvalidError(f"It has more than {_MAX_VALUES:,} values, aliases followed.")
            return node

    Loader.sizes = {}
    loose = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in loose]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
    )
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidError(f"This is not valid YAML: {error}") from error


_FORMATS: dict[str, Callable[[bytes], Any]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".json": jsontext.loads,
    ".toml": lambda text: tomllib.loads(text.decode("utf-8")),
}


def _refuse_what_json_lacks(path: Path, value: Any, where: str) -> None:
    match value:
        case dict():
            for key, child in value.items():
                if not isinstance(key, str):
                    raise InvalidError(
                        f"In {path}, the key {key!r} of {where or 'the file'} must be a text: quote it."
                    )
                _refuse_what_json_lacks(path, child, f"{where}.{key}" if where else key)
        case list():
            for index, child in enumerate(value):
                _refuse_what_json_lacks(path, child, f"{where}[{index}]")
        case float() if not math.isfinite(value):
            raise InvalidError(f"In {path}, {where} is {value}, which JSON does not have.", param=where)
        case None | bool() | int() | float() | str():
            return
        case _:
            raise InvalidError(
                f"In {path}, {where} must be a JSON value; quote {value} to make it a text.", param=where
            )


def _eval(path: Path, document: JsonObject, name: str) -> JsonObject | str:
    match document.get("eval"):
        case None:
            raise InvalidError(f"{path} has no eval: the body of POST /evals, or the id of an eval.", param="eval")
        case str(eval_id):
            return eval_id
        case dict(body):
            for key in ("data_source_config", "testing_criteria"):
                if key not in body:
                    raise InvalidError(f"In {path}, eval has no {key}.", param=f"eval.{key}")
            return {"name": name, **body}
        case _:
            raise InvalidError(f"In {path}, eval must be an object or the id of an eval.", param="eval")


def _run(path: Path, document: JsonObject, name: str, *, has_data: bool) -> JsonObject:
    body = document.get("run", {})
    if not isinstance(body, dict):
        raise InvalidError(f"In {path}, run must be an object.", param="run")
    source = body.get("data_source", {"type": "jsonl"})
    if not isinstance(source, dict):
        raise InvalidError(f"In {path}, run.data_source must be an object.", param="run.data_source")
    if has_data == ("source" in source):
        raise InvalidError(
            f"{path} must say once where its rows are: in data (a file beside it) or in run.data_source.source.",
            param="data",
        )
    return {"name": name, **body, "data_source": source}


def _data(path: Path, document: JsonObject) -> Path | None:
    given = document.get("data")
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise InvalidError(f"In {path}, data must be the path of a JSONL file.", param="data")
    data = path.parent / given
    if not data.is_file():
        raise NotFoundError(f"There is no file {data}, which data in {path} names.", param="data")
    return data


def _fail_under(path: Path, document: JsonObject) -> float | None:
    match document.get("gate"):
        case None:
            return None
        case {"fail_under": float() | int() as share, **others} if not others and 0 <= share <= 1:
            return float(share)
        case _:
            raise InvalidError(f"In {path}, gate must be {{fail_under: X}} with X from 0 to 1.", param="gate")
