"""The wall of a supervised job against the same bare TRL script, and how long reinforcement waits for a judge.

    python bench/training.py [--rounds N]

Both train the model of `regrade models create-tiny` on the same rows with the same numbers, validations and
checkpoints, each in a process of its own, in turns. The judge answers every sample after 50 milliseconds.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import processes  # noqa: F401 - makes tests/ importable

from grading_route import graders, rewards, said
from regrade.cli.demo import EXAMPLE
from regrade.core.jsontext import dumps, loads
from regrade.core.training_data import Base, normal_form
from regrade.core.training_job import Metrics, Spec
from regrade.training.job import JobFolder
from regrade.training.tiny import create_tiny

ROWS, VALID, EPOCHS, BATCH = 512, 64, 2, 32
RATE = 2e-3

BARE = """
import os, sys
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
base, job, out = sys.argv[1:]
files = {"train": job + "/train.jsonl", "valid": job + "/valid.jsonl"}
rows = load_dataset("json", data_files=files, cache_dir=out)
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
    processing_class=AutoTokenizer.from_pretrained(base),
    train_dataset=rows["train"],
    eval_dataset=rows["valid"],
    args=SFTConfig(
        output_dir=out, num_train_epochs=EPOCHS, seed=1, use_cpu=True, bf16=False, gradient_checkpointing=False,
        per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, dataloader_pin_memory=False,
        learning_rate=RATE, lr_scheduler_type="cosine", warmup_steps=6, assistant_only_loss=True,
        logging_steps=1, eval_strategy="steps", eval_steps=STEPS // 10, save_strategy="epoch",
        report_to=[], disable_tqdm=True,
    ),
)
trainer.train()
trainer.save_model(out + "/model")
"""


def row(n: int) -> dict:
    """A ticket of the example and what it is about."""
    item = TICKETS[n % len(TICKETS)]
    text = f"Ticket {n}: {item}"
    return {
        "messages": [{"role": "user", "content": text[:120]}, {"role": "assistant", "content": f"number {n % 97}"}]
    }


TICKETS = [str(loads(line)) for line in EXAMPLE.with_suffix(".jsonl").read_bytes().splitlines()]


def job(path: Path, base: Path, method: str = "supervised", **given) -> JobFolder:
    """A job directory with the bench's rows."""
    folder = JobFolder(path)
    values = {
        "job_id": "bench", "method": method, "base_model": "tiny", "base_path": str(base), "model_name": "ft:tiny",
        "training_file": "train", "validation_file": "valid", "seed": 1, "n_epochs": EPOCHS, "batch_size": BATCH,
        "learning_rate": RATE, "eval_interval": ROWS // BATCH * EPOCHS // 10, **given,
    }  # fmt: skip
    folder.write_spec(Spec(**values))
    for file, numbers in ((folder.train_file, range(ROWS)), (folder.valid_file, range(ROWS, ROWS + VALID))):
        rows = (row(n) for n in numbers)
        if method == "reinforcement":
            rows = ({"messages": each["messages"][:1], "answer": each["messages"][1]["content"]} for each in rows)
        file.write_bytes(b"".join(dumps(normal_form(each, method, Base())) + b"\n" for each in rows))
    return folder


def timed(*arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr[-3_000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def supervised(folder: Path, base: Path, rounds: int) -> None:
    """Print the job beside the bare script."""
    script = folder / "bare.py"
    numbers = {"EPOCHS": EPOCHS, "BATCH": BATCH, "RATE": RATE, "STEPS": ROWS // BATCH * EPOCHS}
    script.write_text("\n".join(f"{name} = {value}" for name, value in numbers.items()) + BARE)
    ours, bare = [], []
    for n in range(rounds):
        made = job(folder / f"job{n}", base)
        floor = [str(script), str(base), str(made.path), str(folder / f"bare{n}")]
        turns = [(bare, floor), (ours, ["-m", "regrade.training", str(made.path)])]
        for times, arguments in turns if n % 2 else reversed(turns):
            times.append(timed(*arguments))
        print(f"  round {n + 1}: job {ours[-1][0]:.1f} s wall, {ours[-1][1]:.1f} s CPU; "
              f"bare {bare[-1][0]:.1f} s wall, {bare[-1][1]:.1f} s CPU", flush=True)  # fmt: skip
    wall, floor_wall = (statistics.median(each[0] for each in times) for times in (ours, bare))
    cpu, cpu_floor = (statistics.median(each[1] for each in times) for times in (ours, bare))
    print(
        f"supervised, {ROWS} rows, {EPOCHS} epochs: job {wall:.1f} s, bare TRL {floor_wall:.1f} s, "
        f"ratio {wall / floor_wall:.2f}; CPU {cpu:.1f} s and {cpu_floor:.1f} s, ratio {cpu / cpu_floor:.2f}; "
        "asked: at most 1.05"
    )


def reinforcement(folder: Path, base: Path) -> None:
    """Print which share of a reinforcement job's steps is spent waiting for a judge of 50 milliseconds."""
    with graders(lambda samples: rewards([float("1" in said(each)) for each in samples]), delay_s=0.05) as route:
        made = job(folder / "rewarded", base, "reinforcement", batch_size=16, n_epochs=1, max_completion_tokens=24,
                   eval_interval=1_000_000, grading=route.grading)  # fmt: skip
        made.train_file.write_bytes(b"".join(made.train_file.read_bytes().splitlines(keepends=True)[:192]))
        timed("-m", "regrade.training", str(made.path))
    steps = [each.metrics["timing"]["step"] for each in made.told().events if isinstance(each, Metrics)][1:]
    spent = {key: sum(step[key] for step in steps) for key in steps[0]}
    print(
        f"reinforcement, 128 answers a step, judge 50 ms: {spent['full_iteration'] / len(steps):.2f} s a step, "
        f"{spent['grading'] / spent['full_iteration']:.1%} waiting for rewards; asked: less than 10 %"
    )


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    if find_spec("trl") is None:
        print("Fine-tuning is not installed, so nothing is measured: pip install 'regrade[train]'")
        return
    with tempfile.TemporaryDirectory() as place:
        folder, base = Path(place), Path(place) / "tiny"
        create_tiny(base, texts=TICKETS, layers=4, width=192, seed=1)
        supervised(folder, base, rounds)
        reinforcement(folder, base)


if __name__ == "__main__":
    main()
