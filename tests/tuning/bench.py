"""Servers that tune, and what tests ask of them."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from openai import OpenAI

from servers import Server, serving

TRAINER = Path(__file__).with_name("trainer.py")
ENDED = ("succeeded", "failed", "cancelled")
GRADER = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}


def base_model(folder: Path, **script) -> Path:
    """A folder that passes for a model with a chat template, and tells the trainer what to do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"vision_config": {}}' if script.get("sees") else "{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (folder / "script.json").write_text(json.dumps(script))
    return folder


def configure(folder: Path, bases: dict[str, dict], *, launch: str | None = None, training: str = "") -> Path:
    """A regrade.toml with these base models, each with its script."""
    command = launch or f"{sys.executable} {TRAINER} {{job}}"
    lines = [f"[training]\nlaunch = {json.dumps(command)}\n{training}\n"]
    for name, script in bases.items():
        path = base_model(folder / "models" / name, **script)
        lines.append(f'[[base_models]]\nname = "{name}"\npath = "{path}"\n')
    config = folder / "regrade.toml"
    config.write_text("\n".join(lines))
    return config


@contextmanager
def tuning_server(folder: Path, bases: dict[str, dict], *flags: str, **options) -> Iterator[Server]:
    config = configure(folder, bases, **options)
    with serving(folder / "data", "--config", str(config), *flags) as server:
        yield server


def processes_of(job) -> list[psutil.Process]:
    """Everything that trains a job, the launcher among them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(job.id in word for word in process.cmdline()):
                found.append(process)
    return found


def chat_rows(count: int) -> list[dict]:
    return [
        {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"it is {n}"}]}
        for n in range(count)
    ]


def prompt_rows(count: int) -> list[dict]:
    return [{"messages": [{"role": "user", "content": f"say {n}"}], "answer": f"it is {n}"} for n in range(count)]


def upload(client: OpenAI, rows) -> str:
    text = rows if isinstance(rows, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return client.files.create(file=("rows.jsonl", text), purpose="fine-tune").id


def supervised(**numbers) -> dict:
    return {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 5, "n_epochs": 2, **numbers}}}


def reinforcement(**numbers) -> dict:
    hyperparameters = {"batch_size": 5, "n_epochs": 1, "eval_interval": 1, **numbers}
    return {"type": "reinforcement", "reinforcement": {"grader": GRADER, "hyperparameters": hyperparameters}}


def create(client: OpenAI, rows=None, **options):
    """A job on 20 chat rows, unless told otherwise."""
    method = options.pop("method", supervised())
    training_file = upload(client, rows or chat_rows(20))
    return client.fine_tuning.jobs.create(
        **{"model": "base", "training_file": training_file, "method": method, **options}
    )


def wait(client: OpenAI, job, until=ENDED, seconds: float = 90):
    """The job once it is in one of these states."""
    deadline = time.monotonic() + seconds
    while job.status not in until:
        assert time.monotonic() < deadline, f"the job is still {job.status}: {messages(client, job)}"
        assert job.status not in ENDED or job.status in until, (job.status, job.error)
        time.sleep(0.05)
        job = client.fine_tuning.jobs.retrieve(job.id)
    return job


def wait_for_step(client: OpenAI, job, step: int, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while last_step(client, job) < step:
        assert time.monotonic() < deadline, messages(client, job)
        time.sleep(0.05)


def last_step(client: OpenAI, job) -> int:
    return max((data["step"] for data in metrics(client, job)), default=0)


def events(client: OpenAI, job) -> list:
    """All events, the oldest first."""
    return list(client.fine_tuning.jobs.list_events(job.id, limit=100))[::-1]


def messages(client: OpenAI, job) -> list[str]:
    return [event.message for event in events(client, job) if event.type == "message"]


def metrics(client: OpenAI, job) -> list[dict]:
    return [event.data for event in events(client, job) if event.type == "metrics"]
