"""A fine-tuning job as its trainer is told of it."""

from regrade.core.entities import FineTuningJob
from regrade.core.fine_tuning import block_of, chat_format, model_name
from regrade.core.local_models import BaseModel, Weights
from regrade.core.training_job import Grading, Spec, Tuning, Wandb
from regrade.types.json import JsonObject

_SMALL_BYTES = 1 << 30
"""Weights up to this size are trained whole, unless the operator says otherwise; larger ones get an adapter."""


def spec_of(
    job: FineTuningJob, base: BaseModel | None, weights: Weights, *, size: int | None, grading: Grading | None
) -> Spec:
    """What a trainer is to do. `size` is the bytes of the weights, None where they are not here yet."""
    block = block_of(job.method)
    numbers = block["hyperparameters"]
    options = base.training if base else {}
    tuning: Tuning = options.get("tuning") or ("full" if size is not None and size <= _SMALL_BYTES else "lora")
    effort = numbers.get("reasoning_effort")
    optional: JsonObject = {
        name: options[name]
        for name in ("learning_rate", "lora_rank", "rows_at_once", "max_length", "max_completion_tokens")
        if name in options
    }
    optional |= {name: numbers[name] for name in ("beta", "compute_multiplier", "eval_samples") if name in numbers}
    return Spec(
        job_id=job.id,
        method=job.method["type"],
        base_model=job.model,
        base_path=weights.path,
        base_adapter=weights.adapter,
        model_name=model_name(job),
        training_file=job.training_file,
        validation_file=job.validation_file,
        seed=job.seed,
        n_epochs=numbers["n_epochs"],
        batch_size=numbers["batch_size"],
        learning_rate_multiplier=numbers["learning_rate_multiplier"],
        eval_interval=numbers.get("eval_interval") or job.progress["eval_interval"],
        reasoning_effort=None if effort == "default" else effort,
        tuning=tuning,
        response_format=chat_format(block.get("response_format")),
        grading=grading,
        wandb=_wandb(job),
        **optional,
    )


def _wandb(job: FineTuningJob) -> Wandb | None:
    found = next((each["wandb"] for each in job.integrations if each["type"] == "wandb"), None)
    if found is None:
        return None
    return Wandb(
        project=found["project"],
        name=found.get("name") or job.id,
        run_id=found["run_id"],
        entity=found.get("entity"),
        tags=("openai/finetune", f"openai/{job.base}", f"openai/{job.id}", *found.get("tags", ())),
    )
