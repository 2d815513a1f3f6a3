"""Testing criteria: from what a client sends to the normal form that is stored and answered."""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from regrade.core import messages
from regrade.core.errors import InvalidError
from regrade.core.formula import MAX_VALUE, compile_formula
from regrade.core.parsing import parse
from regrade.core.templates import compile_template
from regrade.types.graders import Grader
from regrade.types.json import JsonObject

MAX_PYTHON_SOURCE = 256_000
MAX_PYTHON_GRADERS = 20
"""Of one eval or multi grader: each has processes of its own."""
"""Bytes; sources must be smaller."""

MAX_PYTHON_BRACES = 5_000
"""Python 3.11 takes long for f-strings with many fields, and cannot be interrupted while it parses."""

PYTHON_IMAGES = ("2025-05-08",)
DEFAULT_THRESHOLD = 0.5

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]+")


def normalise_all(
    documents: Sequence[JsonObject],
    uuid4: Callable[[], str],
    *,
    at: str = "testing_criteria",
    item_schema: JsonObject | None = None,
) -> list[JsonObject]:
    """The testing criteria of an eval in normal form, each with an id of its own."""
    criteria = [
        normalise(document, at=f"{at}[{index}]", item_schema=item_schema)
        for index, document in enumerate(documents)
    ]
    _limit_python(criteria, at)
    return [{**criterion, "id": f"{criterion['name']}-{uuid4()}"} for criterion in criteria]


def normalise(document: JsonObject, *, at: str = "grader", item_schema: JsonObject | None = None) -> JsonObject:
    """A grader as answered; unknown fields and explicit nulls stay.

    Raises InvalidError with the path of the first thing wrong in its definition (FormulaError where that is the
    formula of a multi grader). `item_schema` is the eval's, to find templates that name what no item can have.
    """
    _refuse_nested(document, at)
    parse(Grader, document, at=at)
    grader = _named({**document})
    match grader["type"]:
        case "string_check" | "text_similarity":
            for field in ("input", "reference"):
                check_template(grader[field], f"{at}.{field}", item_schema)
            if grader["type"] == "text_similarity":
                grader["pass_threshold"] = _threshold(grader)
            elif grader["operation"] == "neq":
                grader["operation"] = "ne"
        case "score_model" | "label_model":
            for text, path in _texts(grader["input"], f"{at}.input"):
                check_template(text, path, item_schema)
            grader["input"] = messages.normalise(grader["input"])
            check = _check_range if grader["type"] == "score_model" else _check_labels
            check(grader, at)
        case "python":
            _check_python(grader, at)
        case _:
            grader["graders"] = _normalised_graders(grader["graders"], f"{at}.graders", item_schema)
            grader["pass_threshold"] = _threshold(grader)
            _limit_python(grader["graders"].values(), f"{at}.graders")
            compile_formula(grader["calculate_output"], grader["graders"], at=f"{at}.calculate_output")
    return grader


def _limit_python(graders: Iterable[JsonObject], at: str) -> None:
    count = sum(
        part["type"] == "python"
        for grader in graders
        for part in (grader["graders"].values() if grader["type"] == "multi" else [grader])
    )
    if count > MAX_PYTHON_GRADERS:
        raise InvalidError(
            f"These are {count} python graders; up to {MAX_PYTHON_GRADERS} are accepted together. "
            "One python grader can compute several things and combine them.",
            param=at,
        )


def _named(grader: JsonObject) -> JsonObject:
    if not grader.get("name"):
        grader["name"] = grader["type"]
    return grader


def _threshold(grader: JsonObject) -> float:
    threshold = grader.get("pass_threshold")
    return DEFAULT_THRESHOLD if threshold is None else threshold


def _refuse_nested(document: Any, at: str) -> None:
    """Say plainly what the union of graders would call an unsupported type."""
    match document:
        case {"type": "multi", "graders": {"type": "multi"} as inner}:
            found: list[tuple[str, Any]] = [(f"{at}.graders", inner)]
        case {"type": "multi", "graders": dict(inners)}:
            found = [(f"{at}.graders.{key}", inner) for key, inner in inners.items()]
        case {"type": "multi", "graders": list(listed)}:
            found = [(f"{at}.graders[{index}]", inner) for index, inner in enumerate(listed)]
        case _:
            return
    for path, inner in found:
        if isinstance(inner, dict) and inner.get("type") == "multi":
            raise InvalidError("A multi grader cannot hold another multi grader.", param=path)


# -- templates ----------------------------------------------------------------------------------------------


def check_template(text: str, at: str, item_schema: JsonObject | None) -> None:
    """Raise InvalidError for a template that names nothing, or what no item of this schema can have."""
    template = compile_template(text, at=at)
    declared = _only_keys(item_schema)
    if declared is None:
        return
    for variable in template.variables:
        if variable.namespace == "item" and variable.steps[0] not in declared:
            names = ", ".join(f"'{key}'" for key in declared) or "none"
            raise InvalidError(
                f"The template names {{{{{variable.text}}}}}, but the item schema allows no '{variable.steps[0]}'; "
                f"its properties are: {names}.",
                param=at,
            )


