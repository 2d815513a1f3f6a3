"""Chat completions: passed on to whichever endpoint serves the model, and stored where the client asks for it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from regrade.core import metadata, stored_answers
from regrade.core.chat_capture import ChatCapture
from regrade.core.endpoints import Endpoint
from regrade.core.entities import Creation, Page, PageRequest, StoredObject
from regrade.core.errors import InvalidError, ModelError
from regrade.core.jsontext import dumps
from regrade.core.server_sent_events import DONE, chunk_event, data_of, is_done
from regrade.core.tool_secrets import split_secrets
from regrade.core.translation import ResponsesToChatStream, chat_request_to_responses
from regrade.ports.models import ModelCall, ModelPort
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

# This server's own business: it keeps what is to be kept, and upstreams refuse one without the other.
_OURS = ("model", "store", "metadata")
_UNSTORED = ("store", "metadata", "stream", "stream_options")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, checked."""

    project: str
    request_id: str
    model: str
    body: JsonObject
    """As received."""
    forwarded: JsonObject
    """As the endpoint gets it."""
    metadata: JsonObject
    stored_as: str | None
    """The id of the object to be, where it is to be stored."""
    created_at: int
    creation: Creation | None

    @property
    def wants_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))


class ChatCompletions:
    """What the endpoints under /chat/completions mean. What is async is for the event loop of the models."""

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
            store, clock, kind="chat", param="completion_id", document=stored_answers.chat_document
        )

    async def create(
        self, project: str, body: JsonObject, request_id: str, creation: Creation | None
    ) -> JsonObject:
        """Ask the model, and store the answer before it is given. Raises ModelError."""
        call = await self._read(project, body, request_id, creation)
        asked = ModelCall(api="chat", model=call.model, body=call.forwarded, project=call.project, persist=False)
        answer = (await self._models.ask(asked)).body
        if call.stored_as is not None:
            answer = {**answer, "id": call.stored_as, "created": call.created_at}
            await self._keep(call, answer)
        return answer

    async def stream(
        self, project: str, body: JsonObject, request_id: str, creation: Creation | None
    ) -> AsyncGenerator[bytes]:
        """The answer's events; it is stored before the last one. Raises ModelError, but only before the first."""
        call = await self._read(project, body, request_id, creation)
        endpoint = await self._models.find(call.model)
        if "chat" not in endpoint.api:
            events = self._translated(call, endpoint)
        elif call.stored_as is None:
            events = self._models.stream(_asked(call))
        else:
            events = self._captured(call, endpoint)
        begun = False
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
                    begun = True
        except ModelError as error:
            if not begun:
                raise
            detail = {"message": error.message, "type": "server_error", "param": error.param, "code": error.code}
            yield chunk_event({"error": detail})

    def messages(self, project: str, completion_id: str, page: PageRequest) -> Page[JsonObject]:
        """One page of the messages that a stored completion answered."""
        return stored_answers.page_of(stored_answers.chat_messages(self.stored.find(project, completion_id)), page)

    def delete(self, project: str, completion_id: str) -> JsonObject:
        """Delete a stored completion."""
        self.stored.delete(project, completion_id)
        return {"object": "chat.completion.deleted", "id": completion_id, "deleted": True}

    async def _read(self, project: str, body: JsonObject, request_id: str, creation: Creation | None) -> _Call:
        model = model_of(body)
        await self._tuned.check_call(project, model)
        if not required(body, "messages", list):
            raise InvalidError("'messages' is empty; a model needs at least one message.", param="messages")
        objects(body, "messages")
        objects(body, "tools")
        optional(body, "stream", bool)
        store = optional(body, "store", bool)
        return _Call(
            project=project,
            request_id=request_id,
            model=model,
            body=body,
            forwarded=await self._files.inlined(
                project, {key: value for key, value in body.items() if key not in _OURS}
            ),
            metadata=metadata.checked(optional(body, "metadata", dict)),
            stored_as=self._ids.new("chat") if store else None,
            created_at=self._clock.now(),
            creation=creation,
        )

    async def _captured(self, call: _Call, endpoint: Endpoint) -> AsyncGenerator[bytes]:
        """The events of an endpoint that speaks chat, under our id; added up and stored on the way."""
        capture = ChatCapture()
        ended = False
        async with aclosing(self._models.stream(_asked(call, usage=True))) as events:
            async for event in events:
                data = data_of(event)
                if is_done(data):
                    ended = True
                    break
                chunk = document_in(data)
                if not chunk:
                    yield event  # a comment that keeps the connection alive
                    continue
                refuse_error(chunk)
                chunk |= {"id": call.stored_as, "created": call.created_at}
                capture.feed(chunk)
                if not call.wants_usage:
                    usage = chunk.pop("usage", None)
                    if usage and not chunk.get("choices"):
                        continue  # it was asked for our sake
                yield chunk_event(chunk)
        if not (ended or capture.whole):
            raise cut(endpoint)
        await self._keep(call, capture.completion())
        yield DONE

    async def _translated(self, call: _Call, endpoint: Endpoint) -> AsyncGenerator[bytes]:
        """The events of an endpoint that speaks responses alone."""
        request = translated(endpoint, chat_request_to_responses, call.forwarded)
        body = {**request, "stream": True}
        asked = ModelCall(api="responses", model=call.model, body=body, project=call.project, persist=False)
        chat = ResponsesToChatStream(include_usage=call.wants_usage)
        ours = {} if call.stored_as is None else {"id": call.stored_as, "created": call.created_at}
        async with aclosing(self._models.stream(asked)) as events:
            async for event in events:
                for chunk in chat.feed(document_in(data_of(event))):
                    yield chunk_event({**chunk, **ours})
        if not chat.done:
            raise cut(endpoint)
        if call.stored_as is not None:
            await self._keep(call, {**chat.answer, **ours})
        yield DONE

    async def _keep(self, call: _Call, answer: JsonObject) -> None:
        request = {key: value for key, value in call.body.items() if key not in _UNSTORED}
        stored = StoredObject(
            id=answer["id"],
            project=call.project,
            kind="chat",
            model_asked=call.model,
            model_answered=str(answer.get("model") or call.model),
            created_at=call.created_at,
            metadata=call.metadata,
            request=dumps(split_secrets(request)[0]),
            answer=dumps({**answer, "request_id": call.request_id}),
        )
        await asyncio.to_thread(self._store.add, stored, call.creation)


def _asked(call: _Call, *, usage: bool = False) -> ModelCall:
    body = {**call.forwarded, "stream": True}
    if usage:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return ModelCall(api="chat", model=call.model, body=body, project=call.project, persist=False)
