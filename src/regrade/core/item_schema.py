"""The JSON Schema of an eval's items: compiled once a run, checked once a row, never fetching anything."""

from contextlib import suppress
from typing import cast

import jsonschema_rs

from regrade.core.errors import InvalidError
from regrade.core.jsontext import MAX_DEPTH
from regrade.core.schema_cost import Measure, SchemaRefusedError, cost_of, measured
from regrade.types.json import JsonObject, JsonValue

MAX_WORK = 100_000_000
"""Steps (see core/schema_cost) that checking one item may take: about a second, in which nothing else moves."""

_MAX_REASONS = 20_000  # each costs tens of microseconds
_MAX_REASON = 500


class ItemSchema:
    """A compiled JSON Schema, draft 2020-12."""

    __slots__ = ("_always_affordable", "_cost", "_is_valid", "_validate")

    def __init__(self, schema: JsonObject, *, at: str = "data_source_config.item_schema") -> None:
        """Raises InvalidError where this is no JSON Schema, or one that refers to something outside itself."""
        try:
            self._cost = cost_of(schema)
        except SchemaRefusedError as error:
            raise InvalidError(f"'{at}' {error}.", param=at) from None
        if self.work(None) > MAX_WORK:
            raise InvalidError(
                f"'{at}' is too large once its references unfold: let fewer of them refer to each other.", param=at
            )
        try:
            validator = jsonschema_rs.Draft202012Validator(
                schema,
                # The library would follow file: and http: references by itself.
                offline=True,
                # The default engine backtracks, and patterns come from clients.
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except jsonschema_rs.ValidationError as error:
            raise _not_a_schema(error, at) from error
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise InvalidError(f"'{at}' is not a valid JSON Schema: {error}.", param=at) from error
        self._is_valid = validator.is_valid
        self._validate = validator.validate
        # A text of n bytes holds at most n values and n characters, and this is the dearest depth for both.
        dearest = self._cost.of(Measure(values=1, characters=1, depth=MAX_DEPTH))
        self._always_affordable = MAX_WORK // max(1, dearest)

    def check(self, item: JsonValue, *, text_bytes: int | None = None) -> str | None:
        """None where the item fits; else the path that does not and why, such as `item.age: "x" is not ...`.

        `text_bytes` is the size of the JSON text around the item: small ones need not be measured.
        """
        if text_bytes is not None and text_bytes <= self._always_affordable:
            with suppress(ValueError):  # text that is not Unicode; `problem` says so
                if self._is_valid(item):
                    return None
        problem = self.problem(item, "item")
        return None if problem is None else ": ".join(problem)

    def work(self, item: JsonValue) -> int:
        """Steps that checking the item takes at most; to add up where many are checked at once."""
        return self._cost.of(measured(item))

    def problem(self, item: JsonValue, at: str) -> tuple[str, str] | None:
        """None where the item, which stands at `at`, fits; else the path of a value that does not, and why."""
        measure = measured(item)
        if self._cost.of(measure) > MAX_WORK:
            return at, (
                f"its {measure.values:,} values, nested {measure.depth} deep, are too many to be checked by this "
                "schema in bounded time; a schema with fewer alternatives and references takes more"
            )
        try:
            if self._is_valid(item):
                return None
            if self._cost.of_reasons(measure) > _MAX_REASONS:
                return at, "it fits none of the schema's alternatives, which are too many to say where and why"
            self._validate(item)
        except jsonschema_rs.ValidationError as error:
            return path_text(at, error.instance_path), _short(error.message)
        except ValueError as error:  # text that is not Unicode
            return at, _short(str(error))
        return None


def compile_item_schema(data_source_config: JsonObject) -> ItemSchema:
    """The schema of an eval's items from its data source config as answered."""
    return ItemSchema(item_schema_of(data_source_config))


def item_schema_of(data_source_config: JsonObject) -> JsonObject:
    """The schema of `item` within the `schema` of a data source config as answered."""
    return cast("JsonObject", data_source_config["schema"]["properties"]["item"])


def path_text(root: str, path: list[str | int]) -> str:
    """`item`, ["a", 0] -> `item.a[0]`."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _not_a_schema(error: jsonschema_rs.ValidationError, at: str) -> InvalidError:
    reason = _short(error.message)
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
        # The part before this names the reference; the part after it speaks of the library's registry.
        reason = reason.split(" is not present in a registry")[0]
        return InvalidError(
            f"'{at}' refers to something that is not part of it: {reason}. Schemas are never fetched: move what "
            "they refer to into '$defs'.",
            param=at,
        )
    where = path_text(at, error.instance_path)
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Format):
        return InvalidError(
            f"{_short(repr(error.instance))} at '{where}' is not a regular expression, or not one that is "
            "matched in linear time (look-around and back-references are not).",
            param=at,
        )
    return InvalidError(f"'{at}' is not a valid JSON Schema: at '{where}': {reason}.", param=at)


def _short(text: str) -> str:
    """The middle is left out: a value is quoted first and the reason stands last."""
    half = _MAX_REASON // 2
    return text if len(text) <= _MAX_REASON else f"{text[:half]} … {text[-half:]}"
