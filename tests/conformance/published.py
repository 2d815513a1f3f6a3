"""OpenAI's published OpenAPI document, ready to judge answers, and where this server means to differ from it."""

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

RESOURCES = ("/evals", "/files", "/uploads", "/models", "/fine_tuning/alpha/graders")
"""What this server implements; more paths of the document begin so as the server grows."""

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Deviation:
    """A place where answers differ from the document on purpose."""

    place: str
    """A path below components.schemas."""
    section: str
    """Of the wire contract, which decides it."""
    reason: str
    instead: Callable[[Any], Any]
    """What stands at `place` so that the answers conform."""


def _nullable(schema: Any) -> Any:
    return {"anyOf": [schema, {"type": "null"}]}


def _or(*others: Any) -> Callable[[Any], Any]:
    return lambda schema: {"anyOf": [schema, *others]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_UNKNOWN = "unknown values are null"

DEVIATIONS = [
    *(
        Deviation(f"{kind}List/properties/{key}", "1.4", "an empty page has no first and no last", _nullable)
        for kind in ("Eval", "EvalRun", "EvalRunOutputItem")
        for key in ("first_id", "last_id")
    ),
    *(
        Deviation(f"ListFilesResponse/properties/{key}", "1.4", "an empty page has no first and no last", _nullable)
        for key in ("first_id", "last_id")
    ),
    Deviation("EvalRun/properties/model", "2.5", "a run that only grades asks no model", _nullable),
    Deviation("EvalRun/properties/error", "2.5", "null while nothing went wrong", _nullable),
    Deviation(
        "EvalJsonlFileContentSource/properties/content/items/required",
        "2.6",
        "flat rows, which Azure's users have, are echoed as sent",
        lambda _required: [],
    ),
    *(
        Deviation(f"EvalRunOutputItem/properties/sample/properties/{key}", "2.9", _UNKNOWN, _nullable)
        for key in ("error", "temperature", "max_completion_tokens", "top_p", "seed")
    ),
    Deviation(
        "Eval/properties/testing_criteria/items/oneOf",
        "4",
        "one union of graders is accepted everywhere, multi among them",
        lambda union: [*union, _ref("GraderMulti")],
    ),
    Deviation(
        "ValidateGraderResponse/properties/grader/oneOf",
        "4",
        "one union of graders is accepted everywhere, label_model among them",
        lambda union: [*union, _ref("GraderLabelModel")],
    ),
    Deviation(
        "GraderMulti/properties/graders",
        "5.6",
        "graders of a multi grader have names; the document allows a single one by mistake",
        lambda one: {"anyOf": [one, {"type": "object", "additionalProperties": one}]},
    ),
    Deviation(
        "GraderPython/properties/image_tag", "0.1 (16)", "clients send null for what they leave out", _nullable
    ),
    Deviation(
        "EvalItemInputImage/properties/image_url",
        "3",
        "a template is no URI before it is filled in",
        lambda _uri: {"type": "string"},
    ),
    Deviation(
        "OpenAIFile/properties/purpose",
        "6.1",
        "the document forgets 'evals' among the purposes of answers",
        _or({"const": "evals"}),
    ),
    Deviation("OpenAIFile/properties/expires_at", "6.1", "null for a file that does not expire", _nullable),
    Deviation("OpenAIFile/properties/status_details", "6.1", "null where there is nothing to say", _nullable),
]


def read(path: Path) -> dict[str, Any]:
    """The document as JSON Schema of draft 2020-12 understands it."""
    return _without_nullable(yaml.load(path.read_bytes(), yaml.CSafeLoader))


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations on this server's resources, by method and path."""
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        if path.startswith(RESOURCES)
        for method, operation in item.items()
    }


def with_deviations(document: dict[str, Any], deviations: Iterable[Deviation]) -> dict[str, Any]:
    """The document as this server means to keep it."""
    changed = copy.deepcopy(document)
    for deviation in deviations:
        node = changed["components"]["schemas"]
        *steps, last = deviation.place.split("/")
        for step in steps:
            node = node[step]
        node[last] = deviation.instead(node[last])
    return changed


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Judges values by a schema of the document."""
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": document["components"]}, validate_formats=True
    )


def pattern(path: str) -> re.Pattern[str]:
    """Matches the URLs that a path of the document stands for."""
    return re.compile("/v1" + re.sub(r"\{\w+\}", "[^/]+", path))


def _without_nullable(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` and bounds, of which the document still has some, in the words of JSON Schema."""
    match node:
        case {"allOf": [*kinds, {"nullable": True}], **others}:
            return _nullable(_without_nullable({"allOf": kinds, **others}))
        case {"nullable": True, **others}:
            return _nullable(_without_nullable(others))
        case {"exclusiveMinimum": True, "minimum": low, **others}:
            return {**_without_nullable(others), "exclusiveMinimum": low}
        case dict():
            return {key: _without_nullable(value) for key, value in node.items()}
        case list():
            return [_without_nullable(value) for value in node]
        case _:
            return node
