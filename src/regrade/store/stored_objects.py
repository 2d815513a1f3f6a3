"""Stored chat completions and responses in SQL."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from regrade.core.entities import Creation, Page, PageRequest, StoredKind, StoredObject
from regrade.core.errors import InvalidError
from regrade.core.jsontext import dumps, loads
from regrade.core.stored_objects import FINISHED, StoredFilter, takes
from regrade.store.conflicts import Inserts
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.pages import position_of
from regrade.store.tables import stored_object_bodies, stored_object_metadata, stored_objects
from regrade.types.json import JsonObject

_READ_AT_ONCE = 200
_FACTS = stored_objects.c
_WHOLE = sa.select(stored_objects, stored_object_bodies.c.request, stored_object_bodies.c.answer).join(
    stored_object_bodies, stored_object_bodies.c.object_number == _FACTS.number
)
_INSERT = stored_objects.insert().returning(_FACTS.number)
_INSERT_NEW = Inserts(
    stored_objects,
    lambda insert: insert.on_conflict_do_nothing(index_elements=[_FACTS.project, _FACTS.id]).returning(
        _FACTS.number
    ),
)
_INSERT_BODIES = stored_object_bodies.insert()
_INSERT_PAIRS = stored_object_metadata.insert()


@repeats_undone
class SqlStoredObjects:
    """ports.StoredObjectStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, stored: StoredObject, creation: Creation | None) -> None:
        """Store a new object."""
        with self._database.write() as connection:
            _insert(connection, stored)
            remember(connection, creation, stored.id)

    def add_new(self, objects: Sequence[StoredObject]) -> int:
        """Store those whose ids are new to their project, in one commit; how many those were."""
        with self._database.write() as connection:
            statement = _INSERT_NEW.on(connection)
            # In one order, so that two importers of the same never wait for each other in a circle.
            ordered = sorted(objects, key=lambda stored: (stored.project, stored.id))
            return sum(_insert(connection, stored, statement) for stored in ordered)

    def get(self, project: str, kind: StoredKind, object_id: str, *, now: int) -> StoredObject | None:
        """The object, if this project has it and it is neither deleted nor expired."""
        query = _WHOLE.where(_FACTS.id == object_id, _visible(project, kind, now))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return _object(row) if row else None

    def page(
        self, project: str, kind: StoredKind, page: PageRequest, wanted: StoredFilter, *, now: int
    ) -> Page[StoredObject]:
        """One page of those that the filter takes, in the order of (created_at, id)."""
        with self._database.read() as connection:
            position = _position(connection, project, kind, page.after) if page.after is not None else None
            rows = _rows(
                connection,
                _wanted(project, kind, wanted, now),
                position,
                page.limit + 1,
                newest=page.order == "desc",
            )
        return Page(data=[_object(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def select(self, project: str, kind: StoredKind, wanted: StoredFilter, *, now: int) -> Iterator[StoredObject]:
        """Those that have an answer and that the filter takes, newest first; all as they are at this moment."""
        left = wanted.limit
        condition = sa.and_(_wanted(project, kind, wanted, now), _FACTS.status.in_(FINISHED))
        position: tuple[int, str] | None = None
        with self._database.read() as connection:
            while left is None or left > 0:
                rows = _rows(connection, condition, position, _READ_AT_ONCE, newest=True)
                for stored in filter(lambda each: takes(wanted, each), map(_object, rows)):
                    yield stored
                    left = None if left is None else left - 1
                    if left == 0:
                        return
                if len(rows) < _READ_AT_ONCE:
                    return
                position = (rows[-1]["created_at"], rows[-1]["id"])

    def update_metadata(
        self, project: str, kind: StoredKind, object_id: str, metadata: JsonObject, *, now: int
    ) -> bool:
        """Replace the metadata; False where there is no such object."""
        changed = (
            stored_objects.update()
            .where(_FACTS.id == object_id, _visible(project, kind, now))
            .values(metadata=dumps(metadata))
            .returning(_FACTS.number)
        )
        with self._database.write() as connection:
            number = connection.execute(changed).scalar()
            if number is None:
                return False
            connection.execute(_pairs_of(number))
            _insert_pairs(connection, number, metadata)
        return True

    def update_answer(self, stored: StoredObject) -> bool:
        """Replace status and answer; False where the object was deleted meanwhile."""
        changed = (
            stored_objects.update()
            .where(_FACTS.id == stored.id, _FACTS.project == stored.project, _FACTS.deleted_at.is_(None))
            .values(status=stored.status, model_answered=stored.model_answered, upstream_id=stored.upstream_id)
            .returning(_FACTS.number)
        )
        with self._database.write() as connection:
            number = connection.execute(changed).scalar()
            if number is None:
                return False
            bodies = stored_object_bodies.update().where(stored_object_bodies.c.object_number == number)
            connection.execute(bodies.values(answer=stored.answer))
        return True

    def delete(self, project: str, kind: StoredKind, object_id: str, *, now: int) -> bool:
        """Forget what was asked and answered; False where there is no such object."""
        with self._database.write() as connection:
            return _delete(connection, sa.and_(_FACTS.id == object_id, _visible(project, kind, now)), now) > 0

    def sweep(self, *, now: int, limit: int) -> int:
        """Forget what has expired, up to `limit` objects; how many those were."""
        expired = sa.select(_FACTS.number).where(_FACTS.expires_at <= now, _FACTS.deleted_at.is_(None)).limit(limit)
        with self._database.read() as connection:
            numbers = list(connection.execute(expired).scalars())
        if not numbers:
            return 0
        with self._database.write() as connection:
            return _delete(connection, sa.and_(_FACTS.number.in_(numbers), _FACTS.deleted_at.is_(None)), now)


def _insert(connection: sa.Connection, stored: StoredObject, statement: sa.Executable = _INSERT) -> bool:
    """Whether it was stored: the statement may pass over what is there."""
    number = connection.execute(
        statement,
        {
            "id": stored.id,
            "project": stored.project,
            "kind": stored.kind,
            "model_asked": stored.model_asked,
            "model_answered": stored.model_answered,
            "status": stored.status,
            "created_at": stored.created_at,
            "expires_at": stored.expires_at,
            "upstream_id": stored.upstream_id,
            "metadata": dumps(stored.metadata),
        },
    ).scalar()
    if number is None:
        return False
    bodies = {"object_number": number, "request": stored.request, "answer": stored.answer}
    connection.execute(_INSERT_BODIES, bodies)
    _insert_pairs(connection, number, stored.metadata)
    return True


def _insert_pairs(connection: sa.Connection, number: int, metadata: JsonObject) -> None:
    if metadata:
        connection.execute(
            _INSERT_PAIRS,
            [{"object_number": number, "key": key, "value": value} for key, value in metadata.items()],
        )


def _delete(connection: sa.Connection, which: sa.ColumnElement[bool], now: int) -> int:
    gone = (
        stored_objects.update()
        .where(which)
        .values(deleted_at=now, metadata=b"{}", upstream_id=None)
        .returning(_FACTS.number)
    )
    numbers = list(connection.execute(gone).scalars())
    connection.execute(stored_object_bodies.delete().where(stored_object_bodies.c.object_number.in_(numbers)))
    connection.execute(stored_object_metadata.delete().where(stored_object_metadata.c.object_number.in_(numbers)))
    return len(numbers)


def _pairs_of(number: int) -> sa.Delete:
    return stored_object_metadata.delete().where(stored_object_metadata.c.object_number == number)


def _visible(project: str, kind: StoredKind, now: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        _FACTS.project == project,
        _FACTS.kind == kind,
        _FACTS.deleted_at.is_(None),
        sa.or_(_FACTS.expires_at.is_(None), _FACTS.expires_at > now),
    )


def _wanted(project: str, kind: StoredKind, wanted: StoredFilter, now: int) -> sa.ColumnElement[bool]:
    """What the facts can say of a filter."""
    conditions = [_visible(project, kind, now)]
    if wanted.model is not None:
        conditions.append(sa.or_(_FACTS.model_asked == wanted.model, _FACTS.model_answered == wanted.model))
    if wanted.created_after is not None:
        conditions.append(_FACTS.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(_FACTS.created_at <= wanted.created_before)
    pair = stored_object_metadata.c
    conditions += (
        sa.exists().where(pair.object_number == _FACTS.number, pair.key == key, pair.value == value)
        for key, value in wanted.metadata
    )
    return sa.and_(*conditions)


def _position(connection: sa.Connection, project: str, kind: StoredKind, object_id: str) -> tuple[int, str]:
    """Where an object stands in the order, deleted ones too."""
    row = connection.execute(
        sa.select(_FACTS.created_at, _FACTS.id).where(
            _FACTS.project == project, _FACTS.kind == kind, _FACTS.id == object_id
        )
    ).first()
    if row is None:
        raise InvalidError(f"Nothing stored with id '{object_id}' to page after.", param="after")
    return row[0], row[1]


def _rows(
    connection: sa.Connection,
    condition: sa.ColumnElement[bool],
    position: tuple[int, str] | None,
    limit: int,
    *,
    newest: bool,
) -> Sequence[Any]:
    """Up to `limit` rows beyond the position."""
    query = _WHOLE.where(condition)
    if position is not None:
        sort = (_FACTS.created_at, _FACTS.id)
        here, there = sa.tuple_(*sort), position_of(sort, position)
        query = query.where(here < there if newest else here > there)
    order = (_FACTS.created_at.desc(), _FACTS.id.desc()) if newest else (_FACTS.created_at, _FACTS.id)
    return connection.execute(query.order_by(*order).limit(limit)).mappings().all()


def _object(row: Any) -> StoredObject:
    return StoredObject(
        id=row["id"],
        project=row["project"],
        kind=row["kind"],
        model_asked=row["model_asked"],
        model_answered=row["model_answered"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=row["status"],
        metadata=loads(row["metadata"]),
        request=row["request"],
        answer=row["answer"],
        upstream_id=row["upstream_id"],
    )
