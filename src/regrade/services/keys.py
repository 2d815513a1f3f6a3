"""API keys and the browser sessions that they open; secrets leave this room once, when they are made."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from regrade.core.entities import Key
from regrade.core.errors import InvalidError, NotFoundError
from regrade.ports.store import KeyStore
from regrade.ports.system import Clock, Ids

PREFIX = "sk-regrade-"
SESSION_SECONDS = 30 * 86_400
_FRESH_SECONDS = 2  # how long a revoked key may still work in another process
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MIN_SECRET = 20
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class _Known:
    """The keys as they were read."""

    read_at: int
    active: Sequence[tuple[bytes, Key]]
    open: bool


class Keys:
    """Who may come in. The keys are read at most every two seconds, so that a request costs no query."""

    def __init__(self, store: KeyStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._known: _Known | None = None
        self._reading = Lock()

    def create(self, project: str, name: str, *, admin: bool) -> tuple[Key, str]:
        """A new key and its secret, which nobody can read again."""
        secret = PREFIX + self._ids.secret()
        return self.adopt(secret, project=project, name=name, admin=admin), secret

    def adopt(self, secret: str, *, project: str, name: str, admin: bool) -> Key:
        """A new key whose secret was made elsewhere."""
        checked_project(project)
        if len(secret) < _MIN_SECRET:
            raise InvalidError(f"A key needs at least {_MIN_SECRET} random characters.", param="secret")
        if len(name) > _MAX_NAME:
            raise InvalidError(f"A key's name can have at most {_MAX_NAME} characters.", param="name")
        key = Key(
            id=self._ids.new("key"),
            project=project,
            name=name,
            hint=secret[-4:],
            admin=admin,
            created_at=self._clock.now(),
        )
        self._store.add(key, _hash(secret))
        self._known = None
        return key

    def list(self) -> list[Key]:
        """Every key that ever was, revoked ones too, oldest first."""
        return self._store.all()

    def revoke(self, key_id: str) -> None:
        """End a key and its sessions: here at once, in other processes within two seconds."""
        if not self._store.revoke(key_id, now=self._clock.now()):
            raise NotFoundError(f"No active key found with id '{key_id}'.", param="key_id")
        self._known = None

    def open(self) -> bool:
        """Whether anybody may come in: no key was ever made.

        Revoked keys count. Otherwise revoking the last key would let in everybody, and that key too. So once there
        was one the answer stands, and is known also while the database is away.
        """
        known = self._known
        return self._current().open if known is None or known.open else False

    def authenticate(self, candidates: Iterable[str]) -> Key | None:
        """The active key that one of these secrets belongs to."""
        active = self._current().active
        found = None
        for candidate in candidates:
            digest = _hash(candidate)
            for known, key in active:  # all of them, so that the time tells nothing of which one it was
                if hmac.compare_digest(known, digest):
                    found = key
        return found

    def login(self, secret: str) -> str | None:
        """A token that stands for this key for 30 days; None where there is no such key."""
        key = self.authenticate([secret])
        if key is None:
            return None
        token, now = self._ids.secret(), self._clock.now()
        self._store.add_session(_hash(token), key.id, expires_at=now + SESSION_SECONDS, now=now)
        return token

    def session(self, token: str) -> Key | None:
        """The key that this token stands for, unless its time is over or the key was revoked."""
        return self._store.session(_hash(token), now=self._clock.now())

    def logout(self, token: str) -> None:
        """From now on this token stands for nothing."""
        self._store.end_session(_hash(token))

    def _current(self) -> _Known:
        known = self._known
        if known is None or not 0 <= self._clock.now() - known.read_at < _FRESH_SECONDS:
            with self._reading:  # one reader at a time; those that waited for it take what it found
                if self._known is known:
                    self._known = self._read()
                known = self._known or self._read()
        return known

    def _read(self) -> _Known:
        now = self._clock.now()
        active = self._store.active()
        return _Known(read_at=now, active=active, open=not active and not self._store.all())


def checked_project(name: str) -> None:
    """Raise InvalidError where no project can have this name."""
    if _PROJECT.fullmatch(name) is None:
        raise InvalidError(
            f"'{name[:64]}' cannot be a project's name. Use up to 64 letters, digits, '.', '_' and '-'.",
            param="project",
        )


def _hash(secret: str) -> bytes:
    """Secrets are random and long, so that a plain hash is as hard to turn back as a slow one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
