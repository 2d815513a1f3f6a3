"""A fine-tuning job: its files are read, a trainer works in the job's folder, and what it tells is kept.

Everything here may be killed at any point and be run again. The trainer is a process of its own that goes on
meanwhile; whoever takes the job up reads on from where its story was last committed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace

from regrade.core.entities import FineTunedModel, FineTuningJob, JobEvent, JobStatus
from regrade.core.errors import NoRoomError, RegradeError
from regrade.core.fine_tuning import ENDED, block_of, model_name, resolved
from regrade.core.hyperparameters import resolve
from regrade.core.local_models import BaseModel, Weights
from regrade.core.training_job import Done, Failed, Grading, Paused, Spec
from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.fine_tuning import FineTunedModelStore, FineTuningStore, Trainers
from regrade.ports.models import ModelPort
from regrade.ports.store import RunStore
from regrade.ports.system import Clock, Ids
from regrade.workflows.training_files import InvalidFilesError, NotWantedError, TrainingFiles
from regrade.workflows.training_result import result_file
from regrade.workflows.training_spec import spec_of
from regrade.workflows.training_story import Chapter, Story, last_word
from regrade.workflows.training_validation import Validations

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.5
_FULL_PAUSE_SECONDS = 10.0
_DEATHS = 3
"""Trainers in a row that may die before the next checkpoint is saved."""
_WORDS_SHOWN = 1_000
MODEL = "model"
"""The folder of the tuned model in the job's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPorts:
    """What the workflows of fine-tuning need of the outside."""

    jobs: FineTuningStore
    tuned: FineTunedModelStore
    trainers: Trainers
    runs: RunStore
    blobs: Blobs
    engine: Engine
    models: ModelPort
    ids: Ids
    clock: Clock


