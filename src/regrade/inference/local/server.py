"""The engine's HTTP: chat completions as OpenAI's API has them, for one machine's own server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http import HTTPStatus
from random import Random
from typing import NamedTuple

from aiohttp import web

from regrade.core.errors import InvalidError, RegradeError
from regrade.core.jsontext import dumps, loads
from regrade.inference.local import asks, prompts
from regrade.inference.local.answers import DONE, ChoiceStream, Heading, Writer
from regrade.inference.local.asks import Ask
from regrade.inference.local.generation import Generation
from regrade.inference.local.grammars import Matcher
from regrade.inference.local.rows import Row
from regrade.inference.local.sampling import Taste
from regrade.inference.local.shelf import Shelf
from regrade.inference.local.texts import Text
from regrade.inference.local.weights import Model
from regrade.ports.system import Clock, Ids
from regrade.types.json import JsonObject

_log = logging.getLogger(__name__)
_MOST_BODY = 256 << 20


class Engine:
    """Answers requests by having rows written."""

    def __init__(self, shelf: Shelf, generation: Generation, *, clock: Clock, ids: Ids) -> None:
        self._shelf = shelf
        self._generation = generation
        self._clock = clock
        self._ids = ids

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_MOST_BODY)
        app.router.add_post("/v1/chat/completions", self._create)
        app.router.add_get("/status", self._status)
        return app

    async def _status(self, _: web.Request) -> web.Response:
        return _json({"models": self._shelf.status()})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        try:
            body = loads(await request.read())
            if not isinstance(body, dict):
                raise InvalidError("The body is no JSON object.")
            ask = asks.read(body)
            async with self._shelf.model(ask.model, ask.weights) as model:
                answer = _Answer(ask, model, self._seed(ask))
                writer = self._writer(ask, model)
                with answer.written_by(self._generation):
                    if ask.stream:
                        return await _streamed(request, answer, writer)
                    await answer.done()
                    return _json(writer.completion(answer.rows))
        except (RegradeError, OSError, ValueError, RuntimeError) as error:
            if request.transport is None:
                raise  # nobody is there to be told
            return _refusal(error)

    def _seed(self, ask: Ask) -> str:
        return self._ids.secret() if ask.seed is None else str(ask.seed)

    def _writer(self, ask: Ask, model: Model) -> Writer:
        heading = Heading(
            id=self._ids.new("chat"),
            created=self._clock.now(),
            model=ask.model,
            fingerprint=f"fp_{sha256(model.revision.encode()).hexdigest()[:10]}",
        )
        form = prompts.tool_form(model.tokenizer)
        return Writer(ask, heading, form, model.piece, lambda: f"call_{self._ids.secret()[:24]}")


async def _streamed(request: web.Request, answer: "_Answer", writer: Writer) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    await response.prepare(request)
    async for event in answer.events(writer):
        await response.write(event)
    if answer.ask.stream_usage:
        await response.write(writer.usage_chunk(answer.rows))
    await response.write(DONE)
    return response


class _News(NamedTuple):
    """What a row had come to at the end of a step."""

    place: int
    text: int
    """Characters that are sure to stay."""
    tokens: int
    ended: bool


class _Answer:
    """The rows of one request, and what is new of them."""

    def __init__(self, ask: Ask, model: Model, seed: str) -> None:
        """Raises InvalidError where the model cannot answer this."""
        self.ask = ask
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        prompt = _tokens(ask, model)
        # A limit is an upper bound: judges ask for more than small models have room for.
        limit = min(ask.max_tokens or model.context, model.context - len(prompt))
        self.rows = [self._row(prompt, limit, f"{seed} {index}", index) for index in range(ask.choices)]

    def _row(self, prompt: list[int], limit: int, seed: str, index: int) -> Row:
        ask, model = self.ask, self._model

        def told(row: Row) -> None:
            news = _News(index, row.text.safe, len(row.spoken), row.ending is not None)
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

        return Row(
            prompt=prompt,
            limit=limit,
            taste=Taste(temperature=ask.temperature, top_p=ask.top_p, logprobs=ask.logprobs),
            chance=Random(seed),  # noqa: S311 - chance for texts, not for secrets
            ends=model.ends,
            text=Text(model.decode, ask.stops, streams=ask.stream),
            matcher=_matcher(ask, model),
            told=told,
            streams=ask.stream,
        )

    @contextmanager
    def written_by(self, generation: Generation) -> Iterator[None]:
        """Have the rows written; leaving early cancels them."""
        generation.add(self._model.batch, self.rows)
        try:
            yield
        finally:
            for row in self.rows:
                row.cancel()

    async def done(self) -> None:
        """Wait for all rows, and make their texts whole."""
        for _ in self.rows:
            await self._news.get()
        for row in self.rows:
            row.text.finish(row.written)

    async def events(self, writer: Writer) -> AsyncIterator[bytes]:
        """What streams say, until every row has ended."""
        streams = [ChoiceStream(index, row, writer) for index, row in enumerate(self.rows)]
        for stream in streams:
            yield stream.begin()
        going = len(streams)
        while going:
            news = await self._news.get()
            if news.ended:
                going -= 1
                self.rows[news.place].text.finish(self.rows[news.place].written)
                yield streams[news.place].end()
            elif event := streams[news.place].more(news.text, news.tokens):
                yield event


def _tokens(ask: Ask, model: Model) -> list[int]:
    """The prompt, which has to leave room for an answer."""
    text = prompts.text(model.tokenizer, ask)
    special = prompts.template_of(model.tokenizer, tools=False) is None  # a template writes them itself
    tokens: list[int] = model.tokenizer(text, add_special_tokens=special)["input_ids"]
    if not tokens:
        raise InvalidError("The messages are empty: there is nothing to continue.", param="messages")
    if len(tokens) >= model.context:
        raise InvalidError(
            f"This model's maximum context length is {model.context} tokens. However, your messages resulted in "
            f"{len(tokens)} tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        )
    return tokens


def _matcher(ask: Ask, model: Model) -> Matcher | None:
    if ask.must_call is not None:
        return model.grammars.lark(prompts.tool_grammar(model.tokenizer, ask), param="tools")
    if ask.schema is not None:
        return model.grammars.json(ask.schema, param="response_format")
    return None


def _json(document: JsonObject, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=dumps(document), status=status, content_type="application/json")


def _refusal(error: Exception) -> web.Response:
    """The error as the API words it; what nobody foresaw is the server's fault, and may work another time."""
    if isinstance(error, RegradeError):
        told = {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": error.code}
        return _json({"error": told}, HTTPStatus.BAD_REQUEST)
    _log.exception("A request could not be answered")
    message = f"The built-in engine could not answer: {str(error) or type(error).__name__}"
    told = {"message": message, "type": "server_error", "param": None, "code": None}
    return _json({"error": told}, HTTPStatus.INTERNAL_SERVER_ERROR)
