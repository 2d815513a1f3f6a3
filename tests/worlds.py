"""Files, uploads and keys on a real store and real blobs; only the clock is set by hand."""

import http.client
import itertools
import json
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import urlsplit

from databases import engine_of
from regrade.core.entities import Run
from regrade.core.ids import PREFIXES, time_ordered
from regrade.services.creations import Creations
from regrade.services.files import Files
from regrade.services.keys import Keys
from regrade.services.uploads import Uploads
from regrade.store.blobs import DiskBlobs
from regrade.store.creations import SqlCreations
from regrade.store.database import Database
from regrade.store.files import SqlFiles
from regrade.store.keys import SqlKeys
from regrade.store.runs import SqlRuns
from regrade.store.tables import metadata
from regrade.store.uploads import SqlUploads


class HandClock:
    """Stands still until somebody moves `time`."""

    def __init__(self):
        self.time = 1_800_000_000
        self._ticks = itertools.count()

    def now(self):
        return self.time

    def nanoseconds(self):
        return self.time * 1_000_000_000 + next(self._ticks)


class CountedIds:
    """Ids whose random part counts up."""

    def __init__(self, clock):
        self._clock = clock
        self._count = itertools.count()

    def new(self, kind):
        return time_ordered(PREFIXES[kind], self._clock.nanoseconds(), next(self._count))

    def uuid4(self):
        return f"00000000-0000-4000-8000-{next(self._count):012x}"

    def secret(self):
        return f"{next(self._count):043x}"


def open_world(root, database_url="sqlite"):
    """The services of files, uploads and keys on a fresh store below `root`, or in a PostgreSQL database."""
    root.mkdir(parents=True, exist_ok=True)
    database = Database(engine_of(database_url, root / "regrade.sqlite3"))
    metadata.create_all(database.engine)
    clock = HandClock()
    ids = CountedIds(clock)
    blobs = DiskBlobs(root / "blobs")
    file_store, upload_store, key_store = SqlFiles(database), SqlUploads(database), SqlKeys(database)
    return SimpleNamespace(
        root=root,
        database=database,
        clock=clock,
        ids=ids,
        blobs=blobs,
        file_store=file_store,
        files=Files(file_store, blobs, clock, ids, max_bytes=4 << 20),
        uploads=Uploads(upload_store, file_store, blobs, clock, ids),
        keys=Keys(key_store, clock, ids),
        creations=Creations(SqlCreations(database), clock),
        rewards=None,
        stored=lambda: sorted(path.name for path in (root / "blobs").rglob("*") if path.is_file()),
    )


def add_file(world, name="rows.jsonl", content=b"{}\n", *, project="default", **document):
    """A stored file's document, made by the service."""
    incoming = world.files.receive()
    try:
        incoming.write(content)
        return world.files.create(project, incoming, name, {"purpose": "evals", **document}, None)
    finally:
        incoming.abort()


def form(*parts, boundary=b"boundary"):
    """A multipart body of (content disposition, content) pairs, and its content type."""
    pieces = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, disposition.encode(), content)
        for disposition, content in parts
    ]
    return b"".join((*pieces, b"--%b--\r\n" % boundary)), f"multipart/form-data; boundary={boundary.decode()}"


def post(url, path, body, content_type):
    """The status and the JSON that the server answers."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    with closing(connection):
        connection.request("POST", path, body, {"content-type": content_type})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def add_run(world, *, reads):
    """Store a queued run that reads this file; call what comes back to cancel it."""
    runs = SqlRuns(world.database)
    run = runs.add(
        Run(
            id=world.ids.new("run"),
            eval_id="eval_1",
            project="default",
            name="",
            status="queued",
            model=None,
            created_at=world.clock.now(),
            data_source={},
            source_blob=world.file_store.get("default", reads, now=world.clock.now()).blob,
            metadata={},
        ),
        None,
    )
    return lambda: runs.cancel(run, now=world.clock.now())
