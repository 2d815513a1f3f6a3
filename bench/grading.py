"""Model-free grading end to end: file in, three graders, items committed; against a bare loop over the file.

python bench/grading.py [ROWS] [--workers 1 2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import orjson
from processes import cpu_seconds, peak_mib, serving, workers
from texts import CONFIG, CRITERIA, write_rows


def floor(source: Path, target: Path) -> float:
    """Rows a second of reading each line, parsing it and writing it out again."""
    rows = 0
    started = time.perf_counter()
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            row = orjson.loads(line)
            out.write(orjson.dumps(row))
            rows += 1
    return rows / (time.perf_counter() - started)


def grade(source: Path, rows: int, count: int, data_dir: Path) -> tuple[float, float, float, float]:
    """Rows a second, CPU-microseconds a row, peak MiB of a worker, and of the same worker while idle."""
    flags = ("--workers", str(count), "--log-level", "warning", "--max-file-bytes", "4 GiB")
    with serving(data_dir, *flags) as server, server.client() as client:
        upload = client.files.create(file=source.open("rb"), purpose="evals")
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=CRITERIA)
        idle = max(map(peak_mib, workers(server)))
        before = cpu_seconds(workers(server))
        started = time.perf_counter()
        data_source = {"type": "jsonl", "source": {"type": "file_id", "id": upload.id}}
        run = client.evals.runs.create(eval_.id, data_source=data_source)
        while run.status in ("queued", "in_progress"):
            time.sleep(0.05)
            run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
        seconds = time.perf_counter() - started
        if run.result_counts.total != rows or run.result_counts.errored:
            raise SystemExit(f"the run went wrong: {run.status} {run.error} {run.result_counts}")
        cpu = cpu_seconds(workers(server)) - before
        return rows / seconds, cpu / rows * 1e6, max(map(peak_mib, workers(server))), idle


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=200_000)
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = write_rows(Path(folder) / "rows.jsonl", given.rows)
        for count in given.workers:
            bare = floor(source, Path(folder) / "floor.jsonl")
            rate, cpu, peak, idle = grade(source, given.rows, count, Path(folder) / f"data-{count}")
            print(
                f"{given.rows:,} rows, {count} worker(s): {rate:,.0f}/s = {rate / bare:.3f} of {bare:,.0f} in a "
                f"bare loop; {cpu:.1f} CPU-us a row; peak {peak:.0f} MiB a worker ({peak - idle:+.0f} over idle)"
            )


if __name__ == "__main__":
    main()
