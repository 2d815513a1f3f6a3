"""Rows of training files: what each method asks of them, and the one form in which trainers get them.

The normal forms:
    supervised     {"messages", "tools"?} or {"prompt", "completion"}
    dpo            {"messages", "tools"?, "preferred", "non_preferred"}, the last two lists of messages
    reinforcement  {"messages", "tools"?, "item"}, where item is the row as it came

Contents are strings, or lists of text and image parts where there are images; calls of functions are tool calls.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from regrade.core.errors import RowError
from regrade.core.jsontext import JsonTextError, loads
from regrade.core.training_job import Method
from regrade.core.training_messages import conversation, read_messages, read_tools
from regrade.types.json import JsonObject, JsonValue

MIN_TRAINING_ROWS = 10
MAX_ROWS: Mapping[tuple[Method, bool], int] = {("reinforcement", False): 50_000, ("reinforcement", True): 1_000}
"""(method, whether it is the validation file) -> most rows, where there is a limit."""
MAX_IMAGE_ROWS = 50_000

_BLIND = "the base model does not take images."
_TEXT_ONLY = "only supervised jobs learn from images."
_OUTPUTS = (
    ("preferred", "preferred_output", "preferred_completion"),
    ("non_preferred", "non_preferred_output", "non_preferred_completion"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a base model can learn from."""

    chat: bool = True
    """It has a chat template."""
    vision: bool = False
    """It takes images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """A row that is right, in normal form."""

    line: int
    row: JsonObject
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A row that is wrong: on which line, in which field, and why."""

    line: int
    path: str
    """Such as `messages[1].content`; empty where it is the row as a whole."""
    reason: str

    @property
    def message(self) -> str:
        """The whole sentence."""
        return f"Line {self.line}{f', {self.path}' if self.path else ''}: {self.reason}"


def read_rows(lines: Iterable[bytes], method: Method, base: Base) -> Iterator[TrainingRow | RowProblem]:
    """Each row of a file, or what is wrong with it; blank lines are none. Memory does not grow with the rows."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            row = normal_form(_parsed(text), method, base)
        except RowError as error:
            yield RowProblem(line=number, path=error.param or "", reason=error.message)
        else:
            yield TrainingRow(line=number, row=row, images=_images(row))


def count_problem(rows: int, image_rows: int, method: Method, *, validation: bool) -> str | None:
    """Why a file has too few rows or too many, where it has; `invalid_n_examples` in the API's words."""
    name, least = ("Validation", 1) if validation else ("Training", MIN_TRAINING_ROWS)
    if rows < least:
        return f"{name} file has {rows} example(s), but must have at least {least}."
    most = MAX_ROWS.get((method, validation))
    if most is not None and rows > most:
        return f"{name} file has {rows:,} examples, but a {method} job takes at most {most:,}."
    if image_rows > MAX_IMAGE_ROWS:
        return f"{name} file has {image_rows:,} examples with images, but at most {MAX_IMAGE_ROWS:,} are taken."
    return None


def normal_form(row: JsonValue, method: Method, base: Base) -> JsonObject:
    """One row as trainers get it. Raises RowError with the field at fault as `param`."""
    if not isinstance(row, dict):
        raise RowError("A row must be a JSON object.")
    return _FORMS[method](row, base)


def _parsed(text: bytes) -> JsonValue:
    try:
        return loads(text)
    except JsonTextError as error:
        raise RowError(error.message) from error


def _supervised(row: JsonObject, base: Base) -> JsonObject:
    if "messages" not in row and ("prompt" in row or "completion" in row):
        return _completion(row, base)
    _must_chat(base)
    messages = conversation(row.get("messages"), "messages", no_images=None if base.vision else _BLIND)
    if not any(each["role"] == "assistant" and each.get("weight", 1) for each in messages):
        raise RowError(
            "there must be at least one assistant message, with a weight other than 0, to learn from.",
            param="messages",
        )
    return {"messages": messages, **read_tools(row)}


def _completion(row: JsonObject, base: Base) -> JsonObject:
    if base.chat:
        raise RowError(
            "rows with 'prompt' and 'completion' are for base models without a chat template; this one has one: "
            "write 'messages'.",
            param="prompt",
        )
    for key in ("prompt", "completion"):
        if not isinstance(row.get(key), str):
            raise RowError("it must be a string.", param=key)
    if not row["completion"]:
        raise RowError("it must not be empty: it is what is learned.", param="completion")
    return {"prompt": row["prompt"], "completion": row["completion"]}


def _preference(row: JsonObject, base: Base) -> JsonObject:
    _must_chat(base)
    given = row.get("input")
    if not isinstance(given, dict):
        raise RowError("it must be an object with 'messages'.", param="input")
    messages = conversation(given.get("messages"), "input.messages", no_images=_TEXT_ONLY)
    found: JsonObject = {"messages": messages, **read_tools(given, at="input.")}
    for name, key, alias in _OUTPUTS:
        at = key if key in row or alias not in row else alias
        output = read_messages(row.get(at), at, no_images=_TEXT_ONLY)
        for n, message in enumerate(output):
            if message["role"] not in ("assistant", "tool"):
                raise RowError("only assistant and tool messages can stand here.", param=f"{at}[{n}].role")
        if not any(message["role"] == "assistant" for message in output):
            raise RowError("there must be at least one assistant message.", param=at)
        found[name] = output
    if found["preferred"] == found["non_preferred"]:
        raise RowError("it is the same as the preferred output, so there is nothing to prefer.", param=at)
    return found


def _reinforcement(row: JsonObject, base: Base) -> JsonObject:
    _must_chat(base)
    messages = conversation(row.get("messages"), "messages", no_images=_TEXT_ONLY)
    if messages[-1]["role"] != "user":
        raise RowError(
            "the last message must be the user's: the model is asked to answer it.",
            param=f"messages[{len(messages) - 1}].role",
        )
    return {"messages": messages, **read_tools(row), "item": row}


_FORMS: Mapping[Method, Callable[[JsonObject, Base], JsonObject]] = {
    "supervised": _supervised,
    "dpo": _preference,
    "reinforcement": _reinforcement,
}


def _must_chat(base: Base) -> None:
    if not base.chat:
        raise RowError(
            "the base model has no chat template, so it can only learn from rows with 'prompt' and 'completion'."
        )


def _images(row: JsonObject) -> int:
    return sum(
        part["type"] == "image_url"
        for message in row.get("messages", [])
        if isinstance(message["content"], list)
        for part in message["content"]
    )
