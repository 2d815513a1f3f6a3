"""The README of a tuned model: what it was made from, and how."""

from pathlib import Path

from regrade.core.training_job import Spec
from regrade.types.json import JsonObject

_HYPERPARAMETERS = (
    "n_epochs",
    "batch_size",
    "learning_rate",
    "beta",
    "compute_multiplier",
    "eval_interval",
    "eval_samples",
    "reasoning_effort",
    "tuning",
    "lora_rank",
    "max_length",
    "seed",
)
_OF_METHOD = {
    "beta": "dpo",
    "compute_multiplier": "reinforcement",
    "eval_samples": "reinforcement",
    "reasoning_effort": "reinforcement",
}


def model_card(spec: Spec, learning_rate: float, metrics: JsonObject) -> str:
    """Markdown with the front matter that the hub reads. `metrics` are those of the last step."""
    known = {**spec.to_json(), "learning_rate": learning_rate}
    chosen = [name for name in _HYPERPARAMETERS if _OF_METHOD.get(name, spec.method) == spec.method]
    if spec.tuning == "full":
        chosen.remove("lora_rank")
    base = spec.base_model if Path(spec.base_path).is_absolute() else spec.base_path
    lines = [
        "---",
        f"base_model: {base}",
        f"library_name: {'peft' if spec.tuning == 'lora' and spec.base_adapter is None else 'transformers'}",
        "tags:",
        "- regrade",
        f"- {spec.method}",
        "---",
        "",
        f"# {spec.model_name}",
        "",
        f"Made from `{spec.base_model}` by the {spec.method} fine-tuning job `{spec.job_id}` of a Regrade server.",
        "",
        f"- Training file: `{spec.training_file}`",
        f"- Validation file: `{spec.validation_file}`" if spec.validation_file else "- Validation file: none",
        "",
        *_table("Hyperparameter", {name: known[name] for name in chosen if known[name] is not None}),
        "",
        *_table("Last step", {name: value for name, value in metrics.items() if isinstance(value, int | float)}),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, values: JsonObject) -> list[str]:
    return [f"| {title} | |", "|---|---|", *(f"| {name} | {_shown(value)} |" for name, value in values.items())]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
