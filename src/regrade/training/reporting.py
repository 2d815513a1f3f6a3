"""What a trainer tells of its steps, when it validates and saves, and how it leaves when asked to."""

import math
import shutil
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback

from regrade.core.training_job import CheckpointRemoved, CheckpointSaved, Event, Metrics, Spec
from regrade.ports.system import Clock
from regrade.training.failures import TrainingError
from regrade.training.job import RECOVERY, JobFolder
from regrade.training.plan import Plan
from regrade.types.json import JsonObject

KEPT = 3
_UNGRADED = 8

_GO_ON, _SAVE, _PAUSE = 0, 1, 2

Translate = Callable[[JsonObject], JsonObject]
"""From the trainer's names of numbers to the API's."""


class Teller:
    """Tells events, in the one process of a job that does."""

    def __init__(self, folder: JobFolder, clock: Clock, *, tells: bool) -> None:
        self.folder = folder
        self.tells = tells
        self._clock = clock

    def tell(self, kind: type[Event], **values: Any) -> None:
        """Append one event of this kind."""
        if self.tells:
            self.folder.append([kind(at=self._clock.now(), **values)])


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Sits in the trainer's loop: tells metrics and checkpoints, and decides at each step's end what comes next."""

    def __init__(
        self,
        trainer: Any,
        spec: Spec,
        plan: Plan,
        teller: Teller,
        *,
        translate: Translate,
        tokens: Callable[[int], int],
        asked_to_pause: Callable[[], bool],
        validates: bool,
    ) -> None:
        self._trainer = trainer
        self._spec = spec
        self._plan = plan
        self._teller = teller
        self._translate = translate
        self._tokens = tokens
        self._asked_to_pause = asked_to_pause
        self._validates = validates
        self._checkpoint_every = spec.eval_interval if spec.method == "reinforcement" else plan.steps_an_epoch
        self._saved_at = time.monotonic()
        self._pending: JsonObject | None = None
        self.last: JsonObject = {}
        """Numbers of the last step that was told."""
        self.paused_at: int | None = None
        """The step after which the job paused, where it did."""

    def on_log(self, _args: Any, state: Any, control: Any, logs: JsonObject | None = None, **_: Any) -> None:
        """Tell a step's numbers; where the step is validated too, with those of the validation."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                "server_error",
                f"The loss of step {state.global_step} is not a number: training has diverged. Try a smaller "
                "learning_rate_multiplier.",
            )
        metrics = self._translate(logs)
        if control.should_evaluate:
            self._pending = metrics
        else:
            self._tell(state.global_step, metrics)

    def on_evaluate(self, _args: Any, state: Any, _control: Any, metrics: JsonObject, **_: Any) -> None:
        """Tell a validation's numbers together with the step's own."""
        found = self._translate(metrics)
        self._tell(state.global_step, merged(self._pending or {}, found))
        self._pending = None

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide about validation, checkpoint and pause; the same in all processes of the job."""
        step, last = state.global_step, self._plan.total_steps
        control.should_evaluate = self._validates and (step % self._spec.eval_interval == 0 or step == last)
        control.should_log = control.should_log or step == last
        wish = self._agreed_wish() if step < last else _GO_ON
        control.should_save = step % self._checkpoint_every == 0 or step == last or wish != _GO_ON
        if wish == _PAUSE:
            self.paused_at = step
            control.should_training_stop = True

    def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Give the checkpoint its name once all processes have written their part, and tell of it."""
        accelerator = self._trainer.accelerator
        accelerator.wait_for_everyone()
        if self._teller.tells:
            self._complete(state.global_step)
        accelerator.wait_for_everyone()
        self._saved_at = time.monotonic()

    def _complete(self, step: int) -> None:
        folder = self._teller.folder
        written = folder.checkpoints / f"checkpoint-{step}"
        folder.remove_checkpoint(step)
        (written / "README.md").unlink(missing_ok=True)  # a template of PEFT's that nobody filled in
        shutil.rmtree(written / "ref", ignore_errors=True)  # the adapter that DPO measures from: the base's own
        written.rename(folder.checkpoint(step))
        asked_for = step % self._checkpoint_every == 0 or step in (self._plan.total_steps, self.paused_at)
        if not asked_for:
            (folder.checkpoint(step) / RECOVERY).touch()
        folder.mark_complete(step)
        path = str(folder.checkpoint(step).relative_to(folder.path))
        self._teller.tell(CheckpointSaved, step=step, path=path, metrics=self.last, asked_for=asked_for)
        self._prune(step)

    def _prune(self, newest: int) -> None:
        """Forget all but the newest and, of those that were asked for, the last three, or by reward the best three.

        Reinforcement keeps, besides, what the server has not graded yet.
        """
        folder = self._teller.folder
        complete = folder.complete_checkpoints()
        asked_for = [step for step in complete if not (folder.checkpoint(step) / RECOVERY).exists()]
        if self._spec.method == "reinforcement":
            rewards = folder.rewards()
            best = sorted(rewards, key=lambda step: (rewards[step], step))[-KEPT:]
            kept = {*best, *[step for step in asked_for if step not in rewards][-_UNGRADED:]}
        else:
            kept = set(asked_for[-KEPT:])
        for step in complete:
            if step not in kept and step != newest:
                folder.remove_checkpoint(step)
                self._teller.tell(CheckpointRemoved, step=step)

    def _agreed_wish(self) -> int:
        """What the process that tells wants, or any that was signalled; asked of all in every step."""
        wish = _PAUSE if self._asked_to_pause() else _GO_ON
        if self._teller.tells and time.monotonic() - self._saved_at > self._spec.checkpoint_seconds:
            wish = max(wish, _SAVE)
        accelerator = self._trainer.accelerator
        if accelerator.num_processes == 1:
            return wish
        wishes = accelerator.gather(torch.tensor([wish], device=accelerator.device))
        return int(wishes.max().item())

    def _tell(self, step: int, metrics: JsonObject) -> None:
        self.last = {"step": step, **metrics}
        self._teller.tell(
            Metrics,
            step=step,
            total_steps=self._plan.total_steps,
            trained_tokens=self._tokens(step),
            metrics=metrics,
        )


def merged(one: JsonObject, other: JsonObject) -> JsonObject:
    """Both, where `other` adds to the objects inside `one`."""
    found = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            found[key] = merged(one[key], other[key])
    return found


def remove_leftovers(folder: JobFolder) -> None:
    """Remove what a killed trainer left behind: checkpoints that it had not finished."""
    folder.remove_torn()
    for torn in folder.checkpoints.glob("checkpoint-*"):
        shutil.rmtree(torn, ignore_errors=True)
