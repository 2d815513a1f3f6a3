"""Which tokens are learned, on rows made by hand."""

import re

import pytest

from regrade.core.errors import RowError
from regrade.training.encoding import Encoder
from training.jobs import asked

USER = {"role": "user", "content": "yes no"}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
TURNS = {
    "messages": [
        USER,
        {"role": "assistant", "content": "first", "weight": 0},
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {"role": "assistant", "content": "last", "weight": 1},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
}
CALLED = '<tool_call>{"name": "look", "arguments": {"at": 1}}</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture
def encoder(tokenizer):
    return encoder_of(tokenizer)


def encoder_of(tokenizer, template=None, **given):
    from copy import deepcopy

    tokenizer = deepcopy(tokenizer)
    tokenizer.chat_template = template or tokenizer.chat_template
    return Encoder(tokenizer, **{"max_length": 2048, "eos_ids": [tokenizer.eos_token_id], **given})


def learned(tokenizer, encoded):
    return tokenizer.decode([label for label in encoded.labels if label >= 0])


def unmarked(tokenizer):
    return re.sub(r"\{%-? *(end)?generation *-?%\}", "", tokenizer.chat_template)


def test_calls_and_answers_are_learned_but_not_those_of_weight_0(encoder, tokenizer):
    assert learned(tokenizer, encoder.supervised(TURNS)) == f"{CALLED}<|im_end|>last<|im_end|>"


def test_a_template_without_marks_teaches_the_same(encoder, tokenizer):
    assert encoder_of(tokenizer, unmarked(tokenizer)).supervised(TURNS) == encoder.supervised(TURNS)


def test_the_end_of_a_turn_is_learned_where_the_template_leaves_it_out_of_the_answer(encoder, tokenizer):
    template = tokenizer.chat_template.replace(
        "{{- '<|im_end|>' -}}\n{%- endgeneration -%}", "{%- endgeneration -%}\n{{- '<|im_end|>' -}}"
    )
    assert template != tokenizer.chat_template
    assert encoder_of(tokenizer, template).supervised(TURNS) == encoder.supervised(TURNS)


def test_a_template_that_rewrites_the_past_teaches_the_last_answer(tokenizer):
    forgetful = unmarked(tokenizer).replace(
        "{{- text(message.content) -}}", "{{- text(message.content) if loop.last else '...' -}}", 1
    )
    row = {
        "messages": [
            USER,
            {"role": "assistant", "content": "first"},
            USER,
            {"role": "assistant", "content": "last"},
        ]
    }
    encoded = encoder_of(tokenizer, forgetful).supervised(row)
    assert learned(tokenizer, encoded) == "last<|im_end|>"


def test_tokens_are_those_of_the_template(encoder, tokenizer):
    row = asked("broken:phone", "billing")
    text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
    assert encoder.supervised(row).input_ids == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_long_rows_are_cut_at_their_end(tokenizer):
    whole = encoder_of(tokenizer).supervised(TURNS)
    cut = encoder_of(tokenizer, max_length=20).supervised(TURNS)
    assert (cut.input_ids, cut.labels, cut.cut) == (whole.input_ids[:20], whole.labels[:20], True)


def test_a_completion_is_learned_with_its_end(encoder, tokenizer):
    encoded = encoder.supervised({"prompt": "1 + 1 =", "completion": " 2"})
    assert learned(tokenizer, encoded) == " 2<|im_end|>"
    assert tokenizer.decode(encoded.input_ids) == "1 + 1 = 2<|im_end|>"


def test_pairs_share_their_prompt(encoder, tokenizer):
    pair = encoder.pair(
        {
            "messages": [USER],
            "preferred": [{"role": "assistant", "content": "yes"}],
            "non_preferred": [{"role": "assistant", "content": "yesterday"}],
        }
    )
    assert tokenizer.decode(pair.prompt_ids) == "<|im_start|>user\nyes no<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(pair.chosen_ids) == "yes<|im_end|>"
    assert tokenizer.decode(pair.rejected_ids) == "yesterday<|im_end|>"


def test_what_a_template_refuses_is_said(tokenizer):
    strict = "{{ raise_exception('Roles must alternate') }}"
    with pytest.raises(RowError, match="Roles must alternate"):
        encoder_of(tokenizer, strict).supervised(asked("a", "b"))
