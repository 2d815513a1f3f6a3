"""A model's folder as others can use it: weights, tokenizer and model card, and nothing of its trainer's."""

import shutil
from pathlib import Path

from regrade.core.training_job import CheckpointSaved, Metrics, Started
from regrade.training.job import COMPLETE, RECOVERY, JobFolder, sync_tree
from regrade.training.model_card import model_card
from regrade.types.json import JsonObject

CARD = "README.md"
_OF_TRAINERS = (
    COMPLETE,
    RECOVERY,
    "optimizer*",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*",
    "trainer_state.json",
    "training_args.bin",
    "trainer.*",
    ".*",
)


def export(source: Path, target: Path, *, card: str) -> int:
    """Copy a model's folder and return its bytes; `card` is for folders without one.

    `target` is there when it is whole. Raises OSError; FileExistsError where `target` holds something already.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} holds something already.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.export")
    shutil.rmtree(draft, ignore_errors=True)  # of an export that was ended in the middle
    try:
        shutil.copytree(source, draft, ignore=shutil.ignore_patterns(*_OF_TRAINERS))
        if not (draft / CARD).exists():
            (draft / CARD).write_text(card, encoding="utf-8")
        sync_tree(draft)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return sum(each.stat().st_size for each in target.rglob("*") if each.is_file())


def checkpoint_card(folder: Path, name: str, step: int) -> str:
    """The card of a checkpoint, from what its job was and has told."""
    job = JobFolder(folder)
    rate, metrics, offset = 0.0, dict[str, object](), 0
    while True:
        told = job.told(offset)
        for event in told.events:
            match event:
                case Started():
                    rate = event.learning_rate
                case Metrics() | CheckpointSaved() if event.step == step:
                    metrics |= event.metrics
                case _:
                    pass
        if told.offset == offset:
            break
        offset = told.offset
    card = model_card(job.spec(), rate, metrics)
    return card.replace(f"# {job.spec().model_name}\n", f"# {name}\n\nThe checkpoint of step {step}.\n", 1)


def base_card(name: str, config: JsonObject) -> str:
    """The card of a base model that has none."""
    kind = config.get("model_type", "unknown")
    about = f"A base model of a Regrade server, of the type `{kind}`."
    return f"---\nlibrary_name: transformers\n---\n\n# {name}\n\n{about}\n"
