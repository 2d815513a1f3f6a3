"""Responses: passed on, or translated where an endpoint speaks chat alone; stored unless the client declines."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from regrade.core import metadata, replay, stored_answers
from regrade.core.endpoints import Endpoint
from regrade.core.entities import Creation, Page, PageRequest, StoredObject
from regrade.core.errors import InvalidError, ModelError, NotFoundError, StateError
from regrade.core.jsontext import dumps, loads
from regrade.core.server_sent_events import data_of, is_done, named_event
from regrade.core.stored_objects import FINISHED
from regrade.core.tool_secrets import split_secrets
from regrade.core.translation import ChatToResponsesStream, responses_items, responses_request_to_chat
from regrade.ports.models import ModelCall, ModelPort, ResponseAction
from regrade.ports.store import StoredObjectStore
from regrade.ports.system import Clock, Ids
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.services.model_calls import (
    cut,
    document_in,
    model_of,
    objects,
    optional,
    refuse_error,
    required,
    translated,
)
from regrade.services.request_files import RequestFiles
from regrade.services.stored_objects import StoredObjects
from regrade.types.json import JsonObject

logger = logging.getLogger(__name__)

KEPT_SECONDS = 30 * 86_400

# This server's own business: upstreams keep nothing, and know no other response.
_OURS = frozenset({"model", "store", "metadata", "previous_response_id"})
_UNSTORED = frozenset({"store", "metadata", "stream", "stream_options"})
_ELSEWHERE = ("background", "conversation")
"""What an endpoint keeps itself, and only one that speaks responses can."""
_PENDING = ("queued", "in_progress")
_LOOK_SECONDS = 1.0
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, checked, with the input that it goes on from."""

    project: str
    model: str
    body: JsonObject
    """As received, but with the whole input."""
    endpoint: Endpoint
    metadata: JsonObject
    stored_as: str | None
    """The id of the object to be, where it is to be stored."""
    created_at: int
    creation: Creation | None
    has_secrets: bool

    @property
    def native(self) -> bool:
        return "responses" in self.endpoint.api

    @property
    def background(self) -> bool:
        return bool(self.body.get("background"))

    def forwarded(self) -> JsonObject:
        """The request as the endpoint gets it, but for the content of files."""
        forwarded = {key: value for key, value in self.body.items() if key not in _OURS}
        if self.native and not self.body.get("conversation"):
            forwarded["store"] = self.background  # without which there is nothing to come back to
        return forwarded

    def own(self, answer: JsonObject) -> JsonObject:
        """An answer of the endpoint as an answer of this server."""
        if self.has_secrets:
            answer = split_secrets(answer)[0]
        ours: JsonObject = {} if self.stored_as is None else {"id": self.stored_as, "created_at": self.created_at}
        return {
            **answer,
            **ours,
            "previous_response_id": self.body.get("previous_response_id"),
            "metadata": self.metadata,
            "store": self.stored_as is not None,
        }


