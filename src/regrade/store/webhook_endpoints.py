"""Webhook endpoints in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from regrade.core.entities import Creation, Page, PageRequest
from regrade.core.errors import InvalidError
from regrade.core.jsontext import dumps, loads
from regrade.core.webhooks import SigningSecret, WebhookEndpoint
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.webhook_tables import webhook_deliveries, webhook_endpoints

_MOST_SECRETS = 5
_ENDPOINTS = webhook_endpoints.c


@repeats_undone
class SqlWebhookEndpoints:
    """ports.WebhookEndpointStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, endpoint: WebhookEndpoint, creation: Creation | None, *, most: int) -> bool:
        """Store a new endpoint, unless there are many already."""
        there = sa.select(sa.func.count()).where(
            _ENDPOINTS.project == endpoint.project, _ENDPOINTS.deleted_at.is_(None)
        )
        with self._database.write() as connection:
            if connection.execute(there).scalar_one() >= most:
                return False
            connection.execute(
                webhook_endpoints.insert().values(
                    id=endpoint.id,
                    project=endpoint.project,
                    name=endpoint.name,
                    url=endpoint.url,
                    created_at=endpoint.created_at,
                    updated_at=endpoint.updated_at,
                    event_types=dumps(endpoint.event_types),
                    secrets=_text(endpoint.secrets),
                )
            )
            remember(connection, creation, endpoint.id)
            return True

    def get(self, project: str, endpoint_id: str) -> WebhookEndpoint | None:
        """The endpoint, if this project has it."""
        with self._database.read() as connection:
            row = (
                connection.execute(sa.select(webhook_endpoints).where(_is(project, endpoint_id))).mappings().first()
            )
        return endpoint_of(row) if row else None

    def page(self, project: str, page: PageRequest) -> Page[WebhookEndpoint]:
        """One page in the order of creation."""
        query = sa.select(webhook_endpoints).where(_ENDPOINTS.project == project, _ENDPOINTS.deleted_at.is_(None))
        ascending = page.order == "asc"
        with self._database.read() as connection:
            if page.after is not None:
                known = sa.select(_ENDPOINTS.id).where(_ENDPOINTS.id == page.after, _ENDPOINTS.project == project)
                if connection.execute(known).first() is None:
                    raise InvalidError(
                        f"No webhook endpoint found with id '{page.after}' to page after.", param="after"
                    )
                query = query.where(_ENDPOINTS.id > page.after if ascending else _ENDPOINTS.id < page.after)
            order = _ENDPOINTS.id.asc() if ascending else _ENDPOINTS.id.desc()
            rows = connection.execute(query.order_by(order).limit(page.limit + 1)).mappings().all()
        return Page(data=[endpoint_of(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def update(
        self,
        endpoint: WebhookEndpoint,
        *,
        name: str | None = None,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        now: int,
    ) -> None:
        """Replace what is given."""
        values: dict[str, Any] = {"updated_at": now}
        if name is not None:
            values["name"] = name
        if url is not None:
            values["url"] = url
        if event_types is not None:
            values["event_types"] = dumps(event_types)
        with self._database.write() as connection:
            this = webhook_endpoints.update().where(_is(endpoint.project, endpoint.id))
            connection.execute(this.values(values))

    def rotate(
        self,
        project: str,
        endpoint_id: str,
        secret: SigningSecret,
        creation: Creation | None,
        *,
        old_until: int | None,
        now: int,
    ) -> bool:
        """Put the secret before the others; what each of those was promised stays true."""
        this = _is(project, endpoint_id)
        with self._database.write() as connection:
            text = connection.execute(sa.select(_ENDPOINTS.secrets).where(this).with_for_update()).scalar()
            if text is None:
                return False
            secrets = [secret]
            if old_until is not None:
                secrets += [
                    SigningSecret(text=each.text, expires_at=each.expires_at or old_until)
                    for each in _secrets(text)
                    if each.expires_at is None or each.expires_at > now
                ]
            connection.execute(
                webhook_endpoints.update()
                .where(this)
                .values(secrets=_text(secrets[:_MOST_SECRETS]), updated_at=now)
            )
            remember(connection, creation, endpoint_id)
            return True

    def delete(self, project: str, endpoint_id: str, *, now: int) -> bool:
        """Empty the row, and drop what waits to be delivered, in one commit."""
        gone = webhook_endpoints.update().where(_is(project, endpoint_id))
        waiting = sa.and_(webhook_deliveries.c.endpoint_id == endpoint_id, webhook_deliveries.c.due_at.is_not(None))
        with self._database.write() as connection:
            found = connection.execute(
                gone.values(deleted_at=now, name="", url="", event_types=b"[]", secrets=b"[]")
            ).rowcount
            if found:
                connection.execute(webhook_deliveries.delete().where(waiting))
            return found > 0


def endpoint_of(row: sa.RowMapping) -> WebhookEndpoint:
    """The endpoint that a row of the table is."""
    return WebhookEndpoint(
        id=row["id"],
        project=row["project"],
        name=row["name"],
        url=row["url"],
        event_types=tuple(loads(row["event_types"])),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secrets=tuple(_secrets(row["secrets"])),
    )


def _is(project: str, endpoint_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(_ENDPOINTS.id == endpoint_id, _ENDPOINTS.project == project, _ENDPOINTS.deleted_at.is_(None))


def _text(secrets: Sequence[SigningSecret]) -> bytes:
    return dumps([asdict(secret) for secret in secrets])


def _secrets(text: bytes) -> list[SigningSecret]:
    return [SigningSecret(**secret) for secret in loads(text)]
