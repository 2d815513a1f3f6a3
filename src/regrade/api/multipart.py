"""Forms with one large file, taken in while they arrive: the file goes through, everything else is small."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi.concurrency import run_in_threadpool
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from regrade.api.http import BodyError
from regrade.core.errors import InvalidError, MediaTypeError
from regrade.services.incoming import Incoming

_MAX_PARTS = 32
_MAX_FIELD_BYTES = 64 << 10  # all fields together
_BATCH = 256 << 10  # taken to a thread at once: much less would cost more in switches than in work


class Form:
    """A multipart/form-data body in the making; `feed` it, then `finish`."""

    def __init__(self, content_type: str, file_field: str, incoming: Incoming) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.incoming = incoming
        self._file_field = file_field
        self._has_file = False
        self._parts = 0
        self._field_bytes = 0
        self._header = ("", "")  # the one being read
        self._disposition = ""
        self._name: str | None = None  # of the field being read; None within the file
        self._value = bytearray()
        self._ended = False
        self._parser = _parser(content_type)
        self._parser.callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._take_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BodyError(f"The form cannot be read: {error}.") from error

    def finish(self) -> None:
        """The body has arrived. Raises InvalidError where the form is not whole or has no file."""
        if not self._ended:
            raise BodyError("The form ends before its last boundary. Send the request again.")
        if not self._has_file:
            name = self._file_field
            raise InvalidError(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise BodyError(f"The form has more than {_MAX_PARTS} parts.")
        self._disposition = ""
        self._value.clear()

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name + data[start:end].decode("latin-1"), value)

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name, value + data[start:end].decode("latin-1"))

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == "content-disposition":
            self._disposition = value
        self._header = ("", "")

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != self._file_field:
            self._name = name
            return
        if self._has_file:
            raise InvalidError(f"The form has more than one '{name}'. Send one file a request.", param=name)
        self._has_file = True
        self._name = None
        self.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            self.incoming.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MAX_FIELD_BYTES:
            raise BodyError(f"The fields of the form have more than {_MAX_FIELD_BYTES} bytes.")
        self._value += data[start:end]

    def _end_part(self) -> None:
        if self._name is not None:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True


@asynccontextmanager
async def received(request: Request, *, begin: Callable[[], Incoming], file_field: str) -> AsyncIterator[Form]:
    """The request's form, whole; what it brought is forgotten at the end unless it was committed by then."""
    incoming = await run_in_threadpool(begin)
    try:
        form = Form(request.headers.get("content-type", ""), file_field, incoming)
        await _feed(request, form)
        yield form
    finally:
        await run_in_threadpool(incoming.abort)


def announced_length(request: Request) -> int:
    """How long the body says it is; 0 where it does not say."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else 0


async def _feed(request: Request, form: Form) -> None:
    batch: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            batch.append(piece)
            size += len(piece)
            if size >= _BATCH:
                await run_in_threadpool(form.feed, b"".join(batch))
                batch.clear()
                size = 0
    except ClientDisconnect:
        raise BodyError("The connection ended before the form did.") from None
    await run_in_threadpool(form.feed, b"".join(batch))
    form.finish()


def _parser(content_type: str) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise MediaTypeError(
            f"The content type of the body is '{content_type[:100]}'. Send a form, as 'multipart/form-data'."
        )
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BodyError("The content type 'multipart/form-data' names no boundary.")
    try:
        return MultipartParser(boundary)
    except FormParserError as error:
        raise BodyError(f"The form cannot be read: {error}.") from error