class FineTuningJobs:
    """The workflows of fine-tuning jobs."""

    def __init__(
        self,
        ports: TuningPorts,
        *,
        slots: int,
        grace_seconds: int,
        grading_url: Callable[[str], str],
        new_token: Callable[[], tuple[str, str]],
    ) -> None:
        """`grading_url` is where a job's samples are graded, `new_token` a token and the hash to know it by."""
        self._ports = ports
        self._slots = slots
        self._grace_seconds = grace_seconds
        self._grading_url = grading_url
        self._new_token = new_token
        self._told_address: dict[str, str] = {}

    async def read_files(self, job_id: str) -> None:
        """Read the files of a new job and queue it."""
        await self._persistently(job_id, self._read_files)

    async def train(self, job_id: str, round_: int) -> None:
        """Train a queued job to its end, or until it is paused."""

        async def work(job: FineTuningJob) -> None:
            if job.round == round_:
                await self._train(job)

        await self._persistently(job_id, work)

    # -- the files -------------------------------------------------------------------------------------------

    async def _read_files(self, job: FineTuningJob) -> None:
        if job.status == "validating_files":
            job = await asyncio.to_thread(self._check_files, job)
        self._ports.engine.start_job(job.id, job.round, training=True)

    def _check_files(self, job: FineTuningJob) -> FineTuningJob:
        weights = self._weights(job)
        try:
            base = self._ports.trainers.describe(weights)
        except OSError as error:
            raise RegradeError(
                f"The base model '{job.base}' cannot be read at {weights.path}.", code="invalid_base_model"
            ) from error
        rows = TrainingFiles(self._ports.blobs, self._ports.trainers).read(job, base, lambda: self._wanted(job))
        numbers = resolve(job.method["type"], block_of(job.method)["hyperparameters"], rows)
        progress = {"total_steps": numbers.total_steps, "n_epochs": numbers.n_epochs, "rows": rows}
        job = replace(
            job,
            status="queued",
            method=resolved(job.method, {**asdict(numbers), "reasoning_effort": "default"}),
            progress={**progress, "eval_interval": numbers.eval_interval},
        )
        said = self._story(job).say("Files validated, moving job to queued state")
        if not self._ports.jobs.save(job, events=[said], now=self._ports.clock.now()):
            raise NotWantedError("The job has ended.")
        return job

    def _wanted(self, job: FineTuningJob) -> bool:
        now = self._ports.jobs.find(job.id)
        return now is not None and now.epoch == job.epoch

    # -- the training ----------------------------------------------------------------------------------------

    async def _train(self, job: FineTuningJob) -> None:
        story = await asyncio.to_thread(self._story, job)
        ports = self._ports
        validations = Validations(
            runs=ports.runs,
            blobs=ports.blobs,
            engine=ports.engine,
            trainers=ports.trainers,
            ids=ports.ids,
            clock=ports.clock,
        )
        job = await asyncio.to_thread(self._set_to_work, job, story)
        while True:
            alive = self._ports.trainers.running(job.id)  # asked first: what it told before it ended is read below
            chapter = await asyncio.to_thread(self._advance, job, story, validations)
            if chapter is None:
                await self._end_trainer(job)
                return
            job = chapter.job
            if not alive:
                outcome = await asyncio.to_thread(self._after, job, story, validations)
                if outcome is None:
                    return
                job = outcome
            await asyncio.sleep(_LOOK_SECONDS)

    def _set_to_work(self, job: FineTuningJob, story: Story) -> FineTuningJob:
        """A trainer works on the job after this: one that does already, or a new one."""
        if job.status == "running" and self._ports.trainers.running(job.id):
            return job
        slot = self._free_slot(job)
        spec, hashed = self._spec(job)
        self._ports.trainers.prepare(spec)
        first = job.started_at is None
        job = replace(
            job,
            status="running",
            started_at=job.started_at or self._ports.clock.now(),
            token_hash=hashed,
            trainer={"slot": slot},
            progress={**job.progress, "heard": False, "saved_before": job.progress.get("saved")},
        )
        said = story.say("Fine-tuning job started") if first else story.say("Fine-tuning job goes on")
        if self._ports.jobs.save(job, events=[said], now=self._ports.clock.now()):
            self._ports.trainers.start(job.id, slot)
        return job

    def _advance(self, job: FineTuningJob, story: Story, validations: Validations) -> Chapter | None:
        """Commit what was told since the last look, and tell the trainer what it is to know; None if not ours."""
        now = self._ports.jobs.find(job.id)
        if now is None or now.epoch != job.epoch:
            return None
        events, offset = self._ports.trainers.told(job.id, job.progress.get("offset", 0))
        chapter = story.read(job, events, offset)
        validations.start(chapter)
        validations.take_results(chapter, story)
        if chapter.job != job or chapter.events:
            chapter.job = replace(chapter.job, pausing=now.pausing)
            if not self._save(chapter):
                return None
        elif now.pausing != job.pausing:
            chapter.job = replace(job, pausing=now.pausing)
        if now.pausing:
            self._ports.trainers.ask_to_save(job.id)
        self._renew_address(job)
        return chapter

    def _renew_address(self, job: FineTuningJob) -> None:
        """Tell the trainer where rewards come from now, in case the server was started again elsewhere."""
        if job.eval_id is None or self._grading_url(job.id) == self._told_address.get(job.id):
            return
        spec = self._ports.trainers.prepared(job.id)
        self._told_address[job.id] = url = self._grading_url(job.id)
        if spec.grading is not None and spec.grading.url != url:
            self._ports.trainers.prepare(replace(spec, grading=replace(spec.grading, url=url)))

    def _save(self, chapter: Chapter) -> bool:
        models = [self._with_adapter(chapter.job, model) for model in chapter.models.values()]
        for model in models:
            if model.adapter_of is not None and self._ports.trainers.prepared(chapter.job.id).base_adapter:
                # An adapter on top of another one: the trainer goes on from it, but nothing serves it.
                chapter.checkpoints.pop(model.step or 0, None)
        models = [model for model in models if model.step is None or model.step in chapter.checkpoints]
        return self._ports.jobs.save(
            chapter.job,
            events=chapter.events,
            checkpoints=list(chapter.checkpoints.values()),
            measured=chapter.measured,
            removed=chapter.removed,
            models=models,
            now=self._ports.clock.now(),
        )

    def _with_adapter(self, job: FineTuningJob, model: FineTunedModel) -> FineTunedModel:
        if not self._ports.trainers.is_adapter(model.folder):
            return model
        return replace(model, adapter_of=self._ports.trainers.prepared(job.id).base_path)

    def _after(self, job: FineTuningJob, story: Story, validations: Validations) -> FineTuningJob | None:
        """What follows from the end of a trainer: the job as it goes on, or None where it does not."""
        match last_word(job):
            case Done() as done:
                if validations.open(job):
                    return job  # looked at again until the last one has its result
                self._succeed(job, story, done)
            case Failed() as failed:
                self._fail(job, story, failed.code, failed.message)
            case Paused() if job.pausing:
                job = replace(job, status="paused", pausing=False, estimated_finish=None, trainer=None)
                self._ports.jobs.save(job, events=[story.say("The job was paused")], now=self._ports.clock.now())
            case Paused():
                return self._set_to_work(
                    job, story
                )  # somebody else asked it to leave, as a machine does that stops
            case _:
                return self._revive(job, story)
        return None

    def _revive(self, job: FineTuningJob, story: Story) -> FineTuningJob | None:
        """Another trainer for one that died without a word, unless that leads nowhere."""
        progress = job.progress
        words = self._ports.trainers.last_words(job.id)
        said = f" The end of its output: {words[-_WORDS_SHOWN:]}" if words else ""
        if not progress.get("heard"):
            self._fail(job, story, "server_error", f"The trainer ended before it could begin.{said}")
            return None
        deaths = 1 if progress.get("saved") != progress.get("saved_before") else progress.get("deaths", 0) + 1
        if deaths >= _DEATHS:
            reason = f"The trainer was ended {deaths} times without a word, as happens where memory is not enough."
            self._fail(job, story, "server_error", f"{reason}{said}")
            return None
        again = story.say("The trainer ended without a word; another one goes on from what was saved", level="warn")
        job = replace(job, progress={**progress, "deaths": deaths})
        if not self._ports.jobs.save(job, events=[again], now=self._ports.clock.now()):
            return None
        return self._set_to_work(job, story)

    # -- the end ---------------------------------------------------------------------------------------------

    def _succeed(self, job: FineTuningJob, story: Story, done: Done) -> None:
        now = self._ports.clock.now()
        name = model_name(job)
        model = FineTunedModel(
            name=name,
            project=job.project,
            job_id=job.id,
            step=None,
            base=job.base,
            folder=f"{job.id}/{MODEL}",
            created_at=now,
        )
        file = result_file(job, self._ports.jobs.metrics(job), self._ports.blobs, self._ports.ids, now=now)
        ended = replace(
            _ended(job, "succeeded", now),
            fine_tuned_model=name,
            trained_tokens=done.trained_tokens,
            result_file=file.id,
        )
        events = [
            story.say(f"New fine-tuned model created: {name}"),
            story.say("The job has successfully completed"),
        ]
        model = self._with_adapter(job, model)
        if self._ports.jobs.save(ended, events=events, models=[model], file=file, now=now):
            self._ports.trainers.remove_rest(job.id)

    def _fail(self, job: FineTuningJob, story: Story, code: str, message: str, param: str | None = None) -> None:
        now = self._ports.clock.now()
        param = param or (code.removeprefix("invalid_") if code.endswith("_file") else None)
        failed = replace(_ended(job, "failed", now), error={"code": code, "message": message, "param": param})
        if self._ports.jobs.save(failed, events=[story.say(message, level="error")], now=now):
            self._ports.trainers.remove_rest(job.id)

    async def _end_trainer(self, job: FineTuningJob) -> None:
        """End the trainer of a job that has ended without it; it may save, for as long as the grace is."""
        now = self._ports.jobs.find(job.id)
        if now is not None and now.status in ENDED:
            await end_trainer(self._ports.jobs, self._ports.trainers, now, grace_seconds=self._grace_seconds)

    # -- what a trainer is told ------------------------------------------------------------------------------

    def _story(self, job: FineTuningJob) -> Story:
        base = self._base(job)
        price = base.training.get("price") if base else None
        return Story(self._ports.ids, self._ports.clock, self._ports.jobs.metrics(job), price)

    def _base(self, job: FineTuningJob) -> BaseModel | None:
        return next((base for base in self._ports.models.base_models() if base.name == job.base), None)

    def _weights(self, job: FineTuningJob) -> Weights:
        """What the job goes on from: the operator's base model, or what an earlier job made of it."""
        tuned = self._ports.tuned.get(self._ports.models.target(job.model))
        if tuned is not None:
            return self._ports.trainers.weights(tuned)
        base = self._base(job)
        if base is None:
            raise RegradeError(
                f"The model '{job.model}' is no base model of this server any more.", code="invalid_base_model"
            )
        return base.weights

    def _spec(self, job: FineTuningJob) -> tuple[Spec, str | None]:
        """What a trainer is to do, and the hash of the token that it gets for rewards."""
        grading, hashed = None, None
        if job.eval_id is not None:
            token, hashed = self._new_token()
            grading = Grading(url=self._grading_url(job.id), token=token)
        weights = self._weights(job)
        size = self._ports.trainers.size(weights)
        return spec_of(job, self._base(job), weights, size=size, grading=grading), hashed

    def _free_slot(self, job: FineTuningJob) -> int:
        """The first slot that no other job's trainer has."""
        others = [each.trainer for each in self._ports.jobs.unfinished() if each.id != job.id]
        taken = {trainer["slot"] for trainer in others if trainer}
        return next((slot for slot in range(self._slots) if slot not in taken), 0)

    # -- trouble ---------------------------------------------------------------------------------------------

    async def _persistently(self, job_id: str, work: Callable[[FineTuningJob], Awaitable[None]]) -> None:
        """Do `work`, again after a pause where the machine got in the way; end the job as failed at last."""
        attempt = 0
        while attempt < _ATTEMPTS:
            job = None
            try:
                job = await asyncio.to_thread(self._ports.jobs.claim, job_id)
                if job is not None:
                    await work(job)
                return
            except NotWantedError:
                return
            except NoRoomError as error:
                logger.error("Job %s waits for room: %s", job_id, error.message)  # noqa: TRY400 - it says all
                await asyncio.sleep(_FULL_PAUSE_SECONDS)
            except RegradeError as error:
                logger.warning("Job %s failed: %s", job_id, error.message)
                await asyncio.to_thread(self._give_up, job_id, error)
                return
            except Exception:  # a disk or database that fails for a while; the traceback is logged
                attempt += 1
                logger.exception("Job %s met an error, attempt %d of %d", job_id, attempt, _ATTEMPTS)
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        reason = RegradeError("The server could not go on with this job; its log says why.", code="server_error")
        await asyncio.to_thread(self._give_up, job_id, reason)

    def _give_up(self, job_id: str, error: RegradeError) -> None:
        job = self._ports.jobs.claim(job_id)
        if job is None:
            return
        story = self._story(job)
        problems = error.problems if isinstance(error, InvalidFilesError) else []
        events: list[JobEvent] = [story.say(problem, level="error") for problem in problems]
        if events:
            self._ports.jobs.save(job, events=events, now=self._ports.clock.now())
        self._ports.trainers.kill(job_id)
        self._fail(job, story, error.code or "server_error", error.message, error.param)


async def end_trainer(
    jobs: FineTuningStore, trainers: Trainers, job: FineTuningJob, *, grace_seconds: float
) -> None:
    """Let the trainer of an ended job leave, then make it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_seconds
    trainers.terminate(job.id)
    while trainers.running(job.id):
        if loop.time() >= deadline:
            trainers.kill(job.id)
        await asyncio.sleep(_LOOK_SECONDS)
    await asyncio.to_thread(trainers.remove_rest, job.id)
    await asyncio.to_thread(jobs.forget_trainer, job)


def end_strays(jobs: FineTuningStore, trainers: Trainers) -> None:
    """End trainers whose jobs were ended while no workflow looked."""
    for job in jobs.with_strays():
        trainers.kill(job.id)
        if not trainers.running(job.id):
            trainers.remove_rest(job.id)
            jobs.forget_trainer(job)


def _ended(job: FineTuningJob, status: JobStatus, now: int) -> FineTuningJob:
    return replace(
        job, status=status, finished_at=now, estimated_finish=None, trainer=None, token_hash=None, pausing=False
    )
