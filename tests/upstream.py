"""The stand-in upstream: chat completions, responses and embeddings over a real socket, and every way to misbehave.

Answers are computed from the request, so equal requests have equal answers. A process of its own::

    with upstream() as up:                    # or: python tests/upstream.py --port 9000
        up.url                                # http://127.0.0.1:PORT/v1
        up.requests(), up.state(), up.forget(), up.next_faults("500", "429=0.1"), up.close_for(2.0)
        up.kill(); up.start()                 # a dead port, and the same port alive again

or in this process, in an event loop: ``site = Site(); server = await site.listen(0)``.

**The model's name is the command**: ``ANSWER@FAULT@FAULT``. What stands before a ``/`` is a vendor, and means
nothing. It answers under the name ``MODEL-001``, as hosted models do under the name of a snapshot.

Answers:
    echo        the last user message's text             upper      the same in capitals
    say=TEXT    TEXT                                     request    the whole request as JSON text
    parts       the types of the last message's parts    long=N     N words
    json        a value that fits the JSON schema asked for (texts: the last user text)
    judge       the same, but `result` is the number behind "score" in the text (else the label that occurs in it)
    tool        calls every function tool given, with arguments that fit, unless the last message is a tool's output
    refusal     refuses                                  truncated  half of the text, cut by the token limit
    think       reasons before it echoes                 filtered   ends with content_filter

Faults; with ``xN`` only the first N times that this very request is made:
    slow=S      answers after S seconds                  hang       never answers
    429         that status; 500, 503 ... too            429=S      with Retry-After: S; 429ms=M: Retry-After-Ms
    quota       429 insufficient_quota, for ever         no=PARAM   400 where the request has this parameter
    drop        closes the connection without an answer  reset      sends half of the answer, then RST
    cut         sends half of the answer, then FIN       malformed  200, but the JSON is broken
    html        200, but a web page                      error200   200, but the body is an error
    307         redirects elsewhere                      key=K      401 unless the key is K
    limit=N     429 while more than N are in flight      spent=S    answers, and says that none remain for S seconds

A response in the ``background`` is queued, in progress when it is asked for first, and done from then on. It can be
cancelled and deleted.

``GET /v1/models`` lists what ``--models a,b`` names; without it there is no list, as with some servers, and any
name that fits a pattern is taken. Control routes: ``GET`` and ``DELETE /control/requests``; ``GET /control/state``
(counts, most in flight, abandoned); ``GET /control/calls`` (when each that has ended began and ended, its tokens);
``POST /control/faults`` (a list of faults for the next requests);
``POST /control/close`` {"seconds": S} (a dead port for so long).
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from contextlib import contextmanager

import httptools
import orjson

from upstream_answers import (
    CREATED,
    chat_answer,
    chat_events,
    embeddings_answer,
    error,
    reply_to,
    responses_answer,
    responses_events,
)

FAULT = re.compile(r"([a-z]+|\d{3}(?:ms)?|error200)(?:=([^@]*?))?(?:x(\d+))?$")
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


# -- the server ---------------------------------------------------------------------------------------------


class Site:
    """What all connections share: the record of requests, the faults to come, the listening socket."""

    def __init__(self, models=None, latency=0.0, *, records=True, key=None):
        self.key = key
        self.records = records
        self.models = models
        self.latency = latency
        self.forget()
        self.faults = deque()
        self.connections = set()
        self.in_flight = 0
        self.server = None
        self.port = 0

    def forget(self):
        self.seen = []
        self.times = Counter()
        self.background = {}
        self.calls = []
        self.most_in_flight = self.abandoned = self.accepted = 0

    async def listen(self, port):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self.server

    async def close_for(self, seconds):
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(seconds)
        await self.listen(self.port)

    def faults_for(self, model, key):
        """The faults that hit this request: (name, value)."""
        if self.faults:
            model = f"{model}@{self.faults.popleft()}"
        found = []
        for text in model.split("@")[1:]:
            match = FAULT.match(text)
            if match and (match[3] is None or self.times[key] <= int(match[3])):
                found.append((match[1], match[2] or ""))
        return found


class Connection(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, site):
        self.site = site
        self.task = None

    def connection_made(self, transport):
        self.transport = transport
        self.site.connections.add(self)
        self.site.accepted += 1
        self._begin()

    def connection_lost(self, error):
        self.site.connections.discard(self)
        if self.task is not None and not self.task.done():
            self.site.abandoned += 1
            self.task.cancel()

    def _begin(self):
        self.parser = httptools.HttpRequestParser(self)
        self.url, self.headers, self.body = b"", {}, []

    def data_received(self, data):
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers[name.lower().decode()] = value.decode()

    def on_body(self, body):
        self.body.append(body)

    def on_message_complete(self):
        path = self.url.decode().split("?")[0]
        method, body, headers = self.parser.get_method().decode(), b"".join(self.body), self.headers
        self._begin()
        if path.startswith("/control/"):
            self._control(method, path.removeprefix("/control/"), body)
        elif self.site.key and headers.get("authorization") != f"Bearer {self.site.key}":
            self.send(401, error("Incorrect API key provided.", "invalid_api_key"))
        elif path.endswith("/models") and self.site.models:
            data = [
                {"id": each, "object": "model", "created": CREATED, "owned_by": "up"} for each in self.site.models
            ]
            self.send(200, {"object": "list", "data": data})
        elif path.endswith(("/chat/completions", "/responses", "/embeddings")):
            self.task = asyncio.ensure_future(self._model(path, body, headers))
        elif "/responses/" in path:
            self._kept(method, *path.partition("/responses/")[2].split("/"))
        else:
            self.send(404, error(f"Invalid URL ({method} {path})", kind="invalid_request_error"))

    def _control(self, method, what, body):
        site = self.site
        answer = {}
        match method, what:
            case "GET", "requests":
                keys = ("path", "headers", "body")
                answer = [dict(zip(keys, (p, h, orjson.loads(b)), strict=True)) for p, h, b in site.seen]
            case "GET", "calls":
                answer = site.calls
            case "DELETE", "requests":
                site.forget()
            case "GET", "state":
                answer = {"requests": len(site.seen), "in_flight": site.in_flight, "accepted": site.accepted}
                answer |= {"most_in_flight": site.most_in_flight, "abandoned": site.abandoned}
                answer["background"] = len(site.background)
            case "POST", "faults":
                site.faults.extend(orjson.loads(body))
            case "POST", "close":
                site.closing = asyncio.ensure_future(site.close_for(orjson.loads(body)["seconds"]))
                return
        self.send(200, answer)

    def _kept(self, method, response_id, action=None):
        """What becomes of a response in the background: (its state, the whole answer)."""
        kept = self.site.background
        if response_id not in kept:
            self.send(404, error(f"Response with id '{response_id}' not found.", kind="invalid_request_error"))
            return
        status, whole = kept[response_id]
        if method == "DELETE":
            del kept[response_id]
            self.send(200, {"id": response_id, "object": "response", "deleted": True})
            return
        status = (
            "cancelled" if action else {"queued": "in_progress", "in_progress": "completed"}.get(status, status)
        )
        kept[response_id] = status, whole
        self.send(200, whole if status == "completed" else {**whole, "status": status, "output": []})

    async def _model(self, path, raw, headers):
        site = self.site
        if site.records:
            site.seen.append((path, headers, raw))
        site.in_flight += 1
        began, self.tokens, body = time.monotonic(), 0, {}
        site.most_in_flight = max(site.most_in_flight, site.in_flight)
        try:
            body = orjson.loads(raw)
            key = hash(raw)
            site.times[key] += 1
            if site.latency:
                await asyncio.sleep(site.latency)
            await self._answer(path, body, site.faults_for(body.get("model", ""), key), headers)
        finally:
            site.in_flight -= 1
            if site.records:
                site.calls.append((began, time.monotonic(), body.get("model", ""), self.tokens))

    async def _answer(self, path, body, faults, headers):
        damage, extra = None, ()
        for name, value in faults:
            if name == "slow":
                await asyncio.sleep(float(value))
            elif name == "hang":
                await asyncio.sleep(3600)
            elif name == "spent":
                extra = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", f"{value}s"))
            elif name in ("reset", "cut", "malformed"):
                damage = name
            elif self._refuse(name, value, body, headers):
                return
        model = body.get("model", "")
        name, equals, value = model.partition("@")[0].partition("=")
        if path.endswith("/embeddings"):
            self.send(200, embeddings_answer(body, f"{model}-001"), extra, damage)
            return
        reply = reply_to(name.rsplit("/", 1)[-1] + equals + value, body)
        if reply is None:
            self.send(404, error(f"The model '{model}' does not exist", "model_not_found", "model"))
        elif body.get("stream"):
            await self.send_events(path, body, reply, f"{model}-001", damage)
        else:
            make = chat_answer if path.endswith("/chat/completions") else responses_answer
            self.send(200, self._begun(body, make(body, reply, f"{model}-001")), extra, damage)

    def _begun(self, body, answer):
        """The answer, or what is said of it at first where it is to be made in the background."""
        if not body.get("background"):
            return answer
        self.site.background[answer["id"]] = "queued", {**answer, "background": True}
        return {**answer, "status": "queued", "output": [], "background": True}

    def _refuse(self, name, value, body, headers):
        """Send what the fault says in place of an answer; whether it says so."""
        match name:
            case "quota":
                self.send(429, error("You exceeded your current quota.", "insufficient_quota"))
            case "no" if value in body:
                text = f"Unsupported parameter: '{value}' is not supported with this model."
                self.send(400, error(text, "unsupported_parameter", value, "invalid_request_error"))
            case "key" if value not in (headers.get("api-key"), headers.get("authorization", "")[7:]):
                # Some upstreams repeat the key that they refuse.
                self.send(401, error(f"Incorrect API key: {headers.get('authorization')}.", "invalid_api_key"))
            case "limit" if self.site.in_flight > int(value):
                self.send(429, error("Too many requests at once.", "rate_limit_exceeded"))
            case "drop":
                self.transport.close()
            case "html":
                self.send(200, b"<html><body>Welcome to nginx!</body></html>", kind="text/html")
            case "error200":
                self.send(200, error("Provider returned error", 502))
            case _ if name[:3].isdigit():
                pause = "retry-after-ms" if name.endswith("ms") else "retry-after"
                extra = (
                    [("location", "http://127.0.0.1:9/")] if name == "307" else [(pause, value)] if value else []
                )
                code = "rate_limit_exceeded" if name.startswith("429") else None
                self.send(int(name[:3]), error(f"Told to answer {name[:3]}.", code), extra)
            case _:
                return False
        return True

    def send(self, status, document, extra=(), damage=None, kind="application/json"):
        if isinstance(document, dict):
            self.tokens = (document.get("usage") or {}).get("total_tokens", 0)
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        if damage == "malformed":
            body = body[: len(body) // 2]
        more = "".join(f"{name}: {value}\r\n" for name, value in extra)
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Told')}\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n{more}\r\n"
        )
        if damage in ("reset", "cut"):
            self.transport.write(head.encode() + body[: len(body) // 2])
            self._end(damage)
            return
        self.transport.write(head.encode() + body)

    async def send_events(self, path, body, reply, model, damage):
        if path.endswith("/chat/completions"):
            events = [b"data: " + orjson.dumps(chunk) for chunk in chat_events(body, reply, model)] + [
                b"data: [DONE]"
            ]
        else:
            events = [
                b"event: %b\ndata: %b"
                % (event["type"].encode(), orjson.dumps({**event, "sequence_number": number}))
                for number, event in enumerate(responses_events(body, reply, model))
            ]
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number, event in enumerate(events):
            broken = damage and number >= len(events) // 2
            if broken and damage != "malformed":
                self._end(damage)
                return
            text = (b'data: {"broken' if broken else event) + b"\n\n"
            self.transport.write(b"%x\r\n%b\r\n" % (len(text), text))
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")

    def _end(self, damage):
        # What has been written must have gone before a reset throws it away.
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, self.transport.abort if damage == "reset" else self.transport.close)


# -- the process --------------------------------------------------------------------------------------------


class Upstream:
    """The stand-in as a process, and its controls."""

    def __init__(self, *flags):
        self._flags = flags
        self.port = 0
        self.start()

    def start(self):
        """Start, on the port that it had before."""
        command = [sys.executable, __file__, "--port", str(self.port), *self._flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def requests(self):
        """Every request so far: path, headers, body."""
        return self._control("GET", "requests")

    def state(self):
        return self._control("GET", "state")

    def calls(self):
        """(began, ended, model, tokens) of every call that has ended, by the upstream's clock."""
        return [tuple(call) for call in self._control("GET", "calls")]

    def forget(self):
        self._control("DELETE", "requests")

    def next_faults(self, *faults):
        self._control("POST", "faults", faults)

    def close_for(self, seconds):
        """A dead port for so long; returns at once."""
        try:
            self._control("POST", "close", {"seconds": seconds})
        except OSError:  # it hangs up on us too
            time.sleep(0.01)

    def _control(self, method, what, body=None):
        url = f"http://127.0.0.1:{self.port}/control/{what}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def upstream(*flags):
    """A stand-in of one's own; flags as of the program."""
    running = Upstream(*flags)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--models", type=lambda text: text.split(","))
    arguments.add_argument("--latency-ms", type=float, default=0)
    arguments.add_argument("--key", help="refuse requests without it")
    arguments.add_argument("--forget", action="store_true", help="record no requests")
    given = arguments.parse_args()
    site = Site(given.models, given.latency_ms / 1000, records=not given.forget, key=given.key)
    await site.listen(given.port)
    print(site.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
