"""One job from its directory to its model: load, encode, train, save; again from any point."""

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from accelerate import PartialState

from regrade.core.training_job import EXIT_DONE, EXIT_PAUSED, Done, Message, Method, Paused, Started
from regrade.training import preference, reinforcement, supervised, wandb_run
from regrade.training.encoding import Encoder
from regrade.training.job import JobFolder
from regrade.training.loading import load, save
from regrade.training.model_card import model_card
from regrade.training.plan import Plan, plan
from regrade.training.prepared import Job, Prepared
from regrade.training.reporting import Reporter, Teller, remove_leftovers

_PREPARE: Mapping[Method, Callable[[Job], Prepared]] = {
    "supervised": supervised.prepare,
    "dpo": preference.prepare,
    "reinforcement": reinforcement.prepare,
}


def train(folder: JobFolder, teller: Teller, asked_to_pause: Callable[[], bool]) -> int:
    """Train the job to its end, or to where it is paused; the exit code.

    Raises TrainingError, or what the libraries raise, where it fails.
    """
    spec = folder.spec()
    state = PartialState()
    if teller.tells:
        remove_leftovers(folder)
    state.wait_for_everyone()
    base = load(spec)
    encoder = Encoder(
        base.tokenizer,
        max_length=base.max_length,
        eos_ids=base.eos_ids,
        effort=spec.reasoning_effort,
        vision=base.processor is not None,
    )
    job = Job(spec=spec, folder=folder, base=base, encoder=encoder, teller=teller)
    prepared = _PREPARE[spec.method](job)
    numbers = plan(
        spec,
        rows=prepared.rows,
        longest=prepared.longest,
        parameters=base.parameters,
        processes=state.num_processes,
    )
    if spec.wandb is not None and teller.tells:
        wandb_run.begin(spec.wandb, folder)
    trainer, translate = prepared.make(numbers)
    reporter = Reporter(
        trainer,
        spec,
        numbers,
        teller,
        translate=translate,
        tokens=lambda step: _trained_tokens(trainer, prepared, numbers, step),
        asked_to_pause=asked_to_pause,
        validates=prepared.valid_rows > 0,
    )
    trainer.add_callback(reporter)
    done = folder.complete_checkpoints()
    _tell_start(job, prepared, numbers, trainer, from_step=done[-1] if done else 0)
    trainer.train(resume_from_checkpoint=str(folder.checkpoint(done[-1])) if done else None)
    if reporter.paused_at is not None:
        teller.tell(Paused, step=reporter.paused_at)
        return EXIT_PAUSED
    tokens = _trained_tokens(trainer, prepared, numbers, numbers.total_steps)
    _publish(job, trainer, numbers.learning_rate, reporter)
    teller.tell(Done, step=numbers.total_steps, trained_tokens=tokens)
    return EXIT_DONE


def _tell_start(job: Job, prepared: Prepared, numbers: Plan, trainer: Any, *, from_step: int) -> None:
    job.teller.tell(
        Started,
        pid=os.getpid(),
        from_step=from_step,
        total_steps=numbers.total_steps,
        learning_rate=numbers.learning_rate,
        parameters=job.base.parameters,
        trained_parameters=sum(each.numel() for each in trainer.model.parameters() if each.requires_grad),
        train_rows=prepared.rows,
        valid_rows=prepared.valid_rows,
        tokens=prepared.tokens,
        rows_cut=prepared.rows_cut,
    )
    if from_step:
        return
    if prepared.rows_cut:
        job.teller.tell(
            Message,
            level="warn",
            message=f"{prepared.rows_cut:,} of {prepared.rows:,} rows had more than {job.base.max_length:,} tokens "
            "and were cut at their end.",
        )
    if numbers.batch_size != job.spec.batch_size:
        job.teller.tell(
            Message,
            level="warn",
            message=f"The batch has {numbers.batch_size} rows instead of {job.spec.batch_size}, so that the job's "
            "processes share it evenly.",
        )


def _trained_tokens(trainer: Any, prepared: Prepared, numbers: Plan, step: int) -> int:
    """Tokens of all rows seen; for reinforcement those of all prompts and answers."""
    if numbers.generations > 1:
        return int(trainer.state.num_input_tokens_seen)
    return round(prepared.tokens * step / numbers.steps_an_epoch)


def _publish(job: Job, trainer: Any, learning_rate: float, reporter: Reporter) -> None:
    making = job.folder.path / "model.new"
    if job.teller.tells:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
    trainer.accelerator.wait_for_everyone()
    save(trainer, job.base, job.spec, making)
    trainer.accelerator.wait_for_everyone()
    if job.teller.tells:
        (making / "README.md").write_text(model_card(job.spec, learning_rate, reporter.last), encoding="utf-8")
        job.folder.publish_model(making)
