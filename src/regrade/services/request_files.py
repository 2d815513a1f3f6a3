"""Files of this server that requests name: models get their content."""

from regrade.core.errors import InvalidError, RowError
from regrade.core.message_files import file_ids
from regrade.ports.blobs import Blobs
from regrade.ports.store import FileStore
from regrade.ports.system import Clock
from regrade.types.json import JsonObject
from regrade.workflows.sampling import MessageFiles


class RequestFiles:
    """Puts files where requests name them."""

    def __init__(self, files: FileStore, blobs: Blobs, clock: Clock) -> None:
        self._files = files
        self._blobs = blobs
        self._clock = clock

    async def inlined(self, project: str, body: JsonObject) -> JsonObject:
        """The request with the files' content in it. Raises InvalidError where the project has no such file."""
        asked = body.get("messages") or body.get("input")
        if not isinstance(asked, list) or all(isinstance(each.get("content"), str) for each in asked):
            return body  # most requests are plain texts
        try:
            return await MessageFiles(project, self._files, self._blobs, self._clock).inlined(body)
        except RowError as error:
            known = {file_id for _, file_id in file_ids(body) if self._has(project, file_id)}
            path = next((path for path, file_id in file_ids(body) if file_id not in known), None)
            raise InvalidError(error.message, param=path) from error

    def _has(self, project: str, file_id: str) -> bool:
        return self._files.get(project, file_id, now=self._clock.now()) is not None
