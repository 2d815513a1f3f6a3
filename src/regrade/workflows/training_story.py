"""What a trainer tells, as a job's events, checkpoints and models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from regrade.core.entities import EventLevel, FineTunedModel, FineTuningJob, JobCheckpoint, JobEvent
from regrade.core.fine_tuning import checkpoint_name, step_message
from regrade.core.training_job import (
    CheckpointRemoved,
    CheckpointSaved,
    Done,
    Event,
    Failed,
    Message,
    Metrics,
    Paused,
    Started,
    Validation,
)
from regrade.core.training_job import event as event_of
from regrade.ports.system import Clock, Ids
from regrade.types.json import JsonObject, JsonValue

MAX_STEPS_TOLD = 1_000
_CHECKPOINT_METRICS = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
    "train_mean_reward",
    "full_valid_mean_reward",
)


@dataclass(slots=True)
class Chapter:
    """What came of some events: to be committed together."""

    job: FineTuningJob
    events: list[JobEvent] = field(default_factory=list)
    checkpoints: dict[int, JobCheckpoint] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    models: dict[str, FineTunedModel] = field(default_factory=dict)
    measured: dict[int, JsonObject] = field(default_factory=dict)
    """What is known now of checkpoints that were told before, by step."""
    validations: list[Validation] = field(default_factory=list)
    """Of which the server is to grade the rows."""


def last_word(job: FineTuningJob) -> Event | None:
    """With which words the last trainer left; None where it works, or died."""
    word = job.progress.get("last_word")
    return event_of(word) if word is not None else None


class Story:
    """Turns events of one job's trainers into what the API tells of it. Told twice is told once."""

    def __init__(self, ids: Ids, clock: Clock, known: Iterable[JsonObject], price: float | None) -> None:
        """`known` are the metrics that were told by now; `price` is of a million trained tokens."""
        self._ids = ids
        self._clock = clock
        self._price = price
        self._steps: dict[int, JsonObject] = {data["step"]: data for data in known}

    def read(self, job: FineTuningJob, events: Sequence[Event], offset: int) -> Chapter:
        """What these events, which end at `offset`, say."""
        chapter = Chapter(replace(job, progress={**job.progress, "offset": offset}))
        for event in events:
            self._read_one(chapter, event)
        return chapter

    def measured(self, chapter: Chapter, step: int, found: JsonObject) -> None:
        """Tell what a validation says whose rows were graded, of its step and of the step's checkpoint."""
        self._tell_step(chapter, step, found, always=True)
        chapter.measured[step] = self.metrics_of(step)

    def metrics_of(self, step: int) -> JsonObject:
        """What a checkpoint of this step shows."""
        data = self._steps.get(step, {})
        return {"step": step, **{name: data[name] for name in _CHECKPOINT_METRICS if data.get(name) is not None}}

    def say(self, message: str, *, level: EventLevel = "info", key: str | None = None) -> JobEvent:
        """A line of the server's own; with `key`, said once however often."""
        now = self._clock.now()
        return JobEvent(id=self._ids.new("event"), created_at=now, level=level, message=message, key=key)

    def _read_one(self, chapter: Chapter, event: Event) -> None:
        match event:
            case Started():
                self._started(chapter, event)
            case Metrics():
                self._progress(chapter, step=event.step, total_steps=event.total_steps, at=event.at)
                self._estimate(chapter)
                chapter.job = replace(chapter.job, trained_tokens=event.trained_tokens)
                self._tell_step(chapter, event.step, event.metrics)
            case Validation():
                self._tell_step(chapter, event.step, event.metrics, always=True)
                chapter.validations.append(event)
            case CheckpointSaved():
                self._progress(chapter, saved=event.step)
                if event.asked_for:
                    self._checkpoint(chapter, event)
            case CheckpointRemoved():
                chapter.removed.append(event.step)
                chapter.checkpoints.pop(event.step, None)
                chapter.models.pop(checkpoint_name(chapter.job, event.step), None)
            case Message():
                chapter.events.append(self.say(event.message, level=event.level))
            case Failed() if isinstance(last_word(chapter.job), Failed):
                pass  # of the processes of a trainer the first to fail has the reason; to the others it was lost
            case Paused() | Done() | Failed():
                self._progress(chapter, last_word=event.to_json())
            case _:
                pass  # a newer trainer tells more than is known here

    def _started(self, chapter: Chapter, event: Started) -> None:
        self._progress(
            chapter,
            last_word=None,
            step=event.from_step,
            total_steps=event.total_steps,
            from_step=event.from_step,
            from_at=event.at,
            heard=True,
        )
        epochs = chapter.job.progress.get("n_epochs", 1)
        said = (
            f"Training on {event.train_rows:,} examples with {event.tokens:,} tokens for {epochs} epochs: "
            f"{event.tokens * epochs:,} tokens in {event.total_steps:,} steps"
        )
        if self._price is not None:
            said += f", an estimated cost of {self._price * event.tokens * epochs / 1e6:.2f}"
        if event.rows_cut:
            said += f". {event.rows_cut:,} examples are too long and are cut at their ends"
        told = self.say(said, key="estimate")
        facts = {"parameters": event.parameters, "trained_parameters": event.trained_parameters}
        rate = {"learning_rate": event.learning_rate, "tokens": event.tokens}
        chapter.events.append(replace(told, data={**facts, **rate}))

    def _progress(self, chapter: Chapter, **values: JsonValue) -> None:
        chapter.job = replace(chapter.job, progress={**chapter.job.progress, **values})

    def _estimate(self, chapter: Chapter) -> None:
        """When the last step will have been done, if the steps to come take as long as those since the start."""
        progress = chapter.job.progress
        done = progress["step"] - progress.get("from_step", 0)
        if done > 0 and "from_at" in progress:
            left = (progress["total_steps"] - progress["step"]) * (progress["at"] - progress["from_at"]) / done
            chapter.job = replace(chapter.job, estimated_finish=progress["at"] + ceil(left))

    def _tell_step(self, chapter: Chapter, step: int, found: JsonObject, *, always: bool = False) -> None:
        """Tell a step's numbers; what is told of it later is added to them."""
        total = chapter.job.progress.get("total_steps", step)
        data = _merged(self._steps.get(step, {}), {**found, "step": step, "total_steps": total})
        apart = ceil(total / MAX_STEPS_TOLD)
        if not always and step not in self._steps and step % apart and step != total:
            return
        self._steps[step] = data
        event = self.say(step_message(chapter.job.method["type"], data), key=f"step-{step}")
        chapter.events.append(replace(event, type="metrics", data=data))

    def _checkpoint(self, chapter: Chapter, event: CheckpointSaved) -> None:
        job = chapter.job
        name = checkpoint_name(job, event.step)
        chapter.checkpoints[event.step] = JobCheckpoint(
            id=self._ids.new("checkpoint"),
            job_id=job.id,
            step=event.step,
            name=name,
            created_at=event.at,
            metrics=self.metrics_of(event.step),
        )
        chapter.models[name] = FineTunedModel(
            name=name,
            project=job.project,
            job_id=job.id,
            step=event.step,
            base=job.base,
            folder=f"{job.id}/{event.path}",
            created_at=event.at,
        )
        if event.step in chapter.removed:
            chapter.removed.remove(event.step)
        chapter.events.append(self.say(f"Checkpoint created at step {event.step}", key=f"checkpoint-{event.step}"))


def _merged(earlier: JsonObject, later: JsonObject) -> JsonObject:
    """Numbers of one step that were told in parts, in groups within groups."""
    found = {**earlier}
    for key, value in later.items():
        known = found.get(key)
        found[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return found
