"""A small random model with a tokenizer and a chat template of its own: something to train in seconds, anywhere."""

import shutil
from collections.abc import Iterable
from pathlib import Path

MAX_LENGTH = 2048

_END_OF_TURN = "<|im_end|>"
_PAD = "<|endoftext|>"
_VOCABULARY = 768
_HEAD = 32
_TEMPLATE = Path(__file__).with_name("chatml.jinja")


def create_tiny(folder: Path, *, texts: Iterable[str], layers: int, width: int, seed: int) -> int:
    """Write a random Llama-type model and return its number of parameters; the folder is there when it is whole.

    The tokenizer is byte-level BPE learned from `texts`: it can write anything, and what is in them in few tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = _tokenizer(texts)
    heads = max(width // _HEAD, 1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    making = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    model.save_pretrained(making)
    tokenizer.save_pretrained(making)
    making.rename(folder)
    return int(model.num_parameters())


def _tokenizer(texts: Iterable[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - transformers has no types
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    special = [_PAD, "<|im_start|>", _END_OF_TURN]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    learned.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learned, eos_token=_END_OF_TURN, pad_token=_PAD, model_max_length=MAX_LENGTH
    )
    tokenizer.chat_template = _TEMPLATE.read_text(encoding="utf-8")
    return tokenizer
