"""Python graders in the jail: grades a CPU-second of its worker, a whole run, a cold grade, each beside its floor.

python bench/python_graders.py [ROWS]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import openai
import orjson
import psutil
from processes import serving

from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.program import Program
from regrade.sandbox.sandbox import PythonSandbox

TRIVIAL = """
def grade(sample, item):
    return float(sample["output_text"].strip() == item["reference"])
"""
FUZZY = """
import numpy
from rapidfuzz import fuzz
def grade(sample, item):
    return float(numpy.clip(fuzz.WRatio(sample["output_text"], item["reference"]) / 100, 0.0, 1.0))
"""
CONFIG = {
    "type": "custom",
    "item_schema": {"type": "object", "properties": {"reference": {"type": "string"}}, "required": ["reference"]},
    "include_sample_schema": True,
}
EXACT = {
    "type": "string_check", "name": "exact", "operation": "eq", "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}  # fmt: skip
COLD = 41


def rows_of(count: int) -> list[tuple[dict[str, object], dict[str, object]]]:
    """Two small objects of some 200 bytes together a row; the texts are alike, not the same."""
    text = "The refund was sent to the card that paid for it, and takes %d to %d days."
    return [
        ({"output_text": text % (index, 5), "choices": [], "output_json": None}, {"reference": text % (3, index)})
        for index in range(count)
    ]


def in_plain_python(source: str, rows: list[tuple[dict[str, object], dict[str, object]]]) -> float:
    """Grades a CPU-second of the same function in this process, JSON in and out as the jail has it."""
    module: dict[str, object] = {}
    exec(source, module)
    grade = module["grade"]
    lines = [orjson.dumps(row) for row in rows]
    started = time.process_time()
    for line in lines:
        sample, item = orjson.loads(line)
        grade(sample, item)
    return len(rows) / (time.process_time() - started)


async def in_the_jail(
    sandbox: PythonSandbox, source: str, rows: list[tuple[dict[str, object], dict[str, object]]]
) -> tuple[float, float, float]:
    """Grades a CPU-second of the jail's worker, microseconds of this process a grade, MiB of the worker alone."""
    program: Program = sandbox.load(source)
    await program.grade(rows[:1])
    everybody = psutil.Process().children(recursive=True)
    worker = max(everybody, key=lambda process: process.create_time())
    before, own = sum(worker.cpu_times()[:2]), time.process_time()
    for start in range(0, len(rows), 1024):
        await program.grade(rows[start : start + 1024])
    spent, own = sum(worker.cpu_times()[:2]) - before, time.process_time() - own
    memory = worker.memory_full_info().uss / (1 << 20)
    await program.close()
    return len(rows) / spent, own / len(rows) * 1e6, memory


def whole_run(client: openai.OpenAI, file_id: str, criterion: dict[str, object], rows: int) -> float:
    """Rows a second from the request to the end of the run."""
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[criterion])
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file_id}}
    started = time.perf_counter()
    run = client.evals.runs.create(eval_.id, data_source=source)
    while run.status in ("queued", "in_progress"):
        time.sleep(0.02)
        run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
    if run.result_counts.total != rows or run.result_counts.errored:
        raise SystemExit(f"the run went wrong: {run.status} {run.error} {run.result_counts}")
    return rows / (time.perf_counter() - started)


def cold_grade(client: openai.OpenAI) -> float:
    """Milliseconds of the median graders/run, each in a process that did not exist before."""
    body = {"grader": {"type": "python", "source": TRIVIAL}, "model_sample": "x", "item": {"reference": "x"}}
    times = []
    for _ in range(COLD):
        started = time.perf_counter()
        client.post("/fine_tuning/alpha/graders/run", body=body, cast_to=openai.BaseModel)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) * 1000


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=100_000)
    count = arguments.parse_args().rows
    rows = rows_of(count)
    for level in ("strict", "landlock"):
        with tempfile.TemporaryDirectory() as folder:
            sandbox = PythonSandbox(SandboxOptions(directory=Path(folder), level=level, workers=1))
            if sandbox.level == "refuse":
                print(f"{level}: not possible here ({sandbox.reason})")
                continue
            for name, source in (("trivial", TRIVIAL), ("rapidfuzz + numpy", FUZZY)):
                rate, own, memory = asyncio.run(in_the_jail(sandbox, source, rows))
                plain = in_plain_python(source, rows)
                print(
                    f"{level}, {name}: {rate:,.0f} grades a CPU-second of the worker = {rate / plain:.2f} of "
                    f"{plain:,.0f} in plain Python; {own:.1f} CPU-us in the server's half; "
                    f"{memory:.1f} MiB a worker"
                )
            sandbox.close()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.jsonl"
        source.write_bytes(
            b"".join(orjson.dumps({"item": item, "sample": sample}) + b"\n" for sample, item in rows)
        )
        with serving(Path(folder) / "data", "--log-level", "warning") as server, server.client() as client:
            file = client.files.create(file=source.open("rb"), purpose="evals")
            model_free = whole_run(client, file.id, EXACT, count)
            python = {"type": "python", "name": "code", "source": TRIVIAL}
            graded = whole_run(client, file.id, python, count)
            ratio = graded / model_free
            print(f"a run of {count:,} rows: {graded:,.0f}/s = {ratio:.2f} of {model_free:,.0f} model-free")
            print(f"a cold graders/run: {cold_grade(client):.1f} ms at the median of {COLD - 1}")


if __name__ == "__main__":
    main()
