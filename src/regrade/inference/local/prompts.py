"""Messages as the text that a model continues: its chat template, and how it calls tools."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from regrade.core.errors import InvalidError
from regrade.core.jsontext import loads
from regrade.core.local_models import JSON_SPACE
from regrade.inference.local.asks import Ask
from regrade.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class ToolForm:
    """How a model's answer calls a function: what stands around the JSON, and what its arguments are called."""

    begin: str
    end: str
    arguments: str


_HERMES = ToolForm("<tool_call>", "</tool_call>", "arguments")
"""Hermes, Qwen and many others."""

TOOL_MARKS = [_HERMES.begin, _HERMES.end]

_BARE = ToolForm("", "", "parameters")
"""Llama 3: the whole answer is the call."""


def text(tokenizer: Any, ask: Ask) -> str:
    """The prompt. Raises InvalidError where the model's template does not take these messages or tools."""
    template = template_of(tokenizer, tools=bool(ask.tools))
    if template is None:
        return _bare_text(ask)
    if ask.tools and "tools" not in template:
        raise InvalidError(
            f"The chat template of the model '{ask.model}' has no place for tools.", param="tools", code=None
        )
    more = {} if ask.reasoning_effort is None else {"reasoning_effort": ask.reasoning_effort}
    try:
        rendered: str = tokenizer.apply_chat_template(
            [_message(message, index) for index, message in enumerate(ask.messages)],
            tools=ask.tools or None,
            add_generation_prompt=True,
            tokenize=False,
            **more,
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise InvalidError(
            f"The chat template of the model '{ask.model}' does not take these messages: {error}", param="messages"
        ) from error
    return rendered


def template_of(tokenizer: Any, *, tools: bool) -> str | None:
    """The chat template; some models have one of its own for tools."""
    match tokenizer.chat_template:
        case {"tool_use": str(template)} if tools:
            return template
        case {"default": str(template)} | str(template):
            return template
        case _:
            return None


def tool_form(tokenizer: Any) -> ToolForm:
    """How the model was taught to call functions, as far as its template shows."""
    template = template_of(tokenizer, tools=True) or ""
    return _HERMES if "<tool_call>" in template else _BARE


def tool_grammar(tokenizer: Any, ask: Ask) -> str:
    """A call of one of the functions that have to be called, as a grammar."""
    form = tool_form(tokenizer)
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                form.arguments: tool["function"].get("parameters") or {"type": "object"},
            },
            "required": ["name", form.arguments],
            "additionalProperties": False,
        }
        for tool in ask.tools
        if ask.must_call in (True, tool["function"]["name"])
    ]
    call = f"call: %json {json.dumps({'anyOf': calls, 'x-guidance': {'whitespace_pattern': JSON_SPACE}})}"
    if not form.begin:
        return f"start: call\n{call}"
    begin, end = (_literal(tokenizer, mark) for mark in (form.begin, form.end))
    return f'start: {begin} "\\n"? call "\\n"? {end}\n{call}'


def tool_calls(answer: str, form: ToolForm, ask: Ask) -> tuple[str | None, list[tuple[str, str]]]:
    """What an answer says beside its calls (None where nothing), and (name, arguments) of each call.

    Whatever is no call of a function that the request has stays text.
    """
    names = {tool["function"]["name"] for tool in ask.tools}
    if not form.begin:
        call = _call(answer, names)
        return (None, [call]) if call else (answer, [])
    said, *parts = answer.split(form.begin)
    calls = []
    for part in parts:
        inside, closed, after = part.partition(form.end)
        call = _call(inside, names) if closed else None
        if call is None:
            said += form.begin + part
        else:
            calls.append(call)
            said += after
    if not calls:
        return answer, []
    return said.strip() or None, calls


def visible(text: str, form: ToolForm) -> int:
    """How many characters of an unfinished answer can be no part of a call."""
    if not form.begin:
        return 0 if not text.strip() or text.lstrip().startswith("{") else len(text)
    if form.begin in text:
        return text.index(form.begin)
    held = next((size for size in range(len(form.begin) - 1, 0, -1) if text.endswith(form.begin[:size])), 0)
    return len(text) - held


def _call(text: str, names: set[str]) -> tuple[str, str] | None:
    try:
        call = loads(text.strip().encode())
    except InvalidError:
        return None
    match call:
        case {"name": str(name), "arguments": arguments} | {"name": str(name), "parameters": arguments} if (
            name in names
        ):
            written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            return name, written
        case _:
            return None


def _literal(tokenizer: Any, mark: str) -> str:
    """A mark in a grammar. Where it is a token of its own that no text can spell, that token is meant."""
    return mark if mark in tokenizer.all_special_tokens else json.dumps(mark)


def _bare_text(ask: Ask) -> str:
    """Without a template a model continues a text, which has to be the one message."""
    if ask.tools:
        raise InvalidError(
            f"The model '{ask.model}' has no chat template, so it takes no tools.", param="tools", code=None
        )
    if len(ask.messages) != 1 or ask.messages[0].get("role") != "user":
        raise InvalidError(
            f"The model '{ask.model}' has no chat template: it continues the text of one user message alone.",
            param="messages",
        )
    content: str = _message(ask.messages[0], 0)["content"]
    return content


def _message(message: JsonObject, index: int) -> JsonObject:
    """A message as templates expect it: content a text, arguments of calls an object."""
    where = f"messages[{index}]"
    role = message.get("role")
    if not isinstance(role, str):
        raise InvalidError(f"{where} has no role.", param=f"{where}.role")
    written = {**message, "role": "system" if role == "developer" else role}
    written["content"] = _content(message.get("content"), where)
    if message.get("tool_calls"):
        written["tool_calls"] = [_tool_call(call, where) for call in message["tool_calls"]]
    return written


def _content(content: Any, where: str) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "".join(_part(part, f"{where}.content[{place}]") for place, part in enumerate(content))
        case _:
            raise InvalidError(f"{where}.content must be a text or a list of parts.", param=f"{where}.content")


def _part(part: Any, where: str) -> str:
    match part:
        case {"type": "text", "text": str(said)} | {"type": "refusal", "refusal": str(said)}:
            return said
        case {"type": str(kind)}:
            raise InvalidError(
                f"The built-in engine reads text alone, and {where} is of the type {kind}.", param=where
            )
        case _:
            raise InvalidError(f"{where} is no part of a message.", param=where)


def _tool_call(call: Any, where: str) -> JsonObject:
    match call:
        case {"function": {"name": str(name), "arguments": arguments}}:
            if isinstance(arguments, str):
                with suppress(InvalidError):  # where a model wrote what is no JSON, the template shows it as it was
                    arguments = loads(arguments.encode())
            return {**call, "function": {"name": name, "arguments": arguments}}
        case _:
            raise InvalidError(f"{where} has a tool call without a function.", param=f"{where}.tool_calls")
