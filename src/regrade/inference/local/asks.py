"""Requests for chat completions, read: what the engine does, what it may ignore, and what it refuses."""

from dataclasses import dataclass
from typing import Any, Literal

from regrade.core.errors import InvalidError
from regrade.core.local_models import Weights
from regrade.types.json import JsonObject

_MOST_CHOICES = 128
_MOST_TOP_LOGPROBS = 20
_MOST_STOPS = 4
_MOST_SEED = 2**63

_IGNORED = frozenset((
    "metadata", "modalities", "moderation", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
    "verbosity",
))  # fmt: skip
"""They say nothing about the answer that the engine could heed or break."""

_REFUSED = ("audio", "frequency_penalty", "functions", "logit_bias", "presence_penalty", "web_search_options")

_READ = frozenset((
    *_REFUSED, "logprobs", "max_completion_tokens", "max_tokens", "messages", "model", "n", "reasoning_effort",
    "response_format", "seed", "stop", "stream", "stream_options", "temperature", "tool_choice", "tools",
    "top_logprobs", "top_p", "weights",
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request."""

    model: str
    weights: Weights
    messages: list[JsonObject]
    tools: list[JsonObject]
    """Function tools, as on the wire; empty also where `tool_choice` is none."""
    must_call: str | Literal[True] | None
    """The name of the function that has to be called; True for any; None where the model decides."""
    schema: JsonObject | None
    """What the answer has to fit."""
    choices: int
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int | None
    stops: list[str]
    logprobs: int | None
    """How many likely tokens to report beside each; None reports nothing."""
    stream: bool
    stream_usage: bool
    reasoning_effort: str | None


def read(body: JsonObject) -> Ask:
    """Raises InvalidError that names the parameter."""
    for name, value in body.items():
        if name not in _READ and name not in _IGNORED and value is not None:
            raise InvalidError(
                f"Unknown parameter: '{name}'. The built-in engine does not know it.",
                param=name,
                code="unknown_parameter",
            )
    for name in _REFUSED:
        if body.get(name):
            raise InvalidError(
                f"Unsupported parameter: '{name}' is not supported by the built-in engine. Leave it out.",
                param=name,
                code="unsupported_parameter",
            )
    tools, must_call = _tools(body)
    max_tokens = body.get("max_completion_tokens")
    limit = "max_tokens" if max_tokens is None else "max_completion_tokens"
    stream_options = body.get("stream_options")
    return Ask(
        model=_text(body, "model"),
        weights=_weights(body.get("weights")),
        messages=_messages(body.get("messages")),
        tools=tools,
        must_call=must_call,
        schema=_schema(body.get("response_format")),
        choices=_integer(body, "n", 1, _MOST_CHOICES) or 1,
        max_tokens=_integer(body, limit, 1, 2**31),
        temperature=_number(body, "temperature", 0, 2),
        top_p=_number(body, "top_p", 0, 1),
        seed=_integer(body, "seed", -_MOST_SEED, _MOST_SEED),
        stops=_stops(body.get("stop")),
        logprobs=_logprobs(body),
        stream=body.get("stream") is True,
        stream_usage=isinstance(stream_options, dict) and stream_options.get("include_usage") is True,
        reasoning_effort=None if body.get("reasoning_effort") is None else _text(body, "reasoning_effort"),
    )


def _weights(value: Any) -> Weights:
    match value:
        case {"path": str(path), "adapter": None | str() as adapter}:
            return Weights(path=path, adapter=adapter)
        case _:
            raise InvalidError("The request does not say where the model lies.", param="weights")


def _messages(value: Any) -> list[JsonObject]:
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise InvalidError("'messages' must be a list of at least one message.", param="messages")
    return value


def _tools(body: JsonObject) -> tuple[list[JsonObject], str | Literal[True] | None]:
    tools = body.get("tools") or []
    for index, tool in enumerate(tools):
        match tool:
            case {"type": "function", "function": {"name": str()}}:
                pass
            case _:
                raise InvalidError(
                    "The built-in engine takes tools of the type function alone, each with a name.",
                    param=f"tools[{index}]",
                )
    match body.get("tool_choice"):
        case None | "auto":
            return tools, None
        case "none":
            return [], None
        case "required" if tools:
            return tools, True
        case {"type": "function", "function": {"name": str(name)}} if name in _names(tools):
            return tools, name
        case _:
            raise InvalidError(
                "'tool_choice' must be none, auto, required or one of the functions in 'tools'.",
                param="tool_choice",
            )


def _names(tools: list[JsonObject]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


def _schema(value: Any) -> JsonObject | None:
    match value:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_schema", "json_schema": dict()}:
            return {}
        case _:
            raise InvalidError(
                "'response_format' must be of the type text, json_object or json_schema.", param="response_format"
            )


def _stops(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > _MOST_STOPS or not all(isinstance(each, str) for each in stops):
        raise InvalidError(f"'stop' must be a text or a list of up to {_MOST_STOPS} texts.", param="stop")
    return [stop for stop in stops if stop]


def _logprobs(body: JsonObject) -> int | None:
    top = _integer(body, "top_logprobs", 0, _MOST_TOP_LOGPROBS)
    if body.get("logprobs") is True:
        return top or 0
    if top is not None:
        raise InvalidError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    return None


def _text(body: JsonObject, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise InvalidError(f"Invalid type for '{name}': expected a string.", param=name, code="invalid_type")
    return value


def _integer(body: JsonObject, name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidError(f"'{name}' must be a whole number from {low} to {high}.", param=name)
    return value


def _number(body: JsonObject, name: str, low: float, high: float) -> float:
    """1 where it is not given, as with hosted models."""
    value = body.get(name)
    if value is None:
        return 1.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidError(f"'{name}' must be a number from {low:g} to {high:g}.", param=name)
    return float(value)
