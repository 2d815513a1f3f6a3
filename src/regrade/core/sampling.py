"""How a run asks its model: from the data source, compiled once, to one request a row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from regrade.core.errors import InvalidError, RowError
from regrade.core.message_files import file_ids
from regrade.core.parsing import parse
from regrade.core.prompts import check_messages, compile_document, texts
from regrade.core.templates import compile_reference, compile_template, referenced_messages
from regrade.core.translation import chat_messages, responses_items
from regrade.core.translation.tools import (
    chat_choice,
    chat_format,
    chat_tools,
    responses_choice,
    responses_format,
    responses_tools,
)
from regrade.types.graders import SamplingParams
from regrade.types.json import JsonObject, JsonValue

TOKEN_LIMITS = ("max_completion_tokens", "max_completions_tokens", "max_output_tokens", "max_tokens")
"""Every spelling of the token limit; the first one given counts."""

_FORWARDED = (
    *("temperature", "top_p", "seed", "top_logprobs", "metadata", "user", "safety_identifier", "service_tier"),
    *("prompt_cache_key", "prompt_cache_retention", "stop", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("top_k", "min_p", "repetition_penalty", "chat_template_kwargs"),
)
"""Parameters that go to either API as given; all unknown ones are kept in the data source and stay here."""

_CHAT_ONLY = ("logprobs", "modalities", "audio", "prediction", "web_search_options")
_RESPONSES_ONLY = ("include", "max_tool_calls", "truncation")

SamplingApi = Literal["chat", "responses"]
Messages = Callable[[JsonObject], list[JsonObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPlan:
    """A run's requests, compiled: `request(item)` raises RowError where the row lacks what they name."""

    api: SamplingApi
    model: str
    parameters: JsonObject
    """What every request holds beside its messages."""
    files: tuple[tuple[str, str], ...]
    """(path, id) of the files that every request names, to be checked when the run is created."""
    messages: Messages

    def request(self, item: JsonObject) -> JsonObject:
        """The request for one row, without `model`; parts of it are shared between rows: never change them."""
        return {"messages" if self.api == "chat" else "input": self.messages(item), **self.parameters}


def compile_plan(
    data_source: JsonObject,
    *,
    recorded: bool = False,
    item_schema: JsonObject | None = None,
    at: str = "data_source",
) -> SamplingPlan | None:
    """How a run asks its model; None where its rows bring their samples.

    `recorded` says that the rows of the file carry samples, so that messages may be missing; rows of stored
    completions and responses always do. Raises InvalidError, with its path, for everything wrong in the definition;
    with `item_schema` also for templates that name what no item can have.
    """
    if data_source["type"] == "jsonl":
        return None
    if data_source.get("input_messages") is None:
        if recorded or data_source["source"]["type"] in ("stored_completions", "responses"):
            return None
        raise _missing(f"{at}.input_messages", "The rows are sent to a model, so they need messages to be sent.")
    if not data_source.get("model"):
        raise _missing(f"{at}.model", "The messages are sent to a model, so the run needs one.")
    api: SamplingApi = "chat" if data_source["type"] == "completions" else "responses"
    asked = data_source["input_messages"]
    return SamplingPlan(
        api=api,
        model=data_source["model"],
        parameters=_parameters(data_source.get("sampling_params") or {}, api, f"{at}.sampling_params"),
        files=tuple(_constant_files(asked, f"{at}.input_messages")),
        messages=_messages(asked, api, item_schema, f"{at}.input_messages"),
    )


def _missing(path: str, why: str) -> InvalidError:
    return InvalidError(
        f"Missing required parameter: '{path}'. {why}", param=path, code="missing_required_parameter"
    )


# -- messages -----------------------------------------------------------------------------------------------


def _messages(asked: JsonObject, api: SamplingApi, item_schema: JsonObject | None, at: str) -> Messages:
    if asked["type"] == "item_reference":
        return _referenced(asked["item_reference"], api, f"{at}.item_reference")
    at = f"{at}.template"
    check_messages(asked["template"], at=at, item_schema=item_schema)
    for text, path in texts(asked["template"], at=at):
        for variable in compile_template(text).variables:
            _refuse_sample(variable.namespace, path)
    render = compile_document(_in_form(asked["template"], api, at))
    return lambda item: render(item, {})


def _referenced(reference: str, api: SamplingApi, at: str) -> Messages:
    variable = compile_reference(reference, at=at)
    _refuse_sample(variable.namespace, at)

    def read(item: JsonObject) -> list[JsonObject]:
        messages = referenced_messages(variable, item, {})
        try:
            return _in_form(messages, api, variable.text)
        except InvalidError as error:
            raise RowError(f"{error.param}: {error.message}") from error

    return read


