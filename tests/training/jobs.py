"""Jobs to train in tests: their directories, their processes, and rows that a tiny model can learn."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="fine-tuning is not installed: pip install 'regrade[train]'")

from regrade.core.jsontext import dumps
from regrade.core.training_data import Base, normal_form
from regrade.core.training_job import Metrics, Spec
from regrade.training.job import JobFolder

WORDS = ["billing:router late:laptop broken:phone", "My invoice is wrong, it is late and dead", "yes no"] * 20
TROUBLES: Mapping[str, str] = {"invoice": "billing", "refund": "billing", "dead": "broken", "waiting": "late"}
PRODUCTS = ("router", "laptop", "phone", "modem")

# Trainers are forked from one process that has imported torch already, which takes seconds.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["regrade.training.run", "regrade.training.__main__"])
for _name, _value in {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(_name, _value)


def ticket(n: int) -> tuple[str, str]:
    """A question and its right answer."""
    word = list(TROUBLES)[n % len(TROUBLES)]
    product = PRODUCTS[n // len(TROUBLES) % len(PRODUCTS)]
    return f"{product} {word}", f"{TROUBLES[word]}:{product}"


def supervised(n: int) -> dict:
    question, answer = ticket(n)
    return asked(question, answer)


def asked(question: object, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": str(question)}, {"role": "assistant", "content": answer}]}


def preference(n: int) -> dict:
    question, answer = ticket(n)
    other = ":".join(reversed(answer.split(":")))
    return {
        "input": {"messages": [{"role": "user", "content": question}]},
        "preferred_output": [{"role": "assistant", "content": answer}],
        "non_preferred_output": [{"role": "assistant", "content": other}],
    }


def prompt(n: int) -> dict:
    return {"messages": [{"role": "user", "content": str(n)}], "answer": "yes"}


def make(
    path: Path, base: Path, rows: Sequence[dict], valid: Sequence[dict] = (), *, vision: bool = False, **given
) -> JobFolder:
    """A job directory; what is not given is small."""
    values = {
        "job_id": "ftjob-1",
        "method": "supervised",
        "base_model": "tiny",
        "base_path": str(base),
        "model_name": "ft:tiny:default::abcdefgh",
        "training_file": "file-train",
        "validation_file": "file-valid" if valid else None,
        "seed": 7,
        "n_epochs": 2,
        "batch_size": 16,
        "eval_interval": 4,
        **given,
    }
    folder = JobFolder(path / "job")
    spec = Spec(**values)
    folder.write_spec(spec)
    for file, given_rows in ((folder.train_file, rows), (folder.valid_file, valid)):
        if given_rows:
            normal = (
                normal_form(row, spec.method, Base(chat="prompt" not in row, vision=vision)) for row in given_rows
            )
            file.write_bytes(b"".join(dumps(row) + b"\n" for row in normal))
    return folder


@contextmanager
def trainer(folder: JobFolder) -> Iterator[multiprocessing.Process]:
    """A trainer at work; killed at the end where it is still there."""
    process = _FORKS.Process(target=_train, args=(str(folder.path),))
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def run(folder: JobFolder) -> int:
    """Train to the end; the exit code."""
    with trainer(folder) as process:
        process.join()
        return process.exitcode


def stop_at(folder: JobFolder, step: int, how: signal.Signals) -> int:
    """Train, signal once this step has been told, wait; the exit code."""
    with trainer(folder) as process:
        while process.is_alive() and step not in metrics(folder):
            time.sleep(0.002)
        os.kill(process.pid, how)
        process.join()
        return process.exitcode


def events(folder: JobFolder, kind: type) -> list:
    return [each for each in folder.told().events if isinstance(each, kind)]


def metrics(folder: JobFolder) -> dict[int, dict]:
    """Numbers by step, as the server keeps them: what is told later counts."""
    return {each.step: each.metrics for each in events(folder, Metrics)}


def weights(folder: Path, name: str = "model.safetensors") -> dict:
    from safetensors.torch import load_file

    return load_file(folder / name)


def log(folder: JobFolder) -> str:
    return folder.log_file.read_text()


def _train(path: str) -> None:
    from regrade.training.__main__ import main

    with JobFolder(Path(path)).log_file.open("ab") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    sys.argv = ["regrade.training", path]
    sys.exit(main())
