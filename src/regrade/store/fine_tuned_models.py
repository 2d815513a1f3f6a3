"""Models that were trained here, in SQL, and which projects may use them."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from regrade.core.entities import CheckpointPermission, FineTunedModel, Page, PageRequest
from regrade.core.errors import InvalidError
from regrade.store.database import Database
from regrade.store.tables import (
    checkpoint_permissions,
    fine_tuned_models,
    fine_tuning_checkpoints,
    fine_tuning_jobs,
)

_MODELS, _PERMISSIONS = fine_tuned_models.c, checkpoint_permissions.c
_FACTS = (
    _MODELS.name,
    _MODELS.project,
    _MODELS.job_id,
    _MODELS.step,
    _MODELS.base,
    _MODELS.folder,
    _MODELS.adapter_of,
    _MODELS.created_at,
)


class SqlFineTunedModels:
    """ports.FineTunedModelStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> FineTunedModel | None:
        """The model, whosever it is."""
        found = self._all(_MODELS.name == name)
        return found[0] if found else None

    def of_job(self, job_id: str) -> list[FineTunedModel]:
        """All that is left of what a job made."""
        return self._all(_MODELS.job_id == job_id)

    def all(self) -> list[FineTunedModel]:
        """Every model of every project."""
        return self._all()

    def version(self) -> int:
        """Another number after every change of `all`."""
        last = (sa.func.max(_MODELS.created_at), sa.func.max(_MODELS.deleted_at))
        query = sa.select(sa.func.count(_MODELS.name), sa.func.count(_MODELS.deleted_at), *last)
        with self._database.read() as connection:
            return hash(tuple(connection.execute(query).one()))

    def visible(self, project: str) -> list[FineTunedModel]:
        """Those of the project and those that are permitted to it."""
        return self._all(sa.or_(_MODELS.project == project, _permitted(project)))

    def may_use(self, project: str, model: FineTunedModel) -> bool:
        """Whether the model is the project's, or permitted to it."""
        return model.project == project or bool(self._all(_MODELS.name == model.name, _permitted(project)))

    def _all(self, *conditions: sa.ColumnElement[bool]) -> list[FineTunedModel]:
        query = sa.select(*_FACTS).where(_MODELS.deleted_at.is_(None), *conditions)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_MODELS.created_at, _MODELS.name)).mappings().all()
        return [FineTunedModel(**row) for row in rows]

    def delete(self, name: str, *, now: int) -> bool:
        """Let the model vanish, as a checkpoint too where it is one."""
        gone = fine_tuned_models.update().where(_MODELS.name == name, _MODELS.deleted_at.is_(None))
        checkpoint = fine_tuning_checkpoints.update().where(fine_tuning_checkpoints.c.name == name)
        with self._database.write() as connection:
            found = connection.execute(gone.values(deleted_at=now)).rowcount > 0
            connection.execute(checkpoint.values(deleted_at=now))
        return found

    def unswept(self, *, limit: int) -> list[FineTunedModel]:
        """Deleted models whose folders are still there and needed by no adapter and no job."""
        adapters, jobs = fine_tuned_models.alias(), fine_tuning_jobs.c
        on_top = sa.and_(adapters.c.deleted_at.is_(None), adapters.c.adapter_of.like("%/" + _MODELS.folder))
        goes_on = sa.and_(jobs.id == _MODELS.job_id, jobs.finished_at.is_(None))
        gone = sa.and_(_MODELS.deleted_at.is_not(None), _MODELS.swept_at.is_(None))
        query = sa.select(*_FACTS).where(gone, ~sa.exists().where(on_top), ~sa.exists().where(goes_on))
        with self._database.read() as connection:
            return [FineTunedModel(**row) for row in connection.execute(query.limit(limit)).mappings()]

    def swept(self, name: str, *, now: int) -> None:
        """Note that the folder is gone."""
        with self._database.write() as connection:
            connection.execute(fine_tuned_models.update().where(_MODELS.name == name).values(swept_at=now))

    def permit(self, permissions: Sequence[CheckpointPermission]) -> list[CheckpointPermission]:
        """Store those that are not there yet."""
        counting = []
        with self._database.write() as connection:
            for permission in permissions:
                same = sa.select(checkpoint_permissions).where(
                    _PERMISSIONS.model == permission.model,
                    _PERMISSIONS.project_id == permission.project_id,
                    _PERMISSIONS.deleted_at.is_(None),
                )
                row = connection.execute(same).mappings().first()
                if row is None:
                    connection.execute(checkpoint_permissions.insert().values(asdict(permission)))
                counting.append(permission if row is None else _permission(row))
        return counting

    def permissions(self, model: str, page: PageRequest, *, project_id: str | None) -> Page[CheckpointPermission]:
        """One page in the order of creation."""
        of_model = _PERMISSIONS.model == model
        query = sa.select(checkpoint_permissions).where(of_model, _PERMISSIONS.deleted_at.is_(None))
        if project_id is not None:
            query = query.where(_PERMISSIONS.project_id == project_id)
        with self._database.read() as connection:
            if page.after is not None:
                known = sa.select(_PERMISSIONS.id).where(_PERMISSIONS.id == page.after, of_model)
                if connection.execute(known).first() is None:
                    raise InvalidError(f"No permission found with id '{page.after}' to page after.", param="after")
                later = page.order == "asc"
                query = query.where(_PERMISSIONS.id > page.after if later else _PERMISSIONS.id < page.after)
            order = _PERMISSIONS.id.asc() if page.order == "asc" else _PERMISSIONS.id.desc()
            rows = connection.execute(query.order_by(order).limit(page.limit + 1)).mappings().all()
        return Page(data=[_permission(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def forbid(self, model: str, permission_id: str, *, now: int) -> bool:
        """Take a permission back."""
        gone = checkpoint_permissions.update().where(
            _PERMISSIONS.id == permission_id, _PERMISSIONS.model == model, _PERMISSIONS.deleted_at.is_(None)
        )
        with self._database.write() as connection:
            return connection.execute(gone.values(deleted_at=now)).rowcount > 0


def add_models(connection: sa.Connection, models: Sequence[FineTunedModel]) -> None:
    """Add models in a transaction that does more than that; a checkpoint may be told twice."""
    for model in models:
        same = fine_tuned_models.update().where(_MODELS.name == model.name)
        if not connection.execute(same.values(deleted_at=None, swept_at=None)).rowcount:
            connection.execute(fine_tuned_models.insert().values(asdict(model)))


def delete_checkpoint_models(connection: sa.Connection, job_id: str, steps: Sequence[int], *, now: int) -> None:
    """Let checkpoints vanish as models whose trainer has removed them already."""
    connection.execute(
        fine_tuned_models.update()
        .where(_MODELS.job_id == job_id, _MODELS.step.in_(steps))
        .values(deleted_at=now, swept_at=now)
    )


def _permitted(project: str) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        _PERMISSIONS.model == _MODELS.name,
        _PERMISSIONS.project_id == project,
        _PERMISSIONS.deleted_at.is_(None),
    )


def _permission(row: sa.RowMapping) -> CheckpointPermission:
    return CheckpointPermission(
        id=row["id"], model=row["model"], project_id=row["project_id"], created_at=row["created_at"]
    )
