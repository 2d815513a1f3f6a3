"""How one model of one endpoint wants to be asked: which API, which parameters, in which spelling."""

import re
from http import HTTPStatus

from regrade.core import translation
from regrade.core.endpoints import Api, Route
from regrade.core.errors import InvalidError
from regrade.inference.failures import Failure
from regrade.ports.models import ModelCall
from regrade.types.json import JsonObject

_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")
_LIMITS = (*_CHAT_LIMITS, "max_output_tokens", "max_completions_tokens")
"""Every spelling in which clients limit an answer."""

_DROPPED_FOR_ALL = frozenset({"store", "metadata"})  # they say nothing about the answer
_DROPPED_IF_LENIENT = frozenset({"temperature", "top_p", "seed", "reasoning_effort", "reasoning", "verbosity"})
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|extra (?:inputs|fields)|not allowed",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z_]+")


class Dialect:
    """What one model of one endpoint takes; it learns from what the endpoint refuses."""

    def __init__(self, route: Route) -> None:
        self._endpoint = route.endpoint
        self._limit = route.endpoint.max_tokens_key
        self._refused: set[str] = set()

    def spoken(self, api: Api) -> Api:
        """The API in which the endpoint is asked what callers ask in `api`; InvalidError where there is none."""
        if api in self._endpoint.api:
            return api
        other: Api = "responses" if api == "chat" else "chat"
        if api == "embeddings" or other not in self._endpoint.api:
            raise InvalidError(
                f"The endpoint '{self._endpoint.name}' speaks {' and '.join(self._endpoint.api)}, not {api}."
            )
        return other

    def request(self, call: ModelCall) -> tuple[Api, JsonObject]:
        """The request as the endpoint takes it, still without `model`, and the API that it is in.

        Raises InvalidError where the endpoint cannot be asked this.
        """
        spoken = self.spoken(call.api)
        body = call.body
        if spoken != call.api:
            body = self._translated(body, spoken)
        if self._refused:
            drop = self._refused if call.lenient else self._refused & _DROPPED_FOR_ALL
            body = {key: value for key, value in body.items() if key not in drop}
        return spoken, self._spelled(body, spoken)

    def learn(self, failure: Failure, sent: JsonObject, *, lenient: bool) -> bool:
        """Whether a refusal was about a parameter that can be left out or renamed, and will be from now on."""
        if failure.status not in _REFUSALS:
            return False
        name = _named(failure, sent)
        if name in _CHAT_LIMITS:
            self._limit = _CHAT_LIMITS[1 - _CHAT_LIMITS.index(name)]
            return True
        if name in _DROPPED_FOR_ALL or (lenient and name in _DROPPED_IF_LENIENT):
            self._refused.add(name)
            return True
        return False

    def _translated(self, body: JsonObject, spoken: Api) -> JsonObject:
        try:
            if spoken == "chat":
                return translation.responses_request_to_chat(body)
            return translation.chat_request_to_responses(body)
        except InvalidError as error:
            raise InvalidError(
                f"The endpoint '{self._endpoint.name}' speaks {spoken} alone, and this request cannot be "
                f"translated: {error.message}",
                param=error.param,
            ) from error

    def _spelled(self, body: JsonObject, spoken: Api) -> JsonObject:
        if spoken == "responses" and "seed" in body and not self._endpoint.seed:
            body = {key: value for key, value in body.items() if key != "seed"}
        if spoken == "embeddings":
            return body
        wanted = self._limit if spoken == "chat" else "max_output_tokens"
        given = [key for key in _LIMITS if key in body]
        if not given or given == [wanted]:
            return body
        limits = [body[key] for key in given if body[key] is not None]
        spelled = {key: value for key, value in body.items() if key not in given}
        if limits:
            spelled[wanted] = limits[0]
        return spelled


def _named(failure: Failure, sent: JsonObject) -> str:
    """The parameter of the request that a refusal says is not supported; empty where it says no such thing."""
    code = failure.code or ""
    if not code.startswith("unsupported") and not _UNSUPPORTED.search(failure.message):
        return ""
    named = (failure.param or "").split(".")[0]
    if named in sent:
        return named
    return next((word for word in _WORD.findall(failure.message) if word in sent), "")
