"""What a long run costs the store, and whether reading it stays quick: rows in, graded, then pages of it.

    python bench/growth.py [ROWS ...]              # model-free
    python bench/growth.py --sampled [ROWS ...]    # asks the stand-in of a model for each row

For each size: rows a second, bytes of the databases a row, and the medians of what lists and the report take.
"""

import argparse
import http.client
import statistics
import tempfile
import time
from functools import partial
from http.client import OK
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil
from processes import peak_mib, serving, workers
from texts import CONFIG, CRITERIA, write_rows

from inference import AT_ONCE
from sampling import ASK, ENDPOINT, SAYS
from sampling import CONFIG as SAMPLED_CONFIG
from upstream import upstream

_LOOKS = 15
_EXPORTED = 20_000


def milliseconds(look) -> float:
    """The median of some looks, the first one left out."""
    took = []
    for _ in range(_LOOKS + 1):
        started = time.perf_counter()
        look()
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took[1:])


def graded(client, rows: int, source: Path):
    """A run over rows that bring their answers."""
    file = client.files.create(file=source.open("rb"), purpose="evals")
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=CRITERIA)
    data_source = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    return ended(client, client.evals.runs.create(eval_.id, data_source=data_source), rows)


def sampled(client, rows: int, source: Path):
    """A run that asks for every answer."""
    with source.open("wb") as lines:
        for n in range(rows):
            lines.write(b'{"item": {"text": "What is the sum of %d and %d? Answer alone."}}\n' % (n, n + 1))
    file = client.files.create(file=source.open("rb"), purpose="evals")
    eval_ = client.evals.create(data_source_config=SAMPLED_CONFIG, testing_criteria=[SAYS])
    source = {"type": "file_id", "id": file.id}
    data_source = {"type": "completions", "model": "echo", "input_messages": ASK, "source": source}
    return ended(client, client.evals.runs.create(eval_.id, data_source=data_source), rows)


def ended(client, run, rows: int):
    while run.status in ("queued", "in_progress"):
        time.sleep(0.2)
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    if run.result_counts.total != rows or run.result_counts.errored:
        raise SystemExit(f"the run went wrong: {run.status} {run.error} {run.result_counts}")
    return run


class Reader:
    """Reads over one kept connection, as bytes: what the SDK makes of them is the client's time."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != OK:
            raise SystemExit(f"{path} was answered with {response.status}: {body[:500]!r}")
        return body


def exported(reader: Reader, items: str) -> float:
    """Items a second of reading page after page."""
    started = time.perf_counter()
    count, after = 0, ""
    while count < _EXPORTED:
        page = orjson.loads(reader.get(f"{items}?limit=100{after}"))
        count += len(page["data"])
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    return count / (time.perf_counter() - started)


def read(url: str, run) -> str:
    """What lists, the run, its report and an export take."""
    reader = Reader(url)
    path = f"/v1/evals/{run.eval_id}/runs/{run.id}"
    items = f"{path}/output_items"
    last = orjson.loads(reader.get(f"{items}?limit=100&order=desc"))["last_id"]
    looks = {
        "first page": f"{items}?limit=100",
        "last page": f"{items}?limit=100&after={last}",
        "failed": f"{items}?limit=100&status=fail",
        "run": path,
        "report": urlsplit(run.report_url).path,
    }
    told = ", ".join(f"{name} {milliseconds(partial(reader.get, path)):.1f} ms" for name, path in looks.items())
    return f"{told}; export {exported(reader, items):,.0f} items/s"


def measure(rows: int, work, folder: Path, flags: tuple[str, ...]) -> None:
    """Print one size."""
    data = folder / "data"
    with serving(data, "--log-level", "warning", "--max-file-bytes", "4 GiB", *flags) as server:
        with server.client(timeout=600) as client:
            idle = max(map(peak_mib, workers(server)))
            started = time.perf_counter()
            run = work(client, rows, folder / "rows.jsonl")
            seconds = time.perf_counter() - started
        told = read(server.url, run)
        peak, api = max(map(peak_mib, workers(server))), peak_mib(psutil.Process(server.process.pid))
    ours, engines = ((data / f"{name}.sqlite3").stat().st_size / rows for name in ("regrade", "engine"))
    print(
        f"{rows:,} rows in {seconds:.0f} s, {rows / seconds:,.0f}/s; bytes a row: regrade.sqlite3 {ours:,.0f},"
        f" engine.sqlite3 {engines:,.1f}; peak {peak:.0f} MiB a worker ({peak - idle:+.0f} over idle),"
        f" {api:.0f} MiB the API; {told}",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="*")
    arguments.add_argument("--sampled", action="store_true")
    given = arguments.parse_args()
    for rows in given.rows or [20_000, 60_000, 200_000]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if not given.sampled:
                write_rows(folder / "rows.jsonl", rows)
                measure(rows, graded, folder, ())
                continue
            with upstream("--latency-ms", "20", "--forget") as up:
                config = folder / "regrade.toml"
                config.write_text(ENDPOINT.format(url=up.url, at_once=AT_ONCE))
                measure(rows, sampled, folder, ("--config", str(config)))


if __name__ == "__main__":
    main()
