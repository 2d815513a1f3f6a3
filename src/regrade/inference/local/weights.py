"""A model from its folder: found, measured before it is loaded, loaded."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from regrade.core.errors import InvalidError
from regrade.core.local_models import Weights
from regrade.inference.local.batch import Batch
from regrade.inference.local.grammars import Grammars
from regrade.inference.local.prompts import TOOL_MARKS

_WEIGHT_FILES = ("*.safetensors", "*.bin")
_BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_ENOUGH_CONTEXT = 1 << 20


@dataclass(slots=True, kw_only=True, eq=False)
class Model:
    """A model in memory, and the answers that it is writing."""

    weights: Weights
    revision: str
    """What the files looked like when they were loaded."""
    tokenizer: Any
    grammars: Grammars
    batch: Batch
    ends: frozenset[int]
    silent: frozenset[int]
    """Tokens that are no part of a text."""
    context: int
    """Tokens that a prompt and its answer may have together."""
    size: int
    users: int = 0
    """Requests that need it now."""
    used_at: float = field(default=0.0)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        spoken = [token for token in tokens if token not in self.silent]
        text: str = self.tokenizer.backend_tokenizer.decode(spoken, skip_special_tokens=False)
        return text

    def piece(self, token: int) -> bytes:
        """A token's own bytes, which may be a part of a character."""
        piece: bytes = self.grammars.piece(token)
        return piece


def device() -> str:
    """Where models run on this machine."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def revision(weights: Weights) -> str | None:
    """Another text after every change of the files; None where they are gone. Models of the hub never change."""
    seen = []
    for place in (weights.path, weights.adapter):
        if place is None or not place.startswith("/"):
            continue
        try:
            found = sorted(
                each for each in Path(place).iterdir() if each.suffix in (".json", ".safetensors", ".bin")
            )
            seen += [f"{each.name} {each.stat().st_mtime_ns} {each.stat().st_size}" for each in found]
        except OSError:
            return None
        if not found:
            return None
    return "\n".join(seen)


def folder_of(name: str, weights: Weights) -> Path:
    """Where the files are, which for a model of the hub may mean to fetch them. Raises InvalidError, or OSError."""
    if not weights.path.startswith("/"):
        from huggingface_hub import snapshot_download

        patterns = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
        return Path(snapshot_download(weights.path, allow_patterns=patterns))
    for place, needed in ((weights.path, "config.json"), (weights.adapter, "adapter_config.json")):
        if place is not None and not (Path(place) / needed).is_file():
            raise InvalidError(
                f"The model '{name}' is to be in the folder {place}, but there is no {needed} on this machine.",
                param="model",
                code="model_not_found",
            )
    return Path(weights.path)


def size_of(folder: Path) -> int:
    """Bytes that the model will take, told by its files."""
    stored = sum(each.stat().st_size for pattern in _WEIGHT_FILES for each in folder.glob(pattern))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    of_files = _BYTES_OF.get(str(config.get("dtype") or config.get("torch_dtype")), 4)
    return stored * _BYTES_OF[_dtype()] // of_files


def load(name: str, weights: Weights, folder: Path, *, memory: int) -> Model:
    """Load the model; `memory` is how many bytes the texts under way may take. Takes seconds.

    Raises InvalidError where the folder holds nothing that the engine can run.
    """
    seen = revision(weights) or ""
    try:
        tokenizer = AutoTokenizer.from_pretrained(_tokenizer_folder(folder, weights), local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, _dtype()), local_files_only=True, attn_implementation="sdpa"
        )
        if weights.adapter is not None:
            model = _adapted(model, weights.adapter)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise _not_loadable(name, reason or type(error).__name__) from error
    model.to(device()).eval().requires_grad_(requires_grad=False)
    _require_decoder(name, model, tokenizer)
    text = model.config.get_text_config(decoder=True)
    per_cell = _bytes_per_cell(text, model.dtype.itemsize)
    ends = _ends(model, tokenizer)
    grammars = Grammars(tokenizer, size=text.vocab_size, ends=sorted(ends))
    plain = (
        not getattr(text, "sliding_window", None) and len(set(getattr(text, "layer_types", None) or ["full"])) == 1
    )
    return Model(
        weights=weights,
        revision=seen,
        tokenizer=tokenizer,
        grammars=grammars,
        batch=Batch(model, grammars, bytes_per_cell=per_cell, plain_mask=plain),
        ends=ends,
        silent=(frozenset(tokenizer.all_special_ids) | ends)
        - frozenset(tokenizer.convert_tokens_to_ids(TOOL_MARKS)),
        context=min(getattr(text, "max_position_embeddings", None) or _ENOUGH_CONTEXT, memory // (2 * per_cell)),
        size=sum(each.nbytes for each in (*model.parameters(), *model.buffers())),
    )


def _tokenizer_folder(folder: Path, weights: Weights) -> Path:
    """Training may have given the adapter a chat template of its own."""
    own = Path(weights.adapter) if weights.adapter else folder
    return own if (own / "tokenizer.json").is_file() else folder


def _adapted(model: Any, adapter: str) -> Any:
    """The model with its LoRA adapter worked in: it runs as fast as any."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def _require_decoder(name: str, model: Any, tokenizer: Any) -> None:
    taken = inspect.signature(model.forward).parameters
    kinds = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"} or not {"past_key_values", "position_ids"} <= set(taken):
        raise _not_loadable(name, f"the engine does not run models of the type {model.config.model_type}")
    if not getattr(tokenizer, "is_fast", False):
        raise _not_loadable(name, "it has no tokenizer.json")


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(each for each in (*listed, tokenizer.eos_token_id) if each is not None)


def _bytes_per_cell(config: Any, itemsize: int) -> int:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * head * itemsize)


def _dtype() -> str:
    """Half of the bytes where the machine calculates with them as quickly."""
    return "bfloat16" if torch.cuda.is_available() else "float32"


def _not_loadable(name: str, reason: str) -> InvalidError:
    return InvalidError(
        f"The model '{name}' cannot be run by the built-in engine: {reason}.",
        param="model",
        code="model_not_loadable",
    )
