"""Stored objects of one kind: listed, read, relabelled, forgotten."""

from collections.abc import Callable

from regrade.core import metadata
from regrade.core.entities import Page, PageRequest, StoredKind, StoredObject
from regrade.core.errors import NotFoundError
from regrade.core.parsing import parse
from regrade.core.stored_objects import StoredFilter
from regrade.ports.store import StoredObjectStore
from regrade.ports.system import Clock
from regrade.types.chat_completions import UpdateChatCompletion
from regrade.types.json import JsonObject


class StoredObjects:
    """What can be done with chat completions, or with responses, once they are stored."""

    def __init__(
        self,
        store: StoredObjectStore,
        clock: Clock,
        *,
        kind: StoredKind,
        param: str,
        document: Callable[[StoredObject], JsonObject],
    ) -> None:
        """`param` is what an error calls the id, `document` the form in which an object is answered."""
        self._store = store
        self._clock = clock
        self._kind: StoredKind = kind
        self._param = param
        self._document = document

    def list(self, project: str, page: PageRequest, wanted: StoredFilter) -> Page[JsonObject]:
        """One page of what model and metadata of the filter take."""
        found = self._store.page(project, self._kind, page, wanted, now=self._clock.now())
        return Page(data=[self._document(stored) for stored in found.data], has_more=found.has_more)

    def find(self, project: str, object_id: str) -> StoredObject:
        """The object. Raises NotFoundError."""
        stored = self._store.get(project, self._kind, object_id, now=self._clock.now())
        if stored is None:
            raise self._unknown(object_id)
        return stored

    def get(self, project: str, object_id: str) -> JsonObject:
        """The object as answered. Raises NotFoundError."""
        return self._document(self.find(project, object_id))

    def update(self, project: str, object_id: str, document: JsonObject) -> JsonObject:
        """Replace the metadata; null clears it."""
        pairs = metadata.checked(parse(UpdateChatCompletion, document).metadata)
        if not self._store.update_metadata(project, self._kind, object_id, pairs, now=self._clock.now()):
            raise self._unknown(object_id)
        return self.get(project, object_id)

    def delete(self, project: str, object_id: str) -> None:
        """Forget what was asked and answered. Raises NotFoundError."""
        if not self._store.delete(project, self._kind, object_id, now=self._clock.now()):
            raise self._unknown(object_id)

    def _unknown(self, object_id: str) -> NotFoundError:
        name = "chat completion" if self._kind == "chat" else "response"
        return NotFoundError(f"No stored {name} found with id '{object_id}'.", param=self._param)
