"""What an endpoint really speaks, found by asking it a little of everything."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from regrade.core.endpoints import Api, Endpoint, Route
from regrade.core.errors import InvalidError, ModelError
from regrade.core.jsontext import loads
from regrade.inference.effort import Effort
from regrade.inference.exchange import Exchange
from regrade.inference.lane import Lane, Lanes
from regrade.inference.retry import Policy
from regrade.ports.models import ModelCall
from regrade.ports.system import Clock
from regrade.types.json import JsonObject

_QUESTION = {"role": "user", "content": "Say yes."}
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"yes": {"type": "boolean"}},
    "required": ["yes"],
    "additionalProperties": False,
}
_TOOL: JsonObject = {"name": "say", "description": "Say a word.", "parameters": _SCHEMA}
_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that the endpoint can do or not."""

    what: str
    """`chat`, `responses`, `embeddings`, `structured_outputs` or `tools`, as the keys of [[endpoints]] say."""
    works: bool
    told: str
    """The model that answered, or why none did."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Question:
    what: str
    api: Api
    body: JsonObject
    fits: Callable[[JsonObject], bool] = lambda _answer: True


def _fits_schema(answer: JsonObject) -> bool:
    value = loads(answer["choices"][0]["message"]["content"].encode())
    return isinstance(value, dict) and list(value) == ["yes"] and isinstance(value["yes"], bool)


_QUESTIONS = (
    _Question("chat", "chat", {"messages": [_QUESTION], "max_completion_tokens": 1}),
    # The hosted responses API takes no smaller limit.
    _Question("responses", "responses", {"input": "Say yes.", "max_output_tokens": 16, "store": False}),
    _Question("embeddings", "embeddings", {"input": "yes"}),
    _Question(
        "structured_outputs",
        "chat",
        {
            "messages": [_QUESTION],
            "max_completion_tokens": 200,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True},
            },
        },
        _fits_schema,
    ),
    _Question(
        "tools",
        "chat",
        {
            "messages": [_QUESTION],
            "max_completion_tokens": 200,
            "tools": [{"type": "function", "function": _TOOL}],
            "tool_choice": "required",
        },
        lambda answer: bool(answer["choices"][0]["message"].get("tool_calls")),
    ),
)


async def probe(endpoint: Endpoint, model: str, secret: str | None, clock: Clock) -> AsyncIterator[Finding]:
    """Ask for a token of each API, then for an answer by schema and for a call of a tool; one attempt each."""
    policy = Policy(attempts=1, timeout_s=_DEADLINE_S)
    exchange = Exchange(clock, policy.connect_timeout_s)
    try:
        for question in _QUESTIONS:
            lane = Lanes(policy, clock, time.monotonic).get(
                Route(endpoint=replace(endpoint, api=(question.api,)), model=model)
            )
            yield await _asked(question, lane, secret, exchange, policy)
    finally:
        await exchange.close()


async def _asked(
    question: _Question, lane: Lane, secret: str | None, exchange: Exchange, policy: Policy
) -> Finding:
    call = ModelCall(api=question.api, model=lane.model, body=question.body, persist=False, lenient=True)
    started = time.monotonic()
    try:
        effort = Effort(call, lane, secret, 0)
        answer = await effort.persist(exchange.whole, policy, lambda: 0.0)
        works, told = _judged(question, answer)
    except ModelError as error:
        works, told = False, error.message
    return Finding(what=question.what, works=works, told=told, seconds=time.monotonic() - started)


def _judged(question: _Question, answer: JsonObject) -> tuple[bool, str]:
    try:
        fits = question.fits(answer)
    except (InvalidError, LookupError, TypeError, AttributeError):
        fits = False
    return fits, f"{answer.get('model') or 'it'} answered{'' if fits else ', but not what was asked for'}"
