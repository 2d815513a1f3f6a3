"""Sampled runs end to end, rows in, answers asked, graded, committed; against a bare aiohttp loop in the same run.

    python bench/sampling.py [ROWS]

The upstream (tests/upstream.py) is a process of its own; so are the server and its worker, whose CPU is counted.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from processes import cpu_seconds, peak_mib, serving, workers

from inference import AT_ONCE, bare, measured
from upstream import upstream

CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
SAYS = {
    "type": "string_check",
    "name": "says",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.text}}",
}
JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": "judge",
    "range": [0, 10],
    "input": [{"role": "user", "content": "Rate this, score 7: {{sample.output_text}}"}],
}
ASK = {"type": "template", "template": [{"role": "user", "content": "{{item.text}}"}]}
ENDPOINT = (
    '[[endpoints]]\nname = "up"\nbase_url = "{url}"\nmodels = ["echo", "judge"]\nmax_concurrency = {at_once}\n'
)


def run(client, criteria: list, rows: int) -> float:
    """Seconds of a run over `rows` rows, from its creation to its end."""
    lines = (
        json.dumps({"item": {"text": f"What is the sum of {n} and {n + 1}? Answer alone."}}) for n in range(rows)
    )
    file = client.files.create(file=("rows.jsonl", "\n".join(lines).encode()), purpose="evals")
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=criteria)
    source = {"type": "file_id", "id": file.id}
    data_source = {"type": "completions", "model": "echo", "input_messages": ASK, "source": source}
    started = time.perf_counter()
    made = client.evals.runs.create(eval_.id, data_source=data_source)
    while made.status in ("queued", "in_progress"):
        time.sleep(0.02)
        made = client.evals.runs.retrieve(made.id, eval_id=eval_.id)
    if made.result_counts.passed != rows:
        raise SystemExit(f"the run went wrong: {made.status} {made.error} {made.result_counts}")
    return time.perf_counter() - started


def measure(latency: int, name: str, criteria: list, rows: int, calls: int) -> None:
    """Print one line: a run with these criteria beside `calls` calls of the bare loop."""
    with (
        upstream("--latency-ms", str(latency), "--forget") as up,
        tempfile.TemporaryDirectory() as folder,
    ):
        (Path(folder) / "regrade.toml").write_text(ENDPOINT.format(url=up.url, at_once=AT_ONCE))
        floor_wall, floor_cpu = measured(bare(up.url, calls))
        with serving(Path(folder) / "data", "--log-level", "warning") as server, server.client() as client:
            run(client, criteria, 200)  # connections, imports, the limiter's ramp
            before = cpu_seconds(workers(server))
            wall = run(client, criteria, rows)
            cpu = cpu_seconds(workers(server)) - before
            peak = max(map(peak_mib, workers(server)))
    print(
        f"{latency} ms, {name}: {rows / wall:,.0f} items/s, wall {wall / floor_wall:.2f} of the bare loop's; "
        f"{cpu / rows * 1e3:.2f} CPU-ms an item, {cpu / floor_cpu:.2f} of the loop's; peak {peak:.0f} MiB"
    )


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=5_000)
    rows = arguments.parse_args().rows
    for latency in (50, 0):
        measure(latency, "string_check", [SAYS], rows, rows)
        measure(latency, "string_check and judge", [SAYS, JUDGE], rows, 2 * rows)


if __name__ == "__main__":
    main()
