"""Deliveries of webhooks in SQL: announced by whoever ends a run or a job, claimed by one worker at a time."""

from collections.abc import Collection

import sqlalchemy as sa

from regrade.core.jsontext import loads
from regrade.core.webhooks import Delivery, delivery_id, event_of
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.webhook_endpoints import endpoint_of
from regrade.store.webhook_tables import webhook_deliveries, webhook_endpoints

_DELIVERIES = webhook_deliveries.c
_ENDPOINTS = webhook_endpoints.c


def announce(connection: sa.Connection, project: str, event_type: str, object_id: str, *, now: int) -> None:
    """Let every endpoint of the project that wants to know be told, if and only if this transaction commits."""
    # Whoever deletes an endpoint waits for this lock, and drops this delivery too.
    subscribed = sa.select(_ENDPOINTS.id, _ENDPOINTS.event_types).where(
        _ENDPOINTS.project == project, _ENDPOINTS.deleted_at.is_(None)
    )
    rows = connection.execute(subscribed.with_for_update(read=True)).all()
    endpoints = [row.id for row in rows if event_type in loads(row.event_types)]
    if not endpoints:
        return
    event_id, body = event_of(event_type, object_id, created_at=now)
    connection.execute(
        webhook_deliveries.insert(),
        [
            {
                "id": delivery_id(event_id, endpoint_id),
                "endpoint_id": endpoint_id,
                "event_type": event_type,
                "body": body,
                "created_at": now,
                "attempts": 0,
                "due_at": now,
            }
            for endpoint_id in endpoints
        ],
    )


@repeats_undone
class SqlWebhookDeliveries:
    """ports.WebhookDeliveryStore. A claim is a time until which the delivery is not due to anybody else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, *, now: int, until: int, limit: int, each: int, busy: Collection[str]) -> list[Delivery]:
        """Look first: mostly nothing is due, and then nobody waits for a writer."""
        place = sa.func.row_number().over(
            partition_by=_DELIVERIES.endpoint_id, order_by=(_DELIVERIES.due_at, _DELIVERIES.id)
        )
        due = (
            sa.select(_DELIVERIES.id, _DELIVERIES.due_at, place.label("place"))
            .where(_DELIVERIES.due_at <= now, _DELIVERIES.endpoint_id.not_in(busy))
            .subquery()
        )
        chosen = sa.select(due.c.id).where(due.c.place <= each).order_by(due.c.place, due.c.due_at).limit(limit)
        with self._database.read() as connection:
            ids = connection.execute(chosen).scalars().all()
        if not ids:
            return []
        # Two workers at once take different ones and never wait for each other.
        free = sa.select(_DELIVERIES.id).where(_DELIVERIES.id.in_(ids), _DELIVERIES.due_at <= now)
        claimed = (
            webhook_deliveries.update()
            .where(_DELIVERIES.id.in_(free.with_for_update(skip_locked=True)))
            .values(due_at=until, attempts=_DELIVERIES.attempts + 1)
            .returning(*webhook_deliveries.c)
        )
        with self._database.write() as connection:
            rows = connection.execute(claimed).mappings().all()
            wanted = {row["endpoint_id"] for row in rows}
            found = connection.execute(sa.select(webhook_endpoints).where(_ENDPOINTS.id.in_(wanted))).mappings()
            endpoints = {row["id"]: endpoint_of(row) for row in found}
        return [
            Delivery(
                id=row["id"],
                endpoint=endpoints[row["endpoint_id"]],
                event_type=row["event_type"],
                body=row["body"],
                created_at=row["created_at"],
                attempts=row["attempts"],
            )
            for row in rows
        ]

    def end(self, delivery: Delivery, *, delivered: bool, now: int) -> None:
        """Nothing more is due."""
        with self._database.write() as connection:
            connection.execute(_claimed(delivery).values(due_at=None, ended_at=now, delivered=delivered))

    def put_off(self, delivery: Delivery, *, due_at: int) -> None:
        """Due again then."""
        with self._database.write() as connection:
            connection.execute(_claimed(delivery).values(due_at=due_at))

    def sweep(self, *, before: int, limit: int) -> int:
        """Remove those that ended before then."""
        old = sa.select(_DELIVERIES.id).where(_DELIVERIES.ended_at < before).limit(limit)
        with self._database.write() as connection:
            return connection.execute(webhook_deliveries.delete().where(_DELIVERIES.id.in_(old))).rowcount


def _claimed(delivery: Delivery) -> sa.Update:
    """The delivery, for as long as nobody has begun another attempt."""
    return webhook_deliveries.update().where(
        _DELIVERIES.id == delivery.id, _DELIVERIES.attempts == delivery.attempts, _DELIVERIES.due_at.is_not(None)
    )