class Responses:
    """What the endpoints under /responses mean. What is async is for the event loop of the models."""

    def __init__(
        self,
        models: ModelPort,
        store: StoredObjectStore,
        files: RequestFiles,
        tuned: FineTunedModels,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._models = models
        self._tuned = tuned
        self._files = files
        self._store = store
        self._ids = ids
        self._clock = clock
        self.stored = StoredObjects(
            store, clock, kind="response", param="response_id", document=stored_answers.response_document
        )

    async def create(self, project: str, body: JsonObject, creation: Creation | None) -> JsonObject:
        """Ask the model, and store the answer before it is given. Raises ModelError."""
        call = await self._read(project, body, creation)
        body = await self._forwarded(call)
        asked = ModelCall(api="responses", model=call.model, body=body, project=call.project, persist=False)
        given = (await self._models.ask(asked)).body
        answer = call.own(given)
        await self._keep(call, answer, upstream_id=given.get("id"))
        return answer

    async def stream(self, project: str, body: JsonObject, creation: Creation | None) -> AsyncGenerator[bytes]:
        """The answer's events; it is stored before the last one. Raises ModelError, but only before the first."""
        call = await self._read(project, body, creation)
        sent = 0
        try:
            async with aclosing(self._native(call) if call.native else self._translated(call)) as events:
                async for event in events:
                    yield event
                    sent += 1
        except ModelError as error:
            if not sent:
                raise
            detail = {"code": error.code, "message": error.message, "param": error.param}
            failure = {"type": "error", "sequence_number": sent, **detail}
            yield named_event({**failure, "error": {"type": "server_error", **detail}})

    async def get(self, project: str, response_id: str) -> JsonObject:
        """A stored response; what runs in the background is asked for anew."""
        stored = await asyncio.to_thread(self.stored.find, project, response_id)
        if stored.status in _PENDING:
            stored = await self._refreshed(stored, "retrieve")
        return stored_answers.response_document(stored)

    async def replay(self, project: str, response_id: str, *, after: int = -1) -> AsyncGenerator[bytes]:
        """The events of a stored response after number `after`; of one in the background once it has ended."""
        response = await self.get(project, response_id)
        for event in replay.begun(response):
            if event["sequence_number"] > after:
                yield named_event(event)
        while response["status"] in _PENDING:
            await asyncio.sleep(_LOOK_SECONDS)
            response = await self.get(project, response_id)
        for event in replay.ended(response):
            if event["sequence_number"] > after:
                yield named_event(event)

    async def cancel(self, project: str, response_id: str) -> JsonObject:
        """End what runs in the background; harmless where it has ended. Raises StateError for others."""
        stored = await asyncio.to_thread(self.stored.find, project, response_id)
        if not loads(stored.request).get("background"):
            raise StateError(
                f"The response '{response_id}' was not made with 'background', and only such can be cancelled.",
                param="response_id",
            )
        if stored.status in _PENDING:
            stored = await self._refreshed(stored, "cancel")
        return stored_answers.response_document(stored)

    async def delete(self, project: str, response_id: str) -> JsonObject:
        """Delete a stored response, here and where its endpoint keeps it too."""
        stored = await asyncio.to_thread(self.stored.find, project, response_id)
        await asyncio.to_thread(self.stored.delete, project, response_id)
        if stored.upstream_id is not None:
            try:
                await self._models.manage(stored.model_asked, stored.upstream_id, "delete")
            except ModelError as error:
                logger.warning("%s is deleted here, but perhaps not upstream: %s", response_id, error.message)
        return {"object": "response", "id": response_id, "deleted": True}

    def input_items(self, project: str, response_id: str, page: PageRequest) -> Page[JsonObject]:
        """One page of what a stored response answered, with all that it went on from."""
        return stored_answers.page_of(stored_answers.input_items(self.stored.find(project, response_id)), page)

    # -- reading a request ----------------------------------------------------------------------------------

    async def _read(self, project: str, body: JsonObject, creation: Creation | None) -> _Call:
        model = model_of(body)
        await self._tuned.check_call(project, model)
        if isinstance(body.get("input"), list):
            objects(body, "input")
        elif body.get("prompt") is None:
            required(body, "input", str)
        objects(body, "tools")
        optional(body, "stream", bool)
        store = optional(body, "store", bool)
        pairs = metadata.checked(optional(body, "metadata", dict))
        endpoint = await self._models.find(model)
        call = _Call(
            project=project,
            model=model,
            body=await self._with_history(project, body),
            endpoint=endpoint,
            metadata=pairs,
            stored_as=None if store is False else self._ids.new("response"),
            created_at=self._clock.now(),
            creation=creation,
            has_secrets=bool(body.get("tools")) and bool(split_secrets({"tools": body["tools"]})[1]),
        )
        _refuse_what_endpoints_keep(call)
        return call

    async def _with_history(self, project: str, body: JsonObject) -> JsonObject:
        """The request with what was said before it, where it goes on from a stored response."""
        previous_id = optional(body, "previous_response_id", str)
        if previous_id is None:
            return body
        if body.get("conversation"):
            raise InvalidError(
                "'previous_response_id' and 'conversation' both say what a response goes on from; give one.",
                param="previous_response_id",
            )
        try:
            previous = await asyncio.to_thread(self.stored.find, project, previous_id)
        except NotFoundError:
            raise InvalidError(
                f"Previous response with id '{previous_id}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            ) from None
        if previous.status not in FINISHED:
            raise InvalidError(
                f"The response '{previous_id}' is {previous.status}, so that nothing can go on from it.",
                param="previous_response_id",
            )
        said = responses_items(loads(previous.request).get("input") or [])
        said += filter(_can_be_sent, loads(previous.answer).get("output") or [])
        return {**body, "input": said + responses_items(body.get("input") or [])}

    async def _forwarded(self, call: _Call) -> JsonObject:
        return await self._files.inlined(call.project, call.forwarded())

    # -- streams --------------------------------------------------------------------------------------------

    async def _native(self, call: _Call) -> AsyncGenerator[bytes]:
        """The events of an endpoint that speaks responses; those that hold the whole response become ours."""
        body = await self._forwarded(call)
        asked = ModelCall(api="responses", model=call.model, body=body, project=call.project, persist=False)
        ended = kept = False
        async with aclosing(self._models.stream(asked)) as events:
            async for event in events:
                if b'"response"' not in event and b'"error"' not in event:
                    yield event  # most are deltas, and need not be parsed
                    continue
                document = document_in(data_of(event))
                given = document.get("response")
                if document.get("type") == "error":
                    refuse_error({"error": document.get("error") or document})
                if not isinstance(given, dict):
                    yield event
                    continue
                response = call.own(given)
                ended = document["type"] in _ENDS
                if ended or (call.background and document["type"] == "response.created"):
                    await self._keep(call, response, upstream_id=given.get("id"), again=kept)
                    kept = True
                yield named_event({**document, "response": response})
        if not ended:
            raise cut(call.endpoint)

    async def _translated(self, call: _Call) -> AsyncGenerator[bytes]:
        """The events of an endpoint that speaks chat alone."""
        request = translated(call.endpoint, responses_request_to_chat, await self._forwarded(call))
        asked = ModelCall(api="chat", model=call.model, body=request, project=call.project, persist=False)
        state = ChatToResponsesStream(call.body, response_id=call.stored_as)
        begun = ended = False
        try:
            async with aclosing(self._models.stream(asked)) as events:
                async for event in events:
                    data = data_of(event)
                    ended = ended or is_done(data)
                    for chunk in filter(None, (document_in(data),)):
                        ended = ended or _says_why_it_ended(chunk)
                        for each in state.feed(chunk):
                            yield _owned(call, each)
                            begun = True
            if not ended:
                raise cut(call.endpoint)
        except ModelError as error:
            if not begun:
                raise
            for each in state.fail(error):
                yield _owned(call, each)
            return
        last = [_owned(call, each) for each in state.finish()]
        await self._keep(call, call.own(state.response), upstream_id=None)
        for event in last:
            yield event

    # -- what is kept ---------------------------------------------------------------------------------------

    async def _keep(self, call: _Call, answer: JsonObject, *, upstream_id: str | None, again: bool = False) -> None:
        """Store the answer; `again` where it was stored before it was whole."""
        if call.stored_as is None:
            return
        request = {key: value for key, value in call.body.items() if key not in _UNSTORED}
        elsewhere = any(call.body.get(field) for field in _ELSEWHERE)
        stored = StoredObject(
            id=call.stored_as,
            project=call.project,
            kind="response",
            model_asked=call.model,
            model_answered=str(answer.get("model") or call.model),
            created_at=call.created_at,
            expires_at=call.created_at + KEPT_SECONDS,
            status=str(answer.get("status") or "completed"),
            metadata=call.metadata,
            request=dumps(split_secrets(request)[0]),
            answer=dumps(answer),
            upstream_id=upstream_id if elsewhere else None,
        )
        if again:
            await asyncio.to_thread(self._store.update_answer, stored)
        else:
            await asyncio.to_thread(self._store.add, stored, call.creation)

    async def _refreshed(self, stored: StoredObject, action: ResponseAction) -> StoredObject:
        """The object as its endpoint has it now."""
        if stored.upstream_id is None:
            return stored
        given = split_secrets(await self._models.manage(stored.model_asked, stored.upstream_id, action))[0]
        before = loads(stored.answer)
        kept = {key: before.get(key) for key in ("id", "created_at", "previous_response_id", "metadata", "store")}
        answer = {**before, **given, **kept}
        now = replace(
            stored,
            status=str(answer.get("status") or stored.status),
            model_answered=str(answer.get("model") or stored.model_answered),
            answer=dumps(answer),
        )
        await asyncio.to_thread(self._store.update_answer, now)
        return now


def _refuse_what_endpoints_keep(call: _Call) -> None:
    for name in _ELSEWHERE:
        if call.body.get(name) and not call.native:
            raise InvalidError(
                f"'{name}' needs an endpoint that speaks the responses API; the model '{call.model}' is served by "
                f"'{call.endpoint.name}', which speaks {' and '.join(call.endpoint.api)}.",
                param=name,
            )
    if call.background and call.stored_as is None:
        raise InvalidError("'background' needs 'store': the answer is fetched later.", param="background")


def _can_be_sent(item: JsonObject) -> bool:
    """Whether an item of an answer means something to an endpoint that has not kept it."""
    return item.get("type") != "reasoning" or bool(item.get("encrypted_content") or item.get("content"))


def _says_why_it_ended(chunk: JsonObject) -> bool:
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


def _owned(call: _Call, event: JsonObject) -> bytes:
    if "response" in event:
        event = {**event, "response": call.own(event["response"])}
    return named_event(event)
