"""A connection that is lost in the middle of a commit."""

import socket
import threading
from contextlib import closing, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from databases import engine_of
from regrade.core.entities import Key
from regrade.store.database import Database
from regrade.store.keys import SqlKeys
from regrade.store.outages import UnknownOutcomeError
from regrade.store.schema import upgrade


class CutAtCommit:
    """A network that hands the COMMIT on and then is gone."""

    def __init__(self, path):
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cutting = self._cut = False
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            self._sockets += [client, server]
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source, target, asking):
        try:
            while data := source.recv(65536):
                if asking and self.cutting and data.endswith(b"COMMIT\x00"):  # READ COMMITTED is no commit
                    self._cut = True  # before the answer can come
                if asking or not self._cut:
                    target.sendall(data)
                if self._cut:
                    break
        except OSError:
            pass  # the other direction was faster to see the end
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self.cutting = self._cut = False

    def close(self):
        for each in self._sockets:
            each.close()


def test_a_commit_whose_answer_is_lost_is_not_repeated_and_said_to_be_unknown(postgres):
    url = postgres.new()
    with closing(Database(engine_of(url, None))) as direct:
        upgrade(direct)
    parts = urlsplit(url)
    with (
        closing(CutAtCommit(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")) as network,
        closing(
            Database(engine_of(f"postgresql://postgres@127.0.0.1:{network.port}{parts.path}", None))
        ) as through,
    ):
        keys = SqlKeys(through)
        assert keys.active() == []
        network.cutting = True
        with pytest.raises(UnknownOutcomeError):
            keys.add(Key(id="key_1", project="p", name="", hint="abcd", admin=False, created_at=1), b"hash")
        network.mend()
        assert [key.id for key in keys.all()] == ["key_1"]
