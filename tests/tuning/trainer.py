"""A child that speaks the job directory's contract and learns nothing: for how jobs live, not for what they learn.

`python trainer.py JOBDIR`, as `[training] launch` starts it. What it does is told by the base model's folder: a
file `script.json` with `step_s` (how long a step takes), `fails` (a message to fail with), `dies_at` (a step),
`silent` (it cannot begin), `sees` (rows may have images), or `shows` (a variable of its environment, which it
tells).
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from regrade.core.training_job import (
    CheckpointRemoved,
    CheckpointSaved,
    Done,
    Failed,
    Message,
    Metrics,
    Paused,
    Started,
    Validation,
)
from regrade.training.job import JobFolder

KEPT = 3


def main(folder: JobFolder) -> int:
    spec = folder.spec()
    script = json.loads((Path(spec.base_path) / "script.json").read_bytes())
    rows = sum(1 for _ in folder.train_file.open())
    steps_an_epoch = -(-rows // spec.batch_size)
    total = steps_an_epoch * spec.n_epochs
    first = max(folder.complete_checkpoints(), default=0)
    tell = Teller(folder)
    if script.get("silent"):
        print("There is no such device.")
        return 3
    tell(
        Started,
        pid=os.getpid(),
        from_step=first,
        total_steps=total,
        learning_rate=1e-3,
        parameters=10,
        trained_parameters=10,
        train_rows=rows,
        valid_rows=0,
        tokens=rows * 7,
        rows_cut=0,
    )
    if "shows" in script:
        tell(Message, level="info", message=f"{script['shows']}={os.environ.get(script['shows'])}")
    if "fails" in script:
        tell(Failed, code="out_of_memory", message=script["fails"])
        tell(Failed, code="server_error", message="Connection closed by peer.")  # as another process sees that
        return 1
    for step in range(first + 1, total + 1):
        time.sleep(script.get("step_s", 0.01))
        if step == script.get("dies_at") and not (folder.path / "died").exists():
            (folder.path / "died").touch()
            os.kill(os.getpid(), 9)
        metrics = {"train_loss": 3.0 / step, "train_mean_token_accuracy": 0.5}
        if spec.method == "reinforcement":
            metrics = {"train_mean_reward": step / total}
        tell(Metrics, step=step, total_steps=total, trained_tokens=step * 7, metrics=metrics)
        if spec.method == "reinforcement" and (step % spec.eval_interval == 0 or step == total):
            validate(folder, tell, step, total)
        pausing = folder.pause_is_asked()
        if pausing or step % steps_an_epoch == 0 or spec.method == "reinforcement":
            save(folder, tell, step, metrics, kept=KEPT if spec.method != "reinforcement" else total)
        if pausing:
            tell(Paused, step=step)
            return 75
    shutil.copytree(spec.base_path, folder.model, dirs_exist_ok=True)
    tell(Done, step=total, trained_tokens=total * 7)
    return 0


def validate(folder: JobFolder, tell, step: int, total: int) -> None:
    """Samples of which the more are right the later it is."""
    items = [json.loads(line)["item"] for line in folder.valid_file.read_text().splitlines()]
    right = round(len(items) * step / total)
    answers = [item["answer"] if n < right else "wrong" for n, item in enumerate(items)]
    rows = [{"item": item, "sample": completion(answer)} for item, answer in zip(items, answers, strict=True)]
    name = folder.write_samples(step, rows)
    tell(Validation, step=step, metrics={"full_valid_mean_parse_error": 0.0}, rows=name)


def completion(text: str) -> dict:
    message = {"role": "assistant", "content": text}
    return {"model": "sampled", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def save(folder: JobFolder, tell, step: int, metrics: dict, *, kept: int) -> None:
    checkpoint = folder.checkpoint(step)
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "config.json").write_text("{}")
    folder.mark_complete(step)
    tell(CheckpointSaved, step=step, path=f"checkpoints/step-{step}", metrics={"step": step, **metrics})
    for old in folder.complete_checkpoints()[:-kept]:
        folder.remove_checkpoint(old)
        tell(CheckpointRemoved, step=old)


class Teller:
    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder

    def __call__(self, kind, **values) -> None:
        self._folder.append([kind(at=int(time.time()), **values)])


if __name__ == "__main__":
    sys.exit(main(JobFolder(Path(sys.argv[1]))))
