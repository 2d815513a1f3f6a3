"""Real models for tests of local models: Llama-type, two layers of 64, random, made in a second."""

from pathlib import Path

TEXTS = [
    'The quick brown fox jumps over the lazy dog. {"name": "arguments", "score": 1.5, "label": "yes"}',
    "<tool_call></tool_call> user assistant system Hello, how are you today? Ünïcödé 日本語 😀",
]
TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "Answer with <tool_call>...</tool_call><|im_end|>\n{% endif -%}"
    "{%- for message in messages %}"
    "{%- if message.role not in ('system', 'user', 'assistant', 'tool') %}"
    "{{ raise_exception('Only system, user, assistant and tool are roles') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor -%}"
    "<|im_end|>\n{% endfor -%}{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny(
    folder: Path, *, seed: int = 0, chat: bool = True, template: str = TEMPLATE, context: int = 512, width: int = 64
) -> Path:
    """Write a model in Hugging Face's layout; equal arguments make equal models."""
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = _tokenizer(context)
    if chat:
        tokenizer.chat_template = template
    torch.manual_seed(seed)
    model = LlamaForCausalLM(llama(tokenizer, context=context, width=width))
    # A random model is nearly indifferent: this makes it say what it says loudly, so that tests see differences.
    with torch.no_grad():
        model.lm_head.weight.mul_(8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama(tokenizer, *, context: int, width: int):
    """The shape of the model; grouped attention, as most have it now."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer) + 5,  # as many models, it knows more tokens than texts have
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenizer(context: int):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=learned, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=context
    )
