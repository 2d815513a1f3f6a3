"""Answers kept to be given again to the same question: one SQLite file, shared by runs and processes."""

import hashlib
import sqlite3
import threading
from pathlib import Path

from regrade.core.jsontext import dumps, loads
from regrade.inference.effort import Effort
from regrade.types.json import JsonObject

_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, body BLOB NOT NULL)"
_WAIT_S = 10.0
_PRUNE_EVERY = 200
_SECRETS = ("authorization", "headers")


class ResponseCache:
    """The key is the endpoint, the whole request as it is sent, and the repetition. Any thread may use it."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._puts = 0
        self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", _SCHEMA):
            self._connection.execute(statement)  # a lost answer is only asked for again

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()

    def key(self, effort: Effort) -> bytes | None:
        """What the answer is kept under; None where it must not be: its tools carry secrets that it may repeat."""
        tools = effort.body.get("tools")
        if isinstance(tools, list) and any(
            isinstance(tool, dict) and any(tool.get(secret) for secret in _SECRETS) for tool in tools
        ):
            return None
        parts = (str(effort.lane.urls[effort.api]), str(effort.call.repetition))
        return hashlib.sha256("\n".join(parts).encode() + b"\n" + effort.payload).digest()

    def get(self, key: bytes) -> JsonObject | None:
        """The answer, if there is one."""
        with self._lock:
            row = self._connection.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
        return loads(row[0]) if row is not None else None

    def put(self, key: bytes, answer: JsonObject) -> None:
        """Keep an answer; the oldest go where the file becomes too large."""
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, dumps(answer)))
            self._puts += 1
            if self._puts % _PRUNE_EVERY == 0:
                self._prune()

    def _prune(self) -> None:
        """A tenth at a time, the oldest first."""
        while self._bytes() > self._max_bytes:
            removed = self._connection.execute(
                "DELETE FROM answers WHERE rowid <= "
                "(SELECT min(rowid) + (max(rowid) - min(rowid)) / 10 FROM answers)"
            )
            if removed.rowcount <= 0:
                return

    def _bytes(self) -> int:
        """What the answers take, free pages left out: SQLite uses those again."""
        (size,) = self._connection.execute(
            "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, "
            "pragma_page_size"
        ).fetchone()
        return int(size)
