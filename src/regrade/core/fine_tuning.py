"""Fine-tuning jobs as pure functions: names of what they make, how they are answered, and their result file."""

import csv
import io
import re
from collections.abc import Iterable, Mapping

from regrade.core.entities import FineTuningJob, JobCheckpoint, JobEvent
from regrade.core.ids import PREFIXES
from regrade.types.json import JsonObject, JsonValue

ENDED = ("succeeded", "failed", "cancelled")
AUTO = "auto"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME_DIGITS = 8
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_ORGANIZATIONS = re.compile(r"[^a-z0-9-]+")
_MAX_SEED = 2_147_483_647

_HYPERPARAMETERS: Mapping[str, tuple[str, ...]] = {
    "supervised": ("batch_size", "learning_rate_multiplier", "n_epochs"),
    "dpo": ("batch_size", "learning_rate_multiplier", "n_epochs", "beta"),
    "reinforcement": (
        "batch_size",
        "learning_rate_multiplier",
        "n_epochs",
        "eval_interval",
        "eval_samples",
        "compute_multiplier",
        "reasoning_effort",
    ),
}
_WHOLE = ("batch_size", "n_epochs", "eval_interval", "eval_samples")

# The result file's columns: both spellings of the hosted services, then what each method adds.
_COLUMNS: Mapping[str, str] = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
    "train_mean_token_accuracy": "train_mean_token_accuracy",
    "validation_mean_token_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
    "full_valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}
_REINFORCEMENT_COLUMNS: Mapping[str, str] = {
    "step": "step",
    "train_reward_mean": "train_mean_reward",
    "valid_reward_mean": "full_valid_mean_reward",
    "train_reasoning_tokens_mean": "reasoning_tokens_mean",
    "valid_reasoning_tokens_mean": "valid_reasoning_tokens_mean",
}


# -- names and numbers that follow from an id -----------------------------------------------------------------


def seed_of(job_id: str) -> int:
    """The seed of a job that was given none: as random as its id."""
    return _random_part(job_id) % (_MAX_SEED + 1)


def model_name(job: FineTuningJob) -> str:
    """What the tuned model is called: always the same for a job, so that doing it twice makes one model."""
    suffix = _NOT_IN_NAMES.sub("-", job.suffix or "")
    if job.azure:
        return f"{job.base}.ft-{job.id.removeprefix(PREFIXES['job'])}{f'-{suffix}' if suffix else ''}"
    return f"ft:{job.base}:{organization(job.project)}:{suffix}:{_base62(_random_part(job.id))}"


def checkpoint_name(job: FineTuningJob, step: int) -> str:
    """What the checkpoint of a step is called as a model."""
    return f"{model_name(job)}:ckpt-step-{step}"


def organization(project: str) -> str:
    """The project's name as part of a model's."""
    return _NOT_IN_ORGANIZATIONS.sub("-", project.lower())


def _random_part(job_id: str) -> int:
    return int(job_id[-16:], 16)


def _base62(number: int) -> str:
    digits = ""
    for _ in range(_NAME_DIGITS):
        number, digit = divmod(number, len(_BASE62))
        digits += _BASE62[digit]
    return digits


# -- as answered ----------------------------------------------------------------------------------------------


def block_of(method: JsonObject) -> JsonObject:
    """The block of a method in normal form that has a meaning: the one of its type."""
    block: JsonObject = method[method["type"]]
    return block


def with_defaults(kind: str, given: JsonObject) -> JsonObject:
    """The hyperparameters of a method as answered before its files are known."""
    found = {name: AUTO if given.get(name) is None else given[name] for name in _HYPERPARAMETERS[kind]}
    if found.get("reasoning_effort") == AUTO:
        found["reasoning_effort"] = "default"
    return {**given, **found}


def resolved(method: JsonObject, numbers: Mapping[str, JsonValue]) -> JsonObject:
    """The method with numbers in place of `auto`."""
    kind, block = method["type"], block_of(method)
    found = {
        name: numbers[name] if block["hyperparameters"][name] == AUTO else block["hyperparameters"][name]
        for name in _HYPERPARAMETERS[kind]
    }
    for name in _WHOLE:
        if name in found:
            found[name] = int(found[name])
    return {**method, kind: {**block, "hyperparameters": {**block["hyperparameters"], **found}}}


def chat_format(response_format: JsonObject | None) -> JsonObject | None:
    """The response format as chat completions take it; None where answers are free."""
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_schema", "schema": schema}:  # as on Azure
            name, strict = response_format.get("name", "answer"), response_format.get("strict", True)
            inner = {"name": name, "schema": schema, "strict": strict}
            return {"type": "json_schema", "json_schema": inner}
        case _:
            return response_format


def job_document(job: FineTuningJob) -> JsonObject:
    """A job as answered."""
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "model": job.model,
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": f"org-{organization(job.project)}",
        "status": job.status,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "result_files": [job.result_file] if job.result_file else [],
        "trained_tokens": job.trained_tokens,
        "error": job.error,
        "seed": job.seed,
        "estimated_finish": job.estimated_finish,
        "integrations": job.integrations,
        "method": job.method,
        "hyperparameters": block_of(job.method)["hyperparameters"],
        "metadata": job.metadata,
        "user_provided_suffix": job.suffix,
        "usage_metrics": None,
        "shared_with_openai": False,
        "eval_id": job.eval_id,
        **job.extra,
    }


def event_document(event: JobEvent) -> JsonObject:
    """An event as answered."""
    return {
        "object": "fine_tuning.job.event",
        "id": event.id,
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": event.data,
    }


def checkpoint_document(checkpoint: JobCheckpoint) -> JsonObject:
    """A checkpoint as answered."""
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": checkpoint.id,
        "created_at": checkpoint.created_at,
        "fine_tuned_model_checkpoint": checkpoint.name,
        "fine_tuning_job_id": checkpoint.job_id,
        "metrics": checkpoint.metrics,
        "step_number": checkpoint.step,
    }


# -- what a job tells -----------------------------------------------------------------------------------------


def step_message(kind: str, metrics: JsonObject) -> str:
    """A step's metrics in the hosted service's words."""
    place = f"Step {metrics['step']}/{metrics['total_steps']}"
    if kind != "reinforcement":
        words = (("training loss", "train_loss"), ("validation loss", "valid_loss"))
        losses = [*words, ("full validation loss", "full_valid_loss")]
        said = ", ".join(f"{word}={metrics[name]:.2f}" for word, name in losses if metrics.get(name) is not None)
        return f"{place}: {said}" if said else place
    words = (("train mean reward", "train_mean_reward"), ("full validation mean reward", "full_valid_mean_reward"))
    rewards = [*words, ("full validation mean parse error", "full_valid_mean_parse_error")]
    said = ", ".join(f"{word}={metrics[name]:.2f}" for word, name in rewards if metrics.get(name) is not None)
    return f"{place} , {said}" if said else place  # the blank before the comma is the hosted service's own


def result_csv(kind: str, steps: Iterable[JsonObject]) -> bytes:
    """The result file: one row a step, empty where a step has no such number."""
    found = list(steps)
    columns = dict(_REINFORCEMENT_COLUMNS if kind == "reinforcement" else _COLUMNS)
    if kind == "dpo":
        known = {*columns.values(), "total_steps"}
        added = sorted({name for step in found for name, value in step.items() if isinstance(value, int | float)})
        columns |= {name: name for name in added if name not in known}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(step.get(name)) for name in columns.values()] for step in found)
    return text.getvalue().encode()


def _cell(value: JsonValue) -> JsonValue:
    return "" if value is None else value
