"""A connection that is lost in the middle of a commit."""

import socket
import threading
from contextlib import suppress
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
        self.cutting = False
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
                target.sendall(data)
                if asking and self.cutting and b"COMMIT" in data:
                    break
        except OSError:
            pass  # the other direction was faster to see the end
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self):
        for each in self._sockets:
            each.close()


def test_a_commit_whose_answer_is_lost_is_not_repeated_and_said_to_be_unknown(postgres):
    url = postgres.new()
    direct = Database(engine_of(url, None))
    upgrade(direct)
    parts = urlsplit(url)
    network = CutAtCommit(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")
    through = Database(engine_of(f"postgresql://postgres@127.0.0.1:{network.port}{parts.path}", None))
    keys = SqlKeys(through)
    assert keys.active() == []
    network.cutting = True
    with pytest.raises(UnknownOutcomeError):
        keys.add(Key(id="key_1", project="p", name="", hint="abcd", admin=False, created_at=1), b"hash")
    network.cutting = False
    assert [key.id for key in keys.all()] == ["key_1"]
    through.close()
    direct.close()
    network.close()
