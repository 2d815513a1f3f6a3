"""Fine-tuning jobs in SQL, with their events and checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from regrade.core.entities import (
    Creation,
    File,
    FineTunedModel,
    FineTuningJob,
    JobCheckpoint,
    JobEvent,
    Page,
    PageRequest,
)
from regrade.core.errors import InvalidError
from regrade.core.jsontext import dumps, loads
from regrade.core.webhooks import OF_JOBS
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.files import add_file
from regrade.store.fine_tuned_models import add_models, delete_checkpoint_models
from regrade.store.tables import (
    fine_tuning_checkpoints,
    fine_tuning_events,
    fine_tuning_job_metadata,
    fine_tuning_jobs,
)
from regrade.store.webhook_deliveries import announce
from regrade.types.json import JsonObject

_AT_WORK = ("validating_files", "queued", "running")
_ENDED = ("succeeded", "failed", "cancelled")
_JOBS, _EVENTS, _CHECKPOINTS, _PAIRS = (
    fine_tuning_jobs.c,
    fine_tuning_events.c,
    fine_tuning_checkpoints.c,
    fine_tuning_job_metadata.c,
)


class SqlFineTuning:
    """ports.FineTuningStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: FineTuningJob, events: Sequence[JobEvent], creation: Creation | None) -> None:
        """Store a new job with its first events."""
        with self._database.write() as connection:
            number = connection.execute(
                fine_tuning_jobs.insert().values(**_definition(job), **_state(job)).returning(_JOBS.number)
            ).scalar_one()
            if job.metadata:
                connection.execute(
                    fine_tuning_job_metadata.insert(),
                    [{"job_number": number, "key": key, "value": value} for key, value in job.metadata.items()],
                )
            _tell(connection, number, events)
            remember(connection, creation, job.id)

    def get(self, project: str, job_id: str) -> FineTuningJob | None:
        """The job, if this project has it."""
        return self._one(_JOBS.id == job_id, _JOBS.project == project)

    def find(self, job_id: str) -> FineTuningJob | None:
        """The job, whosever it is."""
        return self._one(_JOBS.id == job_id)

    def _one(self, *conditions: sa.ColumnElement[bool]) -> FineTuningJob | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(fine_tuning_jobs).where(*conditions)).mappings().first()
        return _job(row) if row else None

    def page(self, project: str, page: PageRequest, metadata: JsonObject | None) -> Page[FineTuningJob]:
        """One page, newest first."""
        query = sa.select(fine_tuning_jobs).where(_JOBS.project == project)
        pair = sa.exists().where(_PAIRS.job_number == _JOBS.number)
        if metadata is not None and not metadata:
            query = query.where(~pair)
        for key, value in (metadata or {}).items():
            query = query.where(pair.where(_PAIRS.key == key, _PAIRS.value == value))
        with self._database.read() as connection:
            if page.after is not None:
                known = sa.select(_JOBS.id).where(_JOBS.id == page.after, _JOBS.project == project)
                if connection.execute(known).first() is None:
                    raise InvalidError(
                        f"No fine-tuning job found with id '{page.after}' to page after.", param="after"
                    )
                query = query.where(_JOBS.id < page.after)
            rows = connection.execute(query.order_by(_JOBS.id.desc()).limit(page.limit + 1)).mappings().all()
        return Page(data=[_job(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def unfinished(self) -> list[FineTuningJob]:
        """Jobs that a workflow is to bring further, oldest first."""
        return self._all(_JOBS.status.in_(_AT_WORK))

    def _all(self, *conditions: sa.ColumnElement[bool]) -> list[FineTuningJob]:
        query = sa.select(fine_tuning_jobs).where(*conditions).order_by(_JOBS.id)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def claim(self, job_id: str) -> FineTuningJob | None:
        """Fence off every former owner of a job that is to be brought further."""
        claimed = (
            fine_tuning_jobs.update()
            .where(_JOBS.id == job_id, _JOBS.status.in_(_AT_WORK))
            .values(epoch=_JOBS.epoch + 1)
            .returning(*fine_tuning_jobs.c)
        )
        with self._database.write() as connection:
            row = connection.execute(claimed).mappings().first()
        return _job(row) if row else None

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
        """Commit everything, or nothing where the claim is lost."""
        mine = sa.and_(_JOBS.number == job.number, _JOBS.epoch == job.epoch, _JOBS.status.in_(_AT_WORK))
        state = _state(job)
        if job.status == "running":
            state.pop("pausing")  # somebody may have asked for it since this was read
        with self._database.write() as connection:
            if not connection.execute(fine_tuning_jobs.update().where(mine).values(state)).rowcount:
                return False
            _tell(connection, job.number, events)
            _keep(connection, job.number, checkpoints)
            for step, metrics in (measured or {}).items():
                of_step = sa.and_(_CHECKPOINTS.job_number == job.number, _CHECKPOINTS.step == step)
                connection.execute(fine_tuning_checkpoints.update().where(of_step).values(metrics=dumps(metrics)))
            if removed:
                _remove(connection, job, removed, now=now)
            add_models(connection, models)
            if file is not None:
                add_file(connection, file)
            _announce_end(connection, job, job.status, now=now)
        return True

    def ask_to_pause(self, job: FineTuningJob, event: JobEvent) -> bool:
        """Let a running job's owner find that it is to pause."""
        return self._change(job, ("running",), event, pausing=True)

    def resume(self, job: FineTuningJob, event: JobEvent) -> bool:
        """Queue a paused job again."""
        return self._change(job, ("paused",), event, status="queued", pausing=False, round=_JOBS.round + 1)

    def cancel(self, job: FineTuningJob, event: JobEvent, *, now: int) -> bool:
        """End the job and fence its owner off."""
        return self._change(
            job,
            (*_AT_WORK, "paused"),
            event,
            status="cancelled",
            finished_at=now,
            estimated_finish=None,
            token_hash=None,
            epoch=_JOBS.epoch + 1,
        )

    def _change(self, job: FineTuningJob, where: Sequence[str], event: JobEvent, **values: Any) -> bool:
        changed = fine_tuning_jobs.update().where(_JOBS.number == job.number, _JOBS.status.in_(where))
        with self._database.write() as connection:
            found = connection.execute(changed.values(values)).rowcount > 0
            if found:
                _tell(connection, job.number, [event])
                _announce_end(connection, job, values.get("status"), now=event.created_at)
        return found

    def events(self, job: FineTuningJob, page: PageRequest) -> Page[JobEvent]:
        """One page, newest first."""
        query = sa.select(fine_tuning_events).where(_EVENTS.job_number == job.number)
        with self._database.read() as connection:
            if page.after is not None:
                position = connection.execute(
                    sa.select(_EVENTS.number).where(_EVENTS.job_number == job.number, _EVENTS.id == page.after)
                ).scalar()
                if position is None:
                    raise InvalidError(f"No event found with id '{page.after}' to page after.", param="after")
                query = query.where(_EVENTS.number < position)
            rows = connection.execute(query.order_by(_EVENTS.number.desc()).limit(page.limit + 1)).mappings().all()
        return Page(data=[_event(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def metrics(self, job: FineTuningJob) -> list[JsonObject]:
        """The data of all metrics events, by step."""
        query = sa.select(_EVENTS.data).where(_EVENTS.job_number == job.number, _EVENTS.type == "metrics")
        with self._database.read() as connection:
            found = [loads(data) for data in connection.execute(query).scalars()]
        return sorted(found, key=lambda data: data["step"])

    def checkpoints(self, job: FineTuningJob, page: PageRequest) -> Page[JobCheckpoint]:
        """One page, the highest step first."""
        of_job = _CHECKPOINTS.job_number == job.number
        query = sa.select(fine_tuning_checkpoints).where(of_job, _CHECKPOINTS.deleted_at.is_(None))
        with self._database.read() as connection:
            if page.after is not None:
                step = connection.execute(
                    sa.select(_CHECKPOINTS.step).where(of_job, _CHECKPOINTS.id == page.after)
                ).scalar()
                if step is None:
                    raise InvalidError(f"No checkpoint found with id '{page.after}' to page after.", param="after")
                query = query.where(_CHECKPOINTS.step < step)
            rows = (
                connection.execute(query.order_by(_CHECKPOINTS.step.desc()).limit(page.limit + 1)).mappings().all()
            )
        found = [_checkpoint(row, job.id) for row in rows[: page.limit]]
        return Page(data=found, has_more=len(rows) > page.limit)

    def with_strays(self) -> list[FineTuningJob]:
        """Jobs that have ended while their trainer perhaps has not."""
        return self._all(_JOBS.status.in_(_ENDED), _JOBS.trainer.is_not(None))

    def forget_trainer(self, job: FineTuningJob) -> None:
        """Note that the trainer of an ended job is gone."""
        gone = fine_tuning_jobs.update().where(_JOBS.number == job.number, _JOBS.status.in_(_ENDED))
        with self._database.write() as connection:
            connection.execute(gone.values(trainer=None))


def _announce_end(connection: sa.Connection, job: FineTuningJob, status: str | None, *, now: int) -> None:
    """Let webhooks tell of the job's end, where `status` is one."""
    event_type = OF_JOBS.get(status or "")
    if event_type is not None:
        announce(connection, job.project, event_type, job.id, now=now)


def _tell(connection: sa.Connection, number: int, events: Sequence[JobEvent]) -> None:
    """Add events; one that was told before under the same key is replaced where it stands."""
    for event in events:
        words = {
            "created_at": event.created_at,
            "level": event.level,
            "type": event.type,
            "message": event.message,
            "data": dumps(event.data),
        }
        if event.key is not None:
            told = fine_tuning_events.update().where(_EVENTS.job_number == number, _EVENTS.key == event.key)
            if connection.execute(told.values(words)).rowcount:
                continue
        connection.execute(
            fine_tuning_events.insert().values(job_number=number, id=event.id, key=event.key, **words)
        )


def _keep(connection: sa.Connection, number: int, checkpoints: Sequence[JobCheckpoint]) -> None:
    """Add checkpoints; one whose step was told before, by a trainer that had to start again, is the same one."""
    for checkpoint in checkpoints:
        same = sa.and_(_CHECKPOINTS.job_number == number, _CHECKPOINTS.step == checkpoint.step)
        values = {"metrics": dumps(checkpoint.metrics), "deleted_at": None}
        if not connection.execute(fine_tuning_checkpoints.update().where(same).values(values)).rowcount:
            connection.execute(
                fine_tuning_checkpoints.insert().values(
                    job_number=number,
                    step=checkpoint.step,
                    id=checkpoint.id,
                    name=checkpoint.name,
                    created_at=checkpoint.created_at,
                    **values,
                )
            )


def _remove(connection: sa.Connection, job: FineTuningJob, steps: Sequence[int], *, now: int) -> None:
    connection.execute(
        fine_tuning_checkpoints.update()
        .where(_CHECKPOINTS.job_number == job.number, _CHECKPOINTS.step.in_(steps))
        .values(deleted_at=now)
    )
    delete_checkpoint_models(connection, job.id, steps, now=now)


def _definition(job: FineTuningJob) -> dict[str, Any]:
    """What stays as it was when the job was created."""
    return {
        "id": job.id,
        "project": job.project,
        "model": job.model,
        "base": job.base,
        "created_at": job.created_at,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "training_blob": job.training_blob,
        "validation_blob": job.validation_blob,
        "suffix": job.suffix,
        "seed": job.seed,
        "azure": job.azure,
        "eval_id": job.eval_id,
        "round": job.round,
        "epoch": job.epoch,
        "integrations": dumps(job.integrations),
        "metadata": dumps(job.metadata) if job.metadata is not None else None,
        "extra": dumps(job.extra) if job.extra else None,
    }


def _state(job: FineTuningJob) -> dict[str, Any]:
    """What its owner changes."""
    return {
        "status": job.status,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "fine_tuned_model": job.fine_tuned_model,
        "trained_tokens": job.trained_tokens,
        "estimated_finish": job.estimated_finish,
        "result_file": job.result_file,
        "pausing": job.pausing,
        "token_hash": job.token_hash,
        "method": dumps(job.method),
        "error": dumps(job.error) if job.error is not None else None,
        "trainer": dumps(job.trainer) if job.trainer is not None else None,
        "progress": dumps(job.progress),
    }


_JSON = ("method", "integrations", "metadata", "error", "trainer", "progress")


def _job(row: sa.RowMapping) -> FineTuningJob:
    values = dict(row)
    for name in _JSON:
        values[name] = loads(values[name]) if values[name] is not None else None
    extra = values.pop("extra")
    return replace(FineTuningJob(**values), extra=loads(extra) if extra is not None else {})


def _event(row: sa.RowMapping) -> JobEvent:
    return JobEvent(
        id=row["id"],
        created_at=row["created_at"],
        level=row["level"],
        type=row["type"],
        message=row["message"],
        data=loads(row["data"]),
        key=row["key"],
    )


def _checkpoint(row: sa.RowMapping, job_id: str) -> JobCheckpoint:
    return JobCheckpoint(
        id=row["id"],
        job_id=job_id,
        step=row["step"],
        name=row["name"],
        created_at=row["created_at"],
        metrics=loads(row["metrics"]),
    )
