"""Base models and their tokenizers into memory, and the tuned model out of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from regrade.core.training_job import Spec
from regrade.training.failures import TrainingError

_MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBase:
    """A base model that is ready to be trained."""

    model: Any
    tokenizer: Any
    processor: Any | None
    """What makes images of rows into inputs; None where the model takes none."""
    dtype: Any
    """What its weights are written in on disk."""
    parameters: int
    max_length: int
    """Tokens of a row, at most."""
    context: int
    """Tokens that the model can see."""
    eos_ids: tuple[int, ...]


def load(spec: Spec) -> LoadedBase:
    """The base with its adapter: trained further, or merged where the whole model is trained.

    Raises TrainingError where it cannot be loaded.
    """
    try:
        config = AutoConfig.from_pretrained(spec.base_path)
        vision = getattr(config, "vision_config", None) is not None
        kind = AutoModelForImageTextToText if vision else AutoModelForCausalLM
        model = kind.from_pretrained(spec.base_path, dtype=_dtype(spec, config))
        processor = AutoProcessor.from_pretrained(spec.base_path) if vision else None
        tokenizer = AutoTokenizer.from_pretrained(spec.base_path) if processor is None else processor.tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            "invalid_base_model", f"The base model {spec.base_model} at {spec.base_path} cannot be loaded: {error}"
        ) from error
    if spec.base_adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, spec.base_adapter, is_trainable=spec.tuning == "lora")
        model = model.merge_and_unload() if spec.tuning == "full" else model
    if processor is not None and processor.chat_template:
        tokenizer.chat_template = processor.chat_template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedBase(
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        dtype=getattr(config, "dtype", None) or torch.float32,
        parameters=int(model.num_parameters()),
        max_length=min(spec.max_length or _MOST_TOKENS, _context(config)),
        context=_context(config),
        eos_ids=_eos_ids(model, tokenizer),
    )


def lora(spec: Spec) -> Any | None:
    """The adapter to make, or None where the whole model is trained, or an adapter that is there already."""
    if spec.tuning == "full" or spec.base_adapter is not None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=spec.lora_rank,
        lora_alpha=2 * spec.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def save(trainer: Any, base: LoadedBase, spec: Spec, folder: Path) -> None:
    """Write the tuned model: whole, or the adapter alone.

    Every process of the job calls this; one writes.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        trainer.save_model(str(folder))
    elif trainer.accelerator.is_main_process and spec.tuning == "full":
        # Training is in 32 bits where memory allows; what is served is as the base was.
        model.to(base.dtype).save_pretrained(folder)
    elif trainer.accelerator.is_main_process:
        model.save_pretrained(folder, selected_adapters=["default"])  # DPO has a copy of it, to measure from
    if trainer.accelerator.is_main_process:
        (base.processor or base.tokenizer).save_pretrained(folder)


def _dtype(spec: Spec, config: Any) -> Any:
    """16 bits suffice for what is not trained; what is trained moves by less than they can tell."""
    if spec.tuning == "lora" and torch.cuda.is_available():
        return getattr(config, "dtype", None) or torch.bfloat16
    return torch.float32


def _context(config: Any) -> int:
    return getattr(config.get_text_config(), "max_position_embeddings", None) or _MOST_TOKENS


def _eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every token that ends an answer."""
    found = getattr(model.generation_config, "eos_token_id", None)
    ids = found if isinstance(found, list) else [found]
    return tuple(sorted({each for each in (*ids, tokenizer.eos_token_id) if each is not None}))
