"""Images of rows that lie elsewhere: fetched while the files are read, so that trainers need no network."""

import asyncio
import base64
from collections.abc import Iterable, Iterator

from regrade.core.errors import RowError
from regrade.core.training_data import RowProblem, TrainingRow
from regrade.core.training_messages import MAX_IMAGE_BYTES, image_parts, is_remote, kind_of
from regrade.ports.outbound import Outbound, UnreachableError
from regrade.types.json import JsonObject

_AT_ONCE = 8
_IMAGES_HELD = 16
_ROWS_HELD = 256
_FAILURES = 10
"""After so many images that cannot be had no further one is asked for: a host may be down, and rows may be many."""

_Image = tuple[str, JsonObject]
"""Where an image stands in its row, and the part that names it."""


class RemoteImages:
    """The images of one file."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._failures = 0

    def fetched(self, rows: Iterable[TrainingRow | RowProblem]) -> Iterator[TrainingRow | RowProblem]:
        """The rows with images in place of addresses; a row of which one cannot be had is wrong."""
        held: list[tuple[TrainingRow | RowProblem, list[_Image]]] = []
        for row in rows:
            held.append((row, _remote(row.row) if isinstance(row, TrainingRow) and row.images else []))
            if len(held) >= _ROWS_HELD or sum(len(images) for _, images in held) >= _IMAGES_HELD:
                yield from self._settled(held)
                held = []
            elif not held[0][1]:  # nothing is waited for: most files have no such images
                yield held.pop(0)[0]
        yield from self._settled(held)

    def _settled(
        self, held: list[tuple[TrainingRow | RowProblem, list[_Image]]]
    ) -> Iterator[TrainingRow | RowProblem]:
        images = [image for _, of_row in held for image in of_row]
        problems = dict(zip(map(id, images), asyncio.run(self._fetch_all(images)), strict=True)) if images else {}
        for row, of_row in held:
            found = next(((image, problems[id(image)]) for image in of_row if problems[id(image)]), None)
            if found is None:
                yield row
            else:
                (at, _), reason = found
                yield RowProblem(line=row.line, path=f"{at}.image_url.url", reason=str(reason))

    async def _fetch_all(self, images: list[_Image]) -> list[str | None]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def fetch(image: _Image) -> str | None:
            async with room:
                return await self._fetch(image)

        return await asyncio.gather(*map(fetch, images))

    async def _fetch(self, image: _Image) -> str | None:
        """Put the image in place of its address; what is wrong with it, where that cannot be done."""
        at, part = image
        if self._failures >= _FAILURES:
            return f"the image was not asked for, because {_FAILURES} others could not be had."
        try:
            content = await self._outbound.get(part["image_url"]["url"], most_bytes=MAX_IMAGE_BYTES)
            kind = kind_of(content, at)
        except UnreachableError as error:
            self._failures += 1
            return f"the image cannot be fetched. {error.message}"
        except RowError as error:
            return error.message
        part["image_url"] = {"url": f"data:image/{kind};base64,{base64.b64encode(content).decode()}"}
        return None


def _remote(row: JsonObject) -> list[_Image]:
    return [
        (f"messages[{n}].content[{m}]", part)
        for n, message in enumerate(row["messages"])
        if image_parts(message)
        for m, part in enumerate(message["content"])
        if part["type"] == "image_url" and is_remote(part["image_url"]["url"])
    ]
