"""Fine-tuning: what is kept of jobs and of the models that they make, and the processes that train."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from regrade.core.entities import (
    CheckpointPermission,
    Creation,
    File,
    FineTunedModel,
    FineTuningJob,
    JobCheckpoint,
    JobEvent,
    Page,
    PageRequest,
)
from regrade.core.local_models import Weights
from regrade.core.training_data import Base
from regrade.core.training_job import Event, Spec
from regrade.types.json import JsonObject


class FineTuningStore(Protocol):
    """Fine-tuning jobs with their events and checkpoints."""

    def add(self, job: FineTuningJob, events: Sequence[JobEvent], creation: Creation | None) -> None: ...

    def get(self, project: str, job_id: str) -> FineTuningJob | None: ...

    def find(self, job_id: str) -> FineTuningJob | None:
        """For workflows and trainers, which know no project."""
        ...

    def page(self, project: str, page: PageRequest, metadata: JsonObject | None) -> Page[FineTuningJob]:
        """Newest first. `metadata` are pairs that must be there; `{}` takes jobs without any, None takes all.

        Raises InvalidError (param `after`) where the cursor was never a job of this project.
        """
        ...

    def unfinished(self) -> list[FineTuningJob]:
        """Every job that a workflow is to bring further, oldest first; paused ones wait for somebody."""
        ...

    def claim(self, job_id: str) -> FineTuningJob | None:
        """Become the only one who may `save` the job; None where there is nothing to bring further."""
        ...

    def save(
        self,
        job: FineTuningJob,
        *,
        events: Sequence[JobEvent] = (),
        checkpoints: Sequence[JobCheckpoint] = (),
        measured: Mapping[int, JsonObject] | None = None,
        removed: Sequence[int] = (),
        models: Sequence[FineTunedModel] = (),
        file: File | None = None,
        now: int,
    ) -> bool:
        """Commit how far the job is, together with all that came of it.

        `measured` are newer metrics of checkpoints by step, `removed` steps whose checkpoints are gone. False, and
        nothing written, where the claim is lost.
        """
        ...

    def ask_to_pause(self, job: FineTuningJob, event: JobEvent) -> bool:
        """Tell whoever trains the job to save and stop; False where it is not running."""
        ...

    def resume(self, job: FineTuningJob, event: JobEvent) -> bool:
        """Queue a paused job again; False where it is not paused."""
        ...

    def cancel(self, job: FineTuningJob, event: JobEvent, *, now: int) -> bool:
        """End the job, so that nobody can `save` it any more; False where it has ended already."""
        ...

    def events(self, job: FineTuningJob, page: PageRequest) -> Page[JobEvent]:
        """Newest first. Raises InvalidError (param `after`) where the cursor is no event of the job."""
        ...

    def metrics(self, job: FineTuningJob) -> list[JsonObject]:
        """The data of all metrics events, by step."""
        ...

    def checkpoints(self, job: FineTuningJob, page: PageRequest) -> Page[JobCheckpoint]:
        """The highest step first. Raises InvalidError (param `after`) where the cursor is none of the job."""
        ...

    def with_strays(self) -> list[FineTuningJob]:
        """Jobs that have ended while their trainer perhaps has not."""
        ...

    def forget_trainer(self, job: FineTuningJob) -> None:
        """Note that the trainer of an ended job is gone."""
        ...


class FineTunedModelStore(Protocol):
    """Models that jobs made, and which other projects may use them."""

    def get(self, name: str) -> FineTunedModel | None:
        """The model, whosever it is; None where it was deleted."""
        ...

    def all(self) -> list[FineTunedModel]:
        """Those of every project."""
        ...

    def version(self) -> int:
        """Another number after every change of `all`."""
        ...

    def of_job(self, job_id: str) -> list[FineTunedModel]:
        """All that is left of what a job made."""
        ...

    def visible(self, project: str) -> list[FineTunedModel]:
        """Those of the project and those that are permitted to it, in the order of creation."""
        ...

    def may_use(self, project: str, model: FineTunedModel) -> bool: ...

    def delete(self, name: str, *, now: int) -> bool:
        """Let the model vanish; False where there is none. Its folder goes with `unswept`."""
        ...

    def unswept(self, *, limit: int) -> list[FineTunedModel]:
        """Deleted models whose folders are still there, without what adapters and unfinished jobs go on from."""
        ...

    def swept(self, name: str, *, now: int) -> None:
        """Note that the folder is gone."""
        ...

    def permit(self, permissions: Sequence[CheckpointPermission]) -> list[CheckpointPermission]:
        """Store those that are not there yet; for each given one, the one that counts now."""
        ...

    def permissions(
        self, model: str, page: PageRequest, *, project_id: str | None
    ) -> Page[CheckpointPermission]: ...

    def forbid(self, model: str, permission_id: str, *, now: int) -> bool:
        """Take a permission back; False where there is none."""
        ...


class Trainers(Protocol):
    """Processes that train, each job's in a folder of its own that outlives them and us."""

    @property
    def missing(self) -> str | None:
        """Why nothing can be trained here, as a sentence; None where it can."""
        ...

    @property
    def machine(self) -> str:
        """What this machine is called."""
        ...

    def has_rows(self, job_id: str) -> bool:
        """Whether the rows of an unfinished job lie here, as they do once its files were read here."""
        ...

    @property
    def command(self) -> str | None:
        """The operator's own command that starts trainers; None where it is ours."""
        ...

    def describe(self, weights: Weights) -> Base:
        """What a base model can learn from. Raises OSError where there is none."""
        ...

    def size(self, weights: Weights) -> int | None:
        """Bytes of a model's weights; None where they are not on this machine."""
        ...

    def weights(self, model: FineTunedModel) -> Weights:
        """Where a model that was trained here lies."""
        ...

    def write_rows(self, job_id: str, rows: Iterator[JsonObject], *, validation: bool) -> None:
        """Lay a file's rows where trainers find them: all of them or, where `rows` raises, none."""
        ...

    def prepare(self, spec: Spec) -> None:
        """Say what is to be done."""
        ...

    def prepared(self, job_id: str) -> Spec:
        """What was last said."""
        ...

    def start(self, job_id: str, slot: int) -> None:
        """Start a trainer, unless there is one. Raises ConfigurationError where it cannot be started."""
        ...

    def running(self, job_id: str) -> bool: ...

    def told(self, job_id: str, offset: int) -> tuple[list[Event], int]:
        """What trainers have told beyond `offset`, and the offset to go on from."""
        ...

    def rows(self, job_id: str, name: str) -> bytes:
        """A file of the job's folder that an event names."""
        ...

    def is_adapter(self, folder: str) -> bool:
        """Whether a folder below that of all jobs holds an adapter alone."""
        ...

    def reward(self, job_id: str, rewards: Mapping[int, float]) -> None:
        """Let trainers know the rewards of validations by step, from which they know the best checkpoints."""
        ...

    def ask_to_save(self, job_id: str) -> None:
        """Let the trainer save at the end of its step and leave."""
        ...

    def terminate(self, job_id: str) -> None:
        """Tell the trainer and its children to leave; harmless where there is none.

        On another machine, which shares the folder, it is asked to save.
        """
        ...

    def kill(self, job_id: str) -> None:
        """End the trainer and its children at once; harmless where there is none."""
        ...

    def last_words(self, job_id: str) -> str:
        """The end of what trainers printed."""
        ...

    def remove(self, folder: str) -> None:
        """Delete a folder below that of all jobs; harmless where there is none."""
        ...

    def remove_rest(self, job_id: str) -> None:
        """Delete what an ended job needs no more, and keep its models."""
        ...
