"""Server-sent events, as streams of answers use them."""

from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject

DONE = b"data: [DONE]\n\n"
"""How a stream of chat completions says that it is whole."""

_DONE_DATA = b"[DONE]"


def data_of(event: bytes) -> bytes:
    """The data of one event; empty for a comment, such as one that keeps a connection alive."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


def is_done(data: bytes) -> bool:
    """Whether the data is the word that ends a stream of chat completions."""
    return data == _DONE_DATA


def chunk_event(chunk: JsonObject) -> bytes:
    """A chunk of a chat completion as an event."""
    return b"data: " + dumps(chunk) + b"\n\n"


def named_event(event: JsonObject) -> bytes:
    """An event of a response, with its type as its name."""
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + dumps(event) + b"\n\n"
