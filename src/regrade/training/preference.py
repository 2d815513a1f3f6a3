"""Direct preference optimization: the preferred answer becomes likelier than the other, measured from the base."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from regrade.training.arguments import common
from regrade.training.encoding import Pair
from regrade.training.loading import load, lora
from regrade.training.plan import Plan
from regrade.training.prepared import Job, Prepared, lengths, read_encoded
from regrade.types.json import JsonObject

_NAMES = {
    "loss": "loss",
    "mean_token_accuracy": "mean_token_accuracy",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    # Both can fall while the margin grows: a model that unlearns to write still prefers.
    "logps/chosen": "preferred_logprob",
    "logps/rejected": "non_preferred_logprob",
}


class _OnTokens(DPOTrainer):  # type: ignore[misc]  # trl has no types
    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # rows are tokens already


def prepare(job: Job) -> Prepared:
    """Encode the pairs."""
    rows = read_encoded(job, job.folder.train_file, job.encoder.pair)
    valid = read_encoded(job, job.folder.valid_file, job.encoder.pair)
    tokens, longest = lengths(
        [row.prompt_ids + answer for row in rows for answer in (row.chosen_ids, row.rejected_ids)]
    )
    return Prepared(
        make=lambda plan: (_trainer(job, plan, rows, valid), translate),
        rows=len(rows),
        valid_rows=len(valid),
        tokens=tokens,
        rows_cut=sum(row.cut for row in rows),
        longest=2 * longest,
    )


def _trainer(job: Job, plan: Plan, rows: Sequence[Pair], valid: Sequence[Pair]) -> Any:
    base, spec = job.base, job.spec
    arguments = DPOConfig(
        **common(spec, plan, job.folder),
        per_device_eval_batch_size=plan.rows_at_once,
        lr_scheduler_type="cosine",
        beta=spec.beta,
        max_length=None,
    )
    return _OnTokens(
        model=base.model,
        ref_model=None if spec.tuning == "lora" else load(spec).model,
        args=arguments,
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(valid) if valid else None,
        processing_class=base.tokenizer,
        peft_config=lora(spec),
    )


def translate(logs: JsonObject) -> JsonObject:
    """The API's names."""
    found: JsonObject = {}
    for key, name in _NAMES.items():
        if key in logs:
            found[f"train_{name}"] = logs[key]
        if f"eval_{key}" in logs:
            found[f"valid_{name}"] = found[f"full_valid_{name}"] = logs[f"eval_{key}"]
    return found | {key: logs[key] for key in ("grad_norm", "learning_rate") if key in logs}


def _dataset(rows: Sequence[Pair]) -> Any:
    return Dataset.from_dict(
        {name: [getattr(row, name) for row in rows] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
    )
