"""Samples of a run's own: its model is asked for each row, as the run's plan says."""

import asyncio
from dataclasses import dataclass

from regrade.core import samples
from regrade.core.errors import ModelError, NotFoundError, RowError
from regrade.core.message_files import InlineFile, file_ids, inline_file, inline_files
from regrade.core.sampling import SamplingPlan
from regrade.ports.blobs import Blobs
from regrade.ports.models import ModelCall, ModelPort
from regrade.ports.store import FileStore
from regrade.ports.system import Clock
from regrade.types.json import JsonObject, JsonValue

_FILES_KEPT = 64


@dataclass(slots=True, kw_only=True)
class Drawn:
    """The sample of one row."""

    namespace: JsonObject
    """As templates see it."""
    sample: JsonObject
    """As the output item shows it."""
    model: str | None = None
    """The name that the endpoint answered with; None where it gave no answer."""
    usage: JsonValue = None

    @property
    def failed(self) -> bool:
        """Whether there is no answer to grade; `sample` says why."""
        return self.model is None


class Sampler:
    """Asks one run's model."""

    def __init__(self, plan: SamplingPlan, models: ModelPort, files: "MessageFiles", *, project: str) -> None:
        self._plan = plan
        self._models = models
        self._files = files
        self._project = project
        self._sample_of = samples.sample_of_chat if plan.api == "chat" else samples.sample_of_response

    async def draw(self, item: JsonObject, row: int) -> Drawn:
        """Ask for one row's sample; raises RowError where the row lacks what the messages name."""
        request = self._plan.request(item)
        body = await self._files.inlined(request)
        # Equal rows are asked anew each time; the same row of another run may be answered from the cache.
        # Early rows come first: chunks end one after the other, and a short run passes a long one. Graders' calls
        # have 0, so that rows which have their samples end before new ones begin.
        call = ModelCall(
            api=self._plan.api,
            model=self._plan.model,
            body=body,
            repetition=row,
            project=self._project,
            urgency=row + 1,
        )
        try:
            answer = await self._models.ask(call)
        except ModelError as error:
            sample = samples.answered(self._sample_of(request, {}))
            sample["error"] = {"code": error.code or "model_error", "message": error.message}
            return Drawn(namespace={}, sample=sample)
        raw = self._sample_of(request, {**answer.body, "model": answer.model})
        sample = samples.answered(raw)
        if answer.cached:
            sample["cached"] = True
        usage = answer.body.get("usage")
        return Drawn(namespace=samples.namespace(raw), sample=sample, model=answer.model, usage=usage)


class MessageFiles:
    """Files of this server that messages name, read once for many rows."""

    def __init__(self, project: str, files: FileStore, blobs: Blobs, clock: Clock) -> None:
        self._project = project
        self._files = files
        self._blobs = blobs
        self._clock = clock
        self._read: dict[str, InlineFile] = {}

    async def inlined(self, request: JsonObject) -> JsonObject:
        """The request with the files' content in it; raises RowError where one is unknown."""
        wanted = [file_id for _, file_id in file_ids(request)]
        if not wanted:
            return request
        for file_id in wanted:
            if file_id not in self._read:
                while len(self._read) >= _FILES_KEPT:
                    self._read.pop(next(iter(self._read)))
                self._read[file_id] = await asyncio.to_thread(self._load, file_id)
        return inline_files(request, self._read)

    def _load(self, file_id: str) -> InlineFile:
        file = self._files.get(self._project, file_id, now=self._clock.now())
        if file is None:
            raise RowError(f"No such File object: {file_id}.")
        try:
            return inline_file(file.filename, b"".join(self._blobs.pieces(file.blob)))
        except NotFoundError as error:
            raise RowError(error.message) from error
