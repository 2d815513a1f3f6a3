"""A stand-in stranger: it receives webhooks over a real socket, keeps them, and answers as it is told."""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Stranger:
    """Receives on its own port. Answers are statuses, or callables that get the handler; the last one stays."""

    def __init__(
        self,
        answers: Sequence[int | Callable[[BaseHTTPRequestHandler], None]] = (200,),
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ):
        self.received: list[Received] = []
        self._changed = threading.Condition()
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with stranger._changed:
                    count = len(stranger.received)
                    stranger.received.append(Received(self.path, headers, body, time.time()))
                    stranger._changed.notify_all()
                answer = answers[min(count, len(answers) - 1)]
                if callable(answer):
                    answer(self)
                else:
                    self.send_response(answer)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"

    def wait(self, count: int, seconds: float = 60) -> list[Received]:
        """All requests once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, seconds), self.received
            return list(self.received)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def stranger(*answers, port: int = 0, tls: ssl.SSLContext | None = None):
    running = Stranger(answers or (200,), port, tls)
    try:
        yield running
    finally:
        running.close()