def _in_form(messages: list[JsonObject], api: SamplingApi, at: str) -> list[JsonObject]:
    try:
        return chat_messages(messages, at=at, developer="developer") if api == "chat" else responses_items(messages)
    except InvalidError as error:
        error.param = error.param or at
        raise


def _refuse_sample(namespace: str, at: str) -> None:
    if namespace == "sample":
        raise InvalidError(
            "There is no sample yet when a model is asked; messages can name 'item' alone.", param=at
        )


def _constant_files(asked: JsonObject, at: str) -> Iterator[tuple[str, str]]:
    return ((path, file_id) for path, file_id in file_ids(asked, at=at) if not compile_template(file_id).variables)


# -- parameters ---------------------------------------------------------------------------------------------


def _parameters(given: JsonObject, api: SamplingApi, at: str) -> JsonObject:
    parse(SamplingParams, given, at=at)
    own = _CHAT_ONLY if api == "chat" else _RESPONSES_ONLY
    parameters = {name: given[name] for name in (*_FORWARDED, *own) if given.get(name) is not None}
    if given.get("tools"):
        _take_tools(parameters, given, api, at)
    take = _take_for_chat if api == "chat" else _take_for_responses
    take(parameters, given, _answer_format(given, at))
    return parameters


def token_limit(sampling_params: JsonObject) -> int | None:
    """The token limit in any of its spellings."""
    return next((sampling_params[name] for name in TOKEN_LIMITS if sampling_params.get(name) is not None), None)


def _take_tools(parameters: JsonObject, given: JsonObject, api: SamplingApi, at: str) -> None:
    tools, choice = given["tools"], given.get("tool_choice")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidError("'tools' is an array of objects.", param=f"{at}.tools", code="invalid_type")
    for index, tool in enumerate(tools):
        _refuse_outside_references(tool, f"{at}.tools[{index}]")
    if api == "chat":
        parameters["tools"] = chat_tools(tools, at=f"{at}.tools")
        choice = None if choice is None else chat_choice(choice, at=f"{at}.tool_choice")
    else:
        parameters["tools"] = responses_tools(tools)
        choice = responses_choice(choice)
    if choice is not None:
        parameters["tool_choice"] = choice
    if given.get("parallel_tool_calls") is not None:
        parameters["parallel_tool_calls"] = given["parallel_tool_calls"]


def _take_for_chat(parameters: JsonObject, given: JsonObject, answer_format: JsonObject | None) -> None:
    chosen = {
        "max_completion_tokens": token_limit(given),
        "reasoning_effort": given.get("reasoning_effort") or _field(given, "reasoning", "effort"),
        "response_format": chat_format(answer_format),
        "verbosity": given.get("verbosity") or _field(given, "text", "verbosity"),
    }
    parameters.update({name: value for name, value in chosen.items() if value is not None})


def _take_for_responses(parameters: JsonObject, given: JsonObject, answer_format: JsonObject | None) -> None:
    effort, verbosity = given.get("reasoning_effort"), given.get("verbosity")
    reasoning = {**(given.get("reasoning") or {}), **({"effort": effort} if effort else {})}
    text = {**(given.get("text") or {}), **({"verbosity": verbosity} if verbosity else {})}
    if answer_format is not None:
        text["format"] = responses_format(answer_format)
    chosen = {
        "max_output_tokens": token_limit(given),
        "reasoning": reasoning or None,
        "text": text or None,
        "store": False,  # calls of a run are no logs
    }
    parameters.update({name: value for name, value in chosen.items() if value is not None})


def _answer_format(given: JsonObject, at: str) -> JsonObject | None:
    """`response_format` or `text.format`."""
    found, path = given.get("response_format"), f"{at}.response_format"
    if found is None:
        found, path = _field(given, "text", "format"), f"{at}.text.format"
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise InvalidError("The format of answers is an object with a 'type'.", param=path)
    _refuse_outside_references(found, path)
    return found


def _field(given: JsonObject, outer: str, inner: str) -> JsonValue:
    container = given.get(outer)
    return container.get(inner) if isinstance(container, dict) else None


def _refuse_outside_references(value: JsonValue, at: str) -> None:
    """Schemas are never fetched: what they refer to lies in them."""
    match value:
        case {"$ref": str(reference)} if not reference.startswith("#"):
            raise InvalidError(
                f"'{at}' refers to '{reference}', which is not part of it. Schemas are never fetched: move what "
                "they refer to into '$defs'.",
                param=at,
            )
        case dict():
            for key, child in value.items():
                _refuse_outside_references(child, f"{at}.{key}")
        case list():
            for index, child in enumerate(value):
                _refuse_outside_references(child, f"{at}[{index}]")
