"""Messages with `{{…}}` in them: checked when defined, compiled once a run, written once a row."""

from collections.abc import Callable, Iterator

from regrade.core.criteria import check_template
from regrade.core.errors import InvalidError
from regrade.core.templates import compile_template
from regrade.types.json import JsonObject, JsonValue

Render = Callable[[JsonObject, JsonObject], JsonValue]
"""From (item, sample) to what stands there for this row."""

_NEVER_TEMPLATES = frozenset({"type", "role"})


def check_messages(messages: list[JsonObject], *, at: str, item_schema: JsonObject | None = None) -> None:
    """Raise InvalidError, with the path, for a message that cannot be sent or a template that names nothing."""
    if not messages:
        raise InvalidError(f"'{at}' must hold at least one message.", param=at)
    for index, message in enumerate(messages):
        path = f"{at}[{index}]"
        if message.get("type") in (None, "message"):
            if not isinstance(message.get("role"), str):
                raise _missing(f"{path}.role")
            if "content" not in message and "tool_calls" not in message:
                raise _missing(f"{path}.content")
        for text, where in texts(message, at=path):
            check_template(text, where, item_schema)


def _missing(path: str) -> InvalidError:
    return InvalidError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def texts(value: JsonValue, *, at: str) -> Iterator[tuple[str, str]]:
    """Every text in a message that may be a template, with its path."""
    match value:
        case str():
            yield value, at
        case list():
            for index, element in enumerate(value):
                yield from texts(element, at=f"{at}[{index}]")
        case dict():
            for key, element in value.items():
                if key not in _NEVER_TEMPLATES:
                    yield from texts(element, at=f"{at}.{key}")


def compile_document(document: JsonValue) -> Render:
    """A document whose texts are templates; parts without any are the same object for every row."""
    render = _compiled(document)
    return (lambda _item, _sample: document) if render is None else render


def _compiled(value: JsonValue) -> Render | None:
    """None where nothing in it changes from row to row."""
    match value:
        case str():
            template = compile_template(value)
            return template.render if template.variables else None
        case list():
            return _compiled_list(value)
        case dict():
            return _compiled_object(value)
        case _:
            return None


def _compiled_list(values: list[JsonValue]) -> Render | None:
    renders = [_compiled(value) for value in values]
    if not any(renders):
        return None
    elements = list(zip(values, renders, strict=True))
    return lambda item, sample: [value if render is None else render(item, sample) for value, render in elements]


def _compiled_object(fields: JsonObject) -> Render | None:
    renders = {key: None if key in _NEVER_TEMPLATES else _compiled(value) for key, value in fields.items()}
    changing = [(key, render) for key, render in renders.items() if render is not None]
    if not changing:
        return None
    if len(changing) == 1:
        (key, render) = changing[0]
        return lambda item, sample: {**fields, key: render(item, sample)}
    return lambda item, sample: {**fields, **{key: render(item, sample) for key, render in changing}}
