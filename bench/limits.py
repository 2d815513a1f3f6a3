"""How well processes share the limits of an endpoint: what the endpoint gets, against what it allows.

    python bench/limits.py [PROCESSES] [SECONDS]

For each limit, one process has all the calls first, then another one has them, then all do; the others are idle.
`use` is the mean of what the endpoint got against the limit, without the first two seconds of each part; `most` is
the most in any ten seconds (of what is in flight: at any moment). The endpoint (tests/upstream.py) is a process of
its own.
"""

import argparse
import tempfile
import time
from pathlib import Path

import processes  # noqa: F401 - makes tests/ importable

from fleets import fleet, mean_at_once, most_at_once, rates
from upstream import upstream

SETTLING = 2.0
TOKENS = 4_000


def measured(count, seconds, model, at_once, **limits):
    """(what the part is called, calls that ended, when it began and ended by the endpoint's clock) of each part."""
    with tempfile.TemporaryDirectory() as folder, upstream() as up:
        with fleet(Path(folder), up.url, count, **limits) as askers:
            parts = []
            loads = (("one has all calls", askers[:1]), ("another one has", askers[1:2]), ("all have", askers))
            for name, busy in loads:
                began = time.monotonic()
                for asker in busy:
                    asker.ask(model=model, at_once=at_once, seconds=seconds)
                time.sleep(seconds)
                parts.append((name, began, began + seconds))
            for asker in askers:
                asker.ended()
        return parts, up.calls()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("processes", type=int, nargs="?", default=3)
    arguments.add_argument("seconds", type=float, nargs="?", default=14.0)
    given = arguments.parse_args()
    print(f"{given.processes} processes, {given.seconds:g} seconds a part")

    parts, calls = measured(given.processes, given.seconds, "echo@slow=0.5", 60, max_concurrency=40)
    for name, began, ended in parts:
        print(f"40 at once           {name:18} use {mean_at_once(calls, began + SETTLING, ended) / 40:.2f}")
    print(f"40 at once           most {most_at_once(calls) / 40:.2f}")

    for name, limit, model, limits, of in (
        ("20 requests/s", 20.0, "echo", {"requests_per_minute": 1200}, lambda _: 1.0),
        ("4000 tokens/s", float(TOKENS), "long=300", {"tokens_per_minute": 60 * TOKENS}, lambda call: call[3]),
    ):
        parts, calls = measured(given.processes, given.seconds, model, 20, **limits)
        for part, began, ended in parts:
            window = ended - began - SETTLING
            use = rates(calls, window=window, of=of, begin=began + SETTLING, end=ended)[0] / limit
            print(f"{name:20} {part:18} use {use:.2f}")
        print(f"{name:20} most in ten seconds {max(rates(calls, window=10, of=of)) / limit:.2f}")


if __name__ == "__main__":
    main()
