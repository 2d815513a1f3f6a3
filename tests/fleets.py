"""Several processes that share the limits of one endpoint, and what the endpoint sees of them."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from databases import engine_of
from regrade.store.database import Database
from regrade.store.tables import metadata

ASKER = Path(__file__).parent / "asker.py"


class Asker:
    """One process; see asker.py."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, ASKER, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_until_ready(self):
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, **order):
        """Begin to ask."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def ended(self):
        """What it says of all that it was told to ask."""
        said, _ = self.process.communicate(timeout=120)
        return json.loads(said)

    def kill(self):
        self.process.kill()
        self.process.communicate()


@contextmanager
def fleet(folder, upstream_url, count, *, database_url="sqlite", projects=None, **limits):
    """So many processes with an endpoint of these limits."""
    database = Database(engine_of(database_url, folder / "regrade.sqlite3"))
    metadata.create_all(database.engine)
    database.close()
    config = folder / "regrade.toml"
    endpoint = {"name": "up", "base_url": upstream_url, "models": ["*"], **limits}
    lines = ["[[endpoints]]", *(f"{key} = {json.dumps(value)}" for key, value in endpoint.items())]
    lines += ["[projects]", *(f'"{name}" = {share}' for name, share in (projects or {}).items())]
    config.write_text("\n".join(lines))
    with ExitStack() as stack:
        askers = [Asker(config, database_url, folder) for _ in range(count)]
        for asker in askers:
            stack.callback(asker.kill)
        for asker in askers:
            asker.wait_until_ready()
        yield askers


def rates(calls, *, window, of=lambda call: 1.0, begin=None, end=None):
    """The sum of `of` over the calls that began in each window, a second; windows move by a tenth of a second."""
    began = sorted((call[0], of(call)) for call in calls)
    first = began[0][0] if begin is None else begin
    last = (began[-1][0] if end is None else end) - window
    found = []
    while first <= last + 1e-9:
        found.append(sum(amount for at, amount in began if first <= at < first + window) / window)
        first += 0.1
    return found


def most_at_once(calls):
    """How many calls were in flight at the same time, at most."""
    level = most = 0
    for _, step in sorted([*((call[1], -1) for call in calls), *((call[0], 1) for call in calls)]):
        level += step
        most = max(most, level)
    return most


def mean_at_once(calls, begin, end):
    """How many calls were in flight between two moments, on average."""
    return sum(max(0.0, min(ended, end) - max(began, begin)) for began, ended, *_ in calls) / (end - begin)
