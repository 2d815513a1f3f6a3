"""Texts with `{{item.…}}` and `{{sample.…}}` in them, compiled once and rendered once a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from regrade.core import jsontext
from regrade.core.errors import InvalidError, RowError
from regrade.types.json import JsonObject, JsonValue

MAX_RENDERED = 16_000_000
"""Characters that a text may have once rendered, so that a short template cannot multiply a long field."""

MAX_VARIABLES = 256
"""Variables that one text may name; each may be a field to search a long text for."""

MAX_PATH = 1_000
"""Characters between a pair of braces that may be a path."""

_NAMESPACES = ("item", "sample")
_LISTED_FIELDS = 20
_LISTED_LENGTH = 60

# One step of a path: `.key`, `[3]`, `["any key"]` or `['any key']`. No repetition stands within another one, so
# matching takes linear time.
_STEP = re.compile(
    r"""\.(?P<key>[\w$][\w$ -]*)|\[(?:(?P<index>-?[0-9]{1,9})|"(?P<double>[^"]*)"|'(?P<single>[^']*)')\]"""
)
_NAME = re.compile(r"[^\W\d]\w*")
_DOTTED_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")


class MissingVariableError(RowError):
    """A row has nothing at the path that a template names."""

    code = "invalid_variable_error"


@dataclass(frozen=True, slots=True)
class Variable:
    """A path into the item or the sample, such as `item.address.city` or `sample.output_tools[0].function.name`."""

    text: str
    namespace: str
    steps: tuple[str | int, ...]

    def value(self, item: JsonObject, sample: JsonObject) -> JsonValue:
        """What the row has there, looking into strings that hold JSON; raises MissingVariableError."""
        node: Any = item if self.namespace == "item" else sample
        for position, step in enumerate(self.steps):
            container = _parsed(node) if type(node) is str else node
            try:
                # Digits after a dot are a key of an object and an index of an array.
                node = container[int(step) if type(container) is list else step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise self._missing(position, container) from None
        return node

    def _missing(self, position: int, container: JsonValue) -> MissingVariableError:
        parent = self.namespace + "".join(map(_step_text, self.steps[:position]))
        match container:
            case dict():
                has = f"its fields are {_listed(container)}" if container else "it has no fields"
            case list():
                has = f"it is an array of length {len(container)}"
            case None:
                has = "it is null"
            case _:
                has = "it holds no JSON object or array"
        return MissingVariableError(
            f"The template names {{{{{self.text}}}}}, but {parent} has no '{self.steps[position]}': {has}."
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text; `render(item, sample)` raises MissingVariableError, or RowError where it is too long."""

    source: str
    variables: tuple[Variable, ...]
    render: Callable[[JsonObject, JsonObject], str]


def compile_template(source: str, *, at: str | None = None) -> Template:
    """Parse a text once.

    Braces that do not look like `{{name.path}}` stay as they are. Raises InvalidError, with param `at`, where they
    do but the name is neither `item` nor `sample`, or the path is none.
    """
    pieces: list[str | Variable] = []
    position = literal = 0
    while (close := source.find("}}", position)) >= 0:
        # The innermost pair counts, so that an unclosed pair before it stays literal.
        start = source.rfind("{{", position, close)
        variable = parse_variable(source[start + 2 : close], at=at) if start >= 0 else None
        position = close + 2
        if variable is not None:
            pieces += [source[literal:start], variable]
            literal = position
            if len(pieces) > 2 * MAX_VARIABLES:
                raise InvalidError(
                    f"The template names too many fields: at most {MAX_VARIABLES} can be named.", param=at
                )
    pieces.append(source[literal:])
    pieces = [piece for piece in pieces if piece]
    variables = tuple(piece for piece in pieces if isinstance(piece, Variable))
    return Template(source, variables, _renderer(source, pieces, variables))


def parse_variable(text: str, *, at: str | None = None) -> Variable | None:
    """The path between a pair of braces; None where it does not look like `name.path`."""
    text = text.strip()
    name = _NAME.match(text)
    if len(text) > MAX_PATH and name is not None and text[name.end() : name.end() + 1] in (".", "["):
        raise InvalidError(
            f"The template names {{{{{text[:40]}...}}}}, which is longer than {MAX_PATH} characters.",
            param=at,
        )
    if name is None or name.group() not in _NAMESPACES:
        if _DOTTED_NAMES.fullmatch(text):
            raise InvalidError(
                f"The template names {{{{{text}}}}}, but templates can name only fields of 'item' and 'sample'.",
                param=at,
            )
        return None
    position = name.end()
    if text[position : position + 1] not in (".", "["):
        return None
    steps: list[str | int] = []
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise InvalidError(
                f"The template names {{{{{text}}}}}, which is not a path: write names after dots and indexes in "
                'brackets, such as {{item.answers[0].text}} or {{item["a (strange) name"]}}.',
                param=at,
            )
        steps.append(_step_of(step))
        position = step.end()
    return Variable(text, name.group(), tuple(steps))


def _step_of(step: re.Match[str]) -> str | int:
    if step["index"] is not None:
        return int(step["index"])
    if step["key"] is not None:
        return step["key"].rstrip()
    return step["double"] if step["double"] is not None else step["single"]


def compile_reference(text: str, *, at: str | None = None) -> Variable:
    """The path of an `item_reference`: `item.input`, with or without braces."""
    bare = text.strip()
    if bare.startswith("{{") and bare.endswith("}}"):
        bare = bare[2:-2]
    variable = parse_variable(bare, at=at)
    if variable is None:
        raise InvalidError(f"'{text}' is not a path to a field of the item, such as item.input.", param=at)
    return variable


def referenced_messages(reference: Variable, item: JsonObject, sample: JsonObject) -> list[JsonObject]:
    """The messages that an `item_reference` stands for in this row; a string is one message of the user."""
    value = reference.value(item, sample)
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, list) and all(isinstance(message, dict) for message in value):
        return value
    raise RowError(f"{reference.text} must hold a list of messages or a string, to be sent as messages.")


def as_text(value: JsonValue) -> str:
    """A value as it stands in a text: strings as they are, null as nothing, all else as JSON."""
    if type(value) is str:
        return value
    return "" if value is None else jsontext.dumps(value).decode()


def _renderer(
    source: str, pieces: list[str | Variable], variables: tuple[Variable, ...]
) -> Callable[[JsonObject, JsonObject], str]:
    if not variables:
        return lambda _item, _sample: source
    if len(pieces) == 1:
        return _single(variables[0])
    return _joined(pieces)


def _single(variable: Variable) -> Callable[[JsonObject, JsonObject], str]:
    """Most templates are one variable and nothing else."""
    look_up = _look_up(variable)

    def render(item: JsonObject, sample: JsonObject) -> str:
        value = look_up(item, sample)
        return value if type(value) is str else as_text(value)

    return render


def _joined(pieces: list[str | Variable]) -> Callable[[JsonObject, JsonObject], str]:
    parts = [(piece, None) if isinstance(piece, str) else ("", _look_up(piece)) for piece in pieces]

    def render(item: JsonObject, sample: JsonObject) -> str:
        texts: list[str] = []
        length = 0
        for text, look_up in parts:
            texts.append(text if look_up is None else as_text(look_up(item, sample)))
            length += len(texts[-1])
            if length > MAX_RENDERED:  # before the next one is made
                raise RowError(f"A template gives a text of more than {MAX_RENDERED} characters for this row.")
        return "".join(texts)

    return render


def _look_up(variable: Variable) -> Callable[[JsonObject, JsonObject], JsonValue]:
    """A faster `variable.value` for paths of one step."""
    if len(variable.steps) != 1 or type(variable.steps[0]) is not str:
        return variable.value
    key, in_item = variable.steps[0], variable.namespace == "item"

    def look_up(item: JsonObject, sample: JsonObject) -> JsonValue:
        try:
            return item[key] if in_item else sample[key]
        except KeyError:
            return variable.value(item, sample)

    return look_up


def _parsed(text: str) -> JsonValue:
    """The object or array that a string holds as JSON; False, into which no path leads, where it holds none."""
    try:
        value = jsontext.loads(text.encode("utf-8", "replace"))
    except InvalidError:
        return False
    return value if isinstance(value, dict | list) else False


def _step_text(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"


def _listed(fields: JsonObject) -> str:
    names = [f"'{name[:_LISTED_LENGTH]}'" for name in list(fields)[:_LISTED_FIELDS]]
    return ", ".join(names) + (f" and {len(fields) - len(names)} more" if len(fields) > len(names) else "")
