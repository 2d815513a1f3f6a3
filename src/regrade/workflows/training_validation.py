"""Validations of a reinforcement job: what its trainer sampled becomes a run of the eval that the job has."""

from dataclasses import replace

from regrade.core.entities import FineTuningJob, PageRequest, Run
from regrade.core.ids import own_blob
from regrade.core.results import Tally
from regrade.core.training_job import Validation
from regrade.types.json import JsonObject
from regrade.workflows.training_story import Chapter, Story
from regrade.workflows.tuning_ports import TuningPorts

_RUNS_LOOKED_AT = 100


class Validations:
    """The validations of one job. `progress["validations"]` of the job holds those that wait: step -> run."""

    def __init__(self, ports: TuningPorts) -> None:
        self._runs = ports.runs
        self._blobs = ports.blobs
        self._engine = ports.engine
        self._trainers = ports.trainers
        self._ids = ports.ids
        self._clock = ports.clock

    def open(self, job: FineTuningJob) -> bool:
        """Whether there are some without a result."""
        return bool(job.progress.get("validations"))

    def start(self, chapter: Chapter) -> None:
        """Make a run of each validation that was told."""
        for validation in chapter.validations:
            step = str(validation.step)
            if step in chapter.job.progress.get("rewards", {}):
                continue  # told again by a trainer that had to go back: the same samples
            run = self._run_of(chapter.job, validation)
            waiting = {**chapter.job.progress.get("validations", {}), step: run.id}
            chapter.job = _noted(chapter.job, validations=waiting)
            self._engine.start_run(run.id)

    def take_results(self, chapter: Chapter, story: Story) -> None:
        """Tell the rewards of validations whose runs have ended, to the API and to the trainer."""
        waiting = dict(chapter.job.progress.get("validations", {}))
        rewards = dict(chapter.job.progress.get("rewards", {}))
        for step, run_id in list(waiting.items()):
            run = self._runs.find(run_id)
            if run is not None and run.status in ("queued", "in_progress"):
                continue
            del waiting[step]
            found = _measured(self._runs.tally(run)) if run is not None and run.status == "completed" else None
            if found is None:
                message = f"The validation of step {step} has no result: its run {run_id} did not complete"
                chapter.events.append(story.say(message, level="warn", key=f"no-validation-{step}"))
                continue
            rewards[step] = found["full_valid_mean_reward"]
            story.measured(chapter, int(step), found)
        if waiting != chapter.job.progress.get("validations", {}):
            chapter.job = _noted(chapter.job, validations=waiting, rewards=rewards)
            self._trainers.reward(chapter.job.id, {int(step): reward for step, reward in rewards.items()})

    def _run_of(self, job: FineTuningJob, validation: Validation) -> Run:
        """The run of a validation: the one that was made before a crash, or a new one."""
        name = f"step-{validation.step}"
        eval_id = job.eval_id or ""
        latest = PageRequest(limit=_RUNS_LOOKED_AT, order="desc")
        for run in self._runs.page(job.project, eval_id, latest, status=None).data:
            if run.name == name:
                return run
        run_id = self._ids.new("run")
        self._keep(own_blob(run_id), self._trainers.rows(job.id, validation.rows))
        return self._runs.add(
            Run(
                id=run_id,
                eval_id=eval_id,
                project=job.project,
                name=name,
                status="queued",
                model=None,
                created_at=self._clock.now(),
                data_source={"type": "jsonl", "source": {"type": "file_content"}},
                source_blob=own_blob(run_id),
                inline=True,
                metadata={"fine_tuning_job": job.id, "step": str(validation.step)},
            ),
            None,
        )

    def _keep(self, key: str, rows: bytes) -> None:
        writer = self._blobs.writer(key)
        try:
            writer.write(rows.rstrip(b"\n"))  # answers join the lines by commas
            writer.commit()
        finally:
            writer.abort()


def _measured(tally: Tally) -> JsonObject:
    """What a validation's grades say; a sample that could not be graded has the reward 0."""
    [criterion] = tally.criteria.values()
    rows = criterion.graded + criterion.errored
    reward = criterion.total_score / rows if rows else 0.0
    return {
        "full_valid_mean_reward": reward,
        "valid_reward_mean": reward,
        "scores": {"valid_reward_mean": reward},
    }


def _noted(job: FineTuningJob, **values: JsonObject) -> FineTuningJob:
    return replace(job, progress={**job.progress, **values})
