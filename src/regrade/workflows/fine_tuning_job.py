"""A fine-tuning job: its files are read, a trainer works in the job's folder, and what it tells is kept.

Everything here may be killed at any point and be run again. The trainer is a process of its own that goes on
meanwhile; whoever takes the job up reads on from where its story was last committed.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

from regrade.core.entities import FineTunedModel, FineTuningJob, JobEvent, JobStatus, PageRequest
from regrade.core.errors import RegradeError, UnavailableError
from regrade.core.fine_tuning import ENDED, block_of, model_name, resolved
from regrade.core.hyperparameters import resolve
from regrade.core.training_job import Done, Failed, Paused
from regrade.ports.fine_tuning import FineTuningStore, Trainers
from regrade.workflows.training_files import InvalidFilesError, NotWantedError, TrainingFiles
from regrade.workflows.training_result import result_file
from regrade.workflows.training_spec import Briefing
from regrade.workflows.training_story import Chapter, Story, last_word
from regrade.workflows.training_validation import Validations
from regrade.workflows.tuning_ports import TuningPorts

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.5
_FULL_PAUSE_SECONDS = 10.0
_DEATHS = 3
"""Trainers in a row that may die before the next checkpoint is saved."""
_UNHEARD_DEATHS = 2
_WORDS_SHOWN = 1_000
_CHECKPOINTS_LOOKED_AT = 100
_BEST = 3
MODEL = "model"
"""The folder of the tuned model in the job's."""


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
        self._grace_seconds = grace_seconds
        self._taking_slot = threading.Lock()
        self._briefing = Briefing(ports, slots=slots, grading_url=grading_url, new_token=new_token)

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

    def _rows(self, job: FineTuningJob) -> int:
        """Read the files into the job's folder; how many rows are to be learned from."""
        weights = self._briefing.weights(job)
        try:
            base = self._ports.trainers.describe(weights)
        except OSError as error:
            raise RegradeError(
                f"The base model '{job.base}' cannot be read at {weights.path}.", code="invalid_base_model"
            ) from error
        files = TrainingFiles(self._ports.blobs, self._ports.trainers, self._ports.images)
        return files.read(job, base, lambda: self._wanted(job))

    def _check_files(self, job: FineTuningJob) -> FineTuningJob:
        rows = self._rows(job)
        numbers = resolve(job.method["type"], block_of(job.method)["hyperparameters"], rows)
        progress = {"total_steps": numbers.total_steps, "n_epochs": numbers.n_epochs, "rows": rows}
        job = replace(
            job,
            status="queued",
            method=resolved(job.method, {**asdict(numbers), "reasoning_effort": "default"}),
            progress={**progress, "eval_interval": numbers.eval_interval},
        )
        said = self._briefing.story(job).say("Files validated, moving job to queued state")
        if not self._ports.jobs.save(job, events=[said], now=self._ports.clock.now()):
            raise NotWantedError("The job has ended.")
        return job

    def _wanted(self, job: FineTuningJob) -> bool:
        now = self._ports.jobs.find(job.id)
        return now is not None and now.epoch == job.epoch

    # -- the training ----------------------------------------------------------------------------------------

    async def _train(self, job: FineTuningJob) -> None:
        story = await asyncio.to_thread(self._briefing.story, job)
        validations = Validations(self._ports)
        if not self._ports.trainers.has_rows(job.id):
            job = await asyncio.to_thread(self._start_over, job, story)
        if job.status == "queued":
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

    def _start_over(self, job: FineTuningJob, story: Story) -> FineTuningJob:
        """Read the files again where the folder is not the one of before: a machine with its disk may be gone."""
        self._rows(job)
        if job.started_at is None:
            return job
        saved = self._ports.jobs.checkpoints(job, PageRequest(limit=_CHECKPOINTS_LOOKED_AT)).data
        kept = {name: job.progress[name] for name in ("total_steps", "n_epochs", "rows", "eval_interval")}
        job = replace(job, status="queued", trainer=None, pausing=False, progress=kept)
        told = story.say("What the job has saved is not on this machine; it starts over", level="warn")
        removed = [checkpoint.step for checkpoint in saved]
        self._ports.jobs.save(job, events=[told], removed=removed, now=self._ports.clock.now())
        return job

    def _set_to_work(self, job: FineTuningJob, story: Story) -> FineTuningJob:
        """A new trainer works on the job after this."""
        spec, hashed = self._briefing.spec(job)
        self._ports.trainers.prepare(spec)
        first = job.started_at is None
        progress = {**job.progress, "heard": False, "last_word": None, "saved_before": job.progress.get("saved")}
        job = replace(
            job,
            status="running",
            started_at=job.started_at or self._ports.clock.now(),
            token_hash=hashed,
            progress=progress,
        )
        said = story.say("Fine-tuning job started") if first else story.say("Fine-tuning job goes on")
        with self._taking_slot:  # of two jobs that begin at once the second must see which one the first has
            slot = self._briefing.free_slot(job)
            job = replace(job, trainer={"slot": slot, "machine": self._ports.trainers.machine})
            mine = self._ports.jobs.save(job, events=[said], now=self._ports.clock.now())
        if mine:
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
        self._briefing.renew_address(job)
        return chapter

    def _save(self, chapter: Chapter) -> bool:
        models = [self._with_adapter(chapter.job, model) for model in chapter.models.values()]
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
                # Somebody else asked it to leave, as a machine does that stops.
                return self._set_to_work(job, story)
            case _:
                return self._revive(job, story)
        return None

    def _revive(self, job: FineTuningJob, story: Story) -> FineTuningJob | None:
        """Another trainer for one that died without a word, unless that leads nowhere."""
        progress = job.progress
        words = self._ports.trainers.last_words(job.id)
        said = f" The end of its output: {words[-_WORDS_SHOWN:]}" if words else ""
        saved = progress.get("saved") != progress.get("saved_before")
        deaths = 1 if saved else progress.get("deaths", 0) + 1
        # One that never began may just not have been started before a worker was killed; two have a reason.
        if deaths >= (_DEATHS if progress.get("heard") else _UNHEARD_DEATHS):
            reason = (
                f"The trainer was ended {deaths} times without a word, as happens where memory is not enough."
                if progress.get("heard")
                else f"The trainer{_by(self._ports.trainers.command)} ended before it could begin."
            )
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
        removed = self._not_best(job)
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
        if self._ports.jobs.save(ended, events=events, removed=removed, models=[model], file=file, now=now):
            self._ports.trainers.remove_rest(job.id)

    def _not_best(self, job: FineTuningJob) -> list[int]:
        """Checkpoints of a reinforcement job that its trainer kept until all were graded; their files go now."""
        if job.eval_id is None:
            return []
        rewards = job.progress.get("rewards", {})
        saved = [model for model in self._ports.tuned.of_job(job.id) if model.step is not None]
        best = sorted(saved, key=lambda model: (rewards.get(str(model.step), -math.inf), model.step))[-_BEST:]
        others = [model for model in saved if model not in best]
        for model in others:
            self._ports.trainers.remove(model.folder)
        return [model.step for model in others if model.step is not None]

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
            except UnavailableError as error:  # a full disk, a database that does not answer
                logger.error("Job %s has to wait: %s", job_id, error.message)  # noqa: TRY400 - it says all
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
        story = self._briefing.story(job)
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


def _by(command: str | None) -> str:
    return f" that is started by `{command}`" if command else ""


def _ended(job: FineTuningJob, status: JobStatus, now: int) -> FineTuningJob:
    return replace(
        job, status=status, finished_at=now, estimated_finish=None, trainer=None, token_hash=None, pausing=False
    )
