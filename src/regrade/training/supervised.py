"""Supervised training: the loss is on what the assistant says."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from regrade.core.jsontext import dumps
from regrade.training.arguments import common
from regrade.training.encoding import IGNORED, Encoded
from regrade.training.failures import TrainingError
from regrade.training.loading import lora
from regrade.training.plan import Plan
from regrade.training.prepared import Job, Prepared, lengths, read_encoded
from regrade.training.vision import Seer
from regrade.types.json import JsonObject

_NAMES = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "eval_loss": "full_valid_loss",
    "eval_mean_token_accuracy": "full_valid_mean_token_accuracy",
}


def prepare(job: Job) -> Prepared:
    """Encode the rows. Raises TrainingError where nothing is left to learn once long rows are cut."""
    if job.base.processor is not None:
        return _prepare_seen(job, Seer(job.encoder, job.base.processor))
    rows = read_encoded(job, job.folder.train_file, job.encoder.supervised)
    valid = read_encoded(job, job.folder.valid_file, job.encoder.supervised)
    if not any(label != IGNORED for row in rows for label in row.labels):
        raise TrainingError(
            "invalid_training_file",
            f"Every answer lies beyond the first {job.base.max_length:,} tokens of its row, where rows are cut.",
        )
    tokens, longest = lengths([row.input_ids for row in rows])
    return Prepared(
        make=lambda plan: (_trainer(job, plan, _columns(rows), _columns(valid)), translate),
        rows=len(rows),
        valid_rows=len(valid),
        tokens=tokens,
        rows_cut=sum(row.cut for row in rows),
        longest=longest,
    )


def _prepare_seen(job: Job, seer: Seer) -> Prepared:
    """Rows of a vision model are kept as they are; the batch makes them into inputs."""
    sizes = read_encoded(job, job.folder.train_file, seer.length)
    if max(sizes) > job.base.context:
        raise TrainingError(
            "invalid_training_file",
            f"Row {sizes.index(max(sizes)) + 1} of the training file has {max(sizes):,} tokens with its images; "
            f"the model sees {job.base.context:,}, and rows of vision models are not cut.",
        )
    rows, valid = (
        read_encoded(job, path, lambda row: {"row": dumps(row).decode()})
        for path in (job.folder.train_file, job.folder.valid_file)
    )
    return Prepared(
        make=lambda plan: (_trainer(job, plan, rows, valid, seer), translate),
        rows=len(rows),
        valid_rows=len(valid),
        tokens=sum(sizes),
        rows_cut=0,
        longest=max(sizes),
    )


def _columns(rows: Sequence[Encoded]) -> list[JsonObject]:
    return [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]


def _trainer(
    job: Job, plan: Plan, rows: Sequence[JsonObject], valid: Sequence[JsonObject], seer: Seer | None = None
) -> Any:
    base = job.base
    arguments = SFTConfig(
        **common(job.spec, plan, job.folder),
        per_device_eval_batch_size=plan.rows_at_once,
        lr_scheduler_type="cosine",
        max_length=base.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=seer is None,
    )
    return SFTTrainer(
        model=base.model,
        args=arguments,
        data_collator=seer,
        train_dataset=Dataset.from_list(list(rows)),
        eval_dataset=Dataset.from_list(list(valid)) if valid else None,
        processing_class=base.processor or base.tokenizer,
        peft_config=lora(job.spec),
    )


def translate(logs: JsonObject) -> JsonObject:
    """The API's names. A validation sees the whole file, so both of its losses are the same number."""
    found = {name: logs[key] for key, name in _NAMES.items() if key in logs}
    for name in ("valid_loss", "valid_mean_token_accuracy"):
        if f"full_{name}" in found:
            found[name] = found[f"full_{name}"]
    return found
