"""Fine-tuning jobs: create, list, read, pause, resume, cancel; what they tell and what they saved."""

import logging
import re
from collections.abc import Callable, Sequence

from regrade.core import fine_tuning
from regrade.core.entities import Creation, Eval, EventLevel, FineTuningJob, JobEvent, Page, PageRequest
from regrade.core.errors import InvalidError, NotFoundError, StateError
from regrade.core.parsing import parse, unknown_fields
from regrade.ports.engine import Engine
from regrade.ports.fine_tuning import FineTuningStore, Trainers
from regrade.ports.store import EvalStore
from regrade.ports.system import Clock, Ids
from regrade.services.tuning_definitions import TuningDefinition, TuningDefinitions, checked_integrations
from regrade.types.fine_tuning import CreateFineTuningJob
from regrade.types.fine_tuning import FineTuningJob as FineTuningJobAnswer
from regrade.types.json import JsonObject

logger = logging.getLogger(__name__)

_AZURE_SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")


class FineTuning:
    """What the endpoints under /fine_tuning/jobs mean."""

    def __init__(
        self,
        *,
        store: FineTuningStore,
        evals: EvalStore,
        definitions: TuningDefinitions,
        trainers: Trainers,
        nobody_trains: Callable[[], str | None],
        engine: Engine,
        ids: Ids,
        clock: Clock,
    ) -> None:
        """`nobody_trains` says why no job can be trained now, where that is so."""
        self._store = store
        self._evals = evals
        self._definitions = definitions
        self._trainers = trainers
        self._nobody_trains = nobody_trains
        self._engine = engine
        self._ids = ids
        self._clock = clock

    def create(
        self, project: str, document: JsonObject, creation: Creation | None, *, azure: bool = False
    ) -> JsonObject:
        """Check a new job, store it, and ask for its files to be read.

        `azure` names the model as Azure does. Raises InvalidError.
        """
        reason = self._nobody_trains()
        if reason is not None:
            raise InvalidError(reason, code="missing_dependency")
        request = parse(CreateFineTuningJob, document)
        if azure and request.suffix is not None and not _AZURE_SUFFIX.fullmatch(request.suffix):
            raise InvalidError(
                "A suffix can have at most 40 characters: letters, digits, dashes and underscores.", param="suffix"
            )
        definition = self._definitions.check(project, request, document)
        job_id = self._ids.new("job")
        job = FineTuningJob(
            id=job_id,
            project=project,
            status="validating_files",
            model=request.model,
            base=definition.base,
            created_at=self._clock.now(),
            training_file=definition.training.id,
            validation_file=definition.validation.id if definition.validation else None,
            training_blob=definition.training.blob,
            validation_blob=definition.validation.blob if definition.validation else None,
            suffix=request.suffix,
            seed=fine_tuning.seed_of(job_id) if request.seed is None else request.seed,
            azure=azure,
            method=definition.method,
            integrations=checked_integrations(request, job_id),
            metadata=definition.metadata,
            extra=unknown_fields(request, FineTuningJobAnswer),
            eval_id=self._eval(project, job_id, definition),
        )
        also = f" and validation file: {job.validation_file}" if job.validation_file else ""
        events = [
            self._event(f"Created fine-tuning job: {job.id}"),
            self._event(f"Validating training file: {job.training_file}{also}"),
        ]
        self._store.add(job, events, creation)
        self._bring_further(job)
        return fine_tuning.job_document(job)

    def get(self, project: str, job_id: str) -> JsonObject:
        """The job as it is now. Raises NotFoundError."""
        return fine_tuning.job_document(self.find(project, job_id))

    def find(self, project: str, job_id: str) -> FineTuningJob:
        """The job itself, for what reads more of it. Raises NotFoundError."""
        job = self._store.get(project, job_id)
        if job is None:
            raise NotFoundError(
                f"Could not find fine tune: {job_id}", param="fine_tune_id", code="fine_tune_not_found"
            )
        return job

    def list(self, project: str, page: PageRequest, metadata: JsonObject | None) -> Page[JsonObject]:
        """One page of jobs, newest first; `metadata` as in ports.FineTuningStore."""
        found = self.page(project, page, metadata)
        return Page(data=[fine_tuning.job_document(job) for job in found.data], has_more=found.has_more)

    def page(self, project: str, page: PageRequest, metadata: JsonObject | None = None) -> Page[FineTuningJob]:
        """One page of the jobs themselves, newest first."""
        return self._store.page(project, page, metadata)

    def cancel(self, project: str, job_id: str) -> JsonObject:
        """End the job now; its trainer is ended, too. A cancelled job stays as it is."""
        job = self.find(project, job_id)
        event = self._event("The job was cancelled", level="warn")
        if not self._store.cancel(job, event, now=self._clock.now()):
            job = self.find(project, job_id)
            if job.status != "cancelled":
                raise StateError(f"Job {job_id} has already {job.status} and cannot be cancelled any more.")
        elif job.trainer is None:  # else its rows go with its trainer
            self._trainers.remove_rest(job.id)
        return self.get(project, job_id)

    def pause(self, project: str, job_id: str) -> JsonObject:
        """Let the trainer save its next step and stop; the job is `paused` once that is done."""
        job = self.find(project, job_id)
        if job.status == "paused" or job.pausing:
            return fine_tuning.job_document(job)
        if job.status != "running":
            raise StateError(f"Job {job_id} is {job.status}; only a running job can be paused.")
        if not job.progress.get("step"):
            raise StateError(f"Job {job_id} has not completed its first step yet; it can be paused after that.")
        self._store.ask_to_pause(job, self._event("The job is being paused; the next step is saved first"))
        return self.get(project, job_id)

    def resume(self, project: str, job_id: str) -> JsonObject:
        """Let a paused job go on from what was saved; one that goes on already stays as it is."""
        job = self.find(project, job_id)
        if job.pausing:
            raise StateError(f"Job {job_id} is still being paused; it can be resumed once it is.")
        if not self._store.resume(job, self._event("The job was resumed")):
            job = self.find(project, job_id)
            if job.round == 1 or job.status not in ("queued", "running"):
                raise StateError(f"Job {job_id} is {job.status}; only a paused job can be resumed.")
        job = self.find(project, job_id)
        self._bring_further(job)
        return fine_tuning.job_document(job)

    def events(self, project: str, job_id: str, page: PageRequest) -> Page[JsonObject]:
        """One page of events, newest first."""
        found = self._store.events(self.find(project, job_id), page)
        return Page(data=[fine_tuning.event_document(event) for event in found.data], has_more=found.has_more)

    def checkpoints(self, project: str, job_id: str, page: PageRequest) -> Page[JsonObject]:
        """One page of checkpoints, the highest step first."""
        found = self._store.checkpoints(self.find(project, job_id), page)
        return Page(data=[fine_tuning.checkpoint_document(each) for each in found.data], has_more=found.has_more)

    def metrics(self, job: FineTuningJob) -> Sequence[JsonObject]:
        """The numbers of every step that was told, by step."""
        return self._store.metrics(job)

    def _eval(self, project: str, job_id: str, definition: TuningDefinition) -> str | None:
        """The eval whose runs are the validations of a reinforcement job."""
        if definition.kind != "reinforcement":
            return None
        grader = fine_tuning.block_of(definition.method)["grader"]
        now = self._clock.now()
        eval_ = Eval(
            id=self._ids.new("eval"),
            project=project,
            name=f"Validation of {job_id}",
            created_at=now,
            updated_at=now,
            data_source_config={"type": "custom", "schema": _ROW_SCHEMA},
            testing_criteria=[{**grader, "id": f"{grader['name']}-{self._ids.uuid4()}"}],
            metadata={"fine_tuning_job": job_id},
        )
        self._evals.add(eval_, None)
        return eval_.id

    def _bring_further(self, job: FineTuningJob) -> None:
        try:
            self._engine.start_job(job.id, job.round, training=job.status != "validating_files")
        except Exception:  # the job is stored: upkeep asks again within seconds
            logger.exception("Job %s is stored but could not be handed to the engine yet", job.id)

    def _event(self, message: str, *, level: EventLevel = "info") -> JobEvent:
        return JobEvent(id=self._ids.new("event"), created_at=self._clock.now(), level=level, message=message)


_ROW_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"item": {"type": "object"}, "sample": {"type": "object"}},
    "required": ["item", "sample"],
}