def _only_keys(item_schema: JsonObject | None) -> list[str] | None:
    """The top-level keys that items can have, where the schema allows no others."""
    match item_schema:
        case {"patternProperties": _}:
            return None
        case {"additionalProperties": False, "properties": dict(properties)}:
            return list(properties)
        case _:
            return None


def _texts(grader_input: list[JsonObject], at: str) -> Iterator[tuple[str, str]]:
    """Every text of messages that may be a template, with its path."""
    for index, message in enumerate(grader_input):
        content, path = message["content"], f"{at}[{index}].content"
        if isinstance(content, list):
            for position, part in enumerate(content):
                yield from _texts_of_part(part, f"{path}[{position}]")
        else:
            yield from _texts_of_part(content, path)


def _texts_of_part(part: str | JsonObject, at: str) -> Iterator[tuple[str, str]]:
    match part:
        case str():
            yield part, at
        case {"text": str(text)}:
            yield text, f"{at}.text"
        case {"image_url": str(url)}:
            yield url, f"{at}.image_url"
        case {"image_url": {"url": str(url)}}:
            yield url, f"{at}.image_url.url"
        case {"input_audio": {"data": str(sound)}}:
            yield sound, f"{at}.input_audio.data"


# -- what each type asks for --------------------------------------------------------------------------------


def _check_range(grader: JsonObject, at: str) -> None:
    match grader.get("range"):
        case None:
            return
        case [low, high] if -MAX_VALUE <= low < high <= MAX_VALUE:
            return
        case _:
            raise InvalidError(
                f"A 'range' is two numbers up to {MAX_VALUE:g}, the smaller one first.", param=f"{at}.range"
            )


def _check_labels(grader: JsonObject, at: str) -> None:
    if not grader["labels"]:
        raise InvalidError("A label_model grader needs at least one label.", param=f"{at}.labels")
    labels = set(grader["labels"])
    for index, label in enumerate(grader["passing_labels"]):
        if label not in labels:
            raise InvalidError(
                f"The passing label '{label}' is not one of the labels.", param=f"{at}.passing_labels[{index}]"
            )


def _check_python(grader: JsonObject, at: str) -> None:
    tag, source, path = grader.get("image_tag"), grader["source"], f"{at}.source"
    if tag is not None and tag not in PYTHON_IMAGES:
        raise InvalidError(
            f"There is no image '{tag}'; the known ones are: {', '.join(PYTHON_IMAGES)}.", param=f"{at}.image_tag"
        )
    size = len(source.encode("utf-8", "replace"))
    if size >= MAX_PYTHON_SOURCE:
        raise InvalidError(f"The source has {size} bytes; it must be below {MAX_PYTHON_SOURCE}.", param=path)
    if source.count("{") > MAX_PYTHON_BRACES:
        raise InvalidError(f"The source has more than {MAX_PYTHON_BRACES} opening braces.", param=path)
    functions = [node for node in _module(source, path).body if isinstance(node, ast.FunctionDef)]
    grade = next((node for node in reversed(functions) if node.name == "grade"), None)
    if grade is None or not _takes_two(grade.args):
        raise InvalidError("The source must define a function 'grade(sample, item)'.", param=path)


def _module(source: str, at: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of the style of a stranger's source
            return ast.parse(source)
    except SyntaxError as error:
        raise InvalidError(
            f"The source is not valid Python: {error.msg} (line {error.lineno or 1}).", param=at
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidError("The source cannot be parsed as Python.", param=at) from error


def _takes_two(parameters: ast.arguments) -> bool:
    positional = len(parameters.posonlyargs) + len(parameters.args)
    return positional == 2 and all(default is not None for default in parameters.kw_defaults)  # noqa: PLR2004


def _normalised_graders(graders: Any, at: str, item_schema: JsonObject | None) -> JsonObject:
    """The graders of a multi grader by key; those of a list, or a single one, are keyed by their names."""
    paths: list[tuple[str | None, str, JsonObject]]
    match graders:
        case list():
            paths = [(None, f"{at}[{index}]", grader) for index, grader in enumerate(graders)]
        case {"type": str()}:
            paths = [(None, at, graders)]
        case _:
            paths = [(key, f"{at}.{key}", grader) for key, grader in cast("JsonObject", graders).items()]
    normal: JsonObject = {}
    for given_key, path, document in paths:
        grader = normalise(document, at=path, item_schema=item_schema)
        key = _key_of(grader["name"]) if given_key is None else given_key
        if not _IDENTIFIER.fullmatch(key):
            raise InvalidError(
                f"'{key}' cannot be named in a formula: keys of graders are letters, digits and '_'.", param=path
            )
        if key in normal:
            raise InvalidError(f"Two graders have the name '{key}'; names must differ.", param=path)
        normal[key] = grader
    if not normal:
        raise InvalidError("A multi grader needs at least one grader.", param=at)
    return normal


def _key_of(name: str) -> str:
    key = _NOT_IN_IDENTIFIER.sub("_", name)
    return f"_{key}" if key[:1].isdigit() else key
