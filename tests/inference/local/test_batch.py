"""The batch against transformers' own generate(): whoever comes and goes, rows get the tokens they would alone."""

import random

import pytest

torch = pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig, MistralForCausalLM  # noqa: E402

from regrade.inference.local.batch import Batch  # noqa: E402
from regrade.inference.local.grammars import Grammars  # noqa: E402
from regrade.inference.local.rows import Row  # noqa: E402
from regrade.inference.local.sampling import Taste  # noqa: E402
from regrade.inference.local.texts import Text  # noqa: E402

PER_CELL = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, their width, bytes of a float
PLENTY = 1 << 30


@pytest.fixture(scope="module")
def llama(tiny):
    return AutoModelForCausalLM.from_pretrained(tiny).eval()


@pytest.fixture(scope="module")
def windowed(llama):
    """A model that attends to the last eight tokens alone."""
    torch.manual_seed(1)
    shape = {
        key: value for key, value in llama.config.to_dict().items() if key not in ("architectures", "model_type")
    }
    return MistralForCausalLM(MistralConfig(**{**shape, "sliding_window": 8})).eval()


@pytest.fixture(scope="module")
def grammars(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    return Grammars(tokenizer, size=len(tokenizer) + 5, ends=[2])


def prompts(count, longest=40):
    chance = random.Random(5)
    return [[chance.randrange(3, 300) for _ in range(chance.randint(1, longest))] for _ in range(count)]


def rows_of(texts, *, temperature=0.0, limits=None):
    return [
        Row(
            prompt=text,
            limit=limits[index] if limits else 20,
            taste=Taste(temperature=temperature, top_p=1.0, logprobs=None),
            chance=random.Random(index),
            ends=frozenset(),
            text=Text(lambda _: "", [], streams=False),
            matcher=None,
            told=lambda _: None,
        )
        for index, text in enumerate(texts)
    ]


def generated(model, prompt, count):
    """What transformers writes after the prompt, alone."""
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([prompt]), max_new_tokens=count, min_new_tokens=count, do_sample=False, eos_token_id=-1
        )
    return out[0, len(prompt) :].tolist()


def write(batch, rows, *, room=PLENTY, arrivals=None):
    """Let rows arrive as `arrivals` says (how many before each step), until all are written."""
    coming, most = list(rows), 0
    with torch.inference_mode():
        while coming or not batch.idle:
            count = arrivals() if arrivals else len(coming)
            batch.waiting.extend(coming[:count])
            del coming[:count]
            batch.advance(room)
            most = max(most, batch.bytes)
    return most


@pytest.mark.parametrize("kind", ["llama", "windowed"])
def test_rows_that_come_and_go_get_the_tokens_they_would_alone(kind, request, grammars):
    model, texts = request.getfixturevalue(kind), prompts(14)
    chance = random.Random(9)
    limits = [chance.randint(1, 24) for _ in texts]
    rows = rows_of(texts, limits=limits)
    batch = Batch(model, grammars, bytes_per_cell=PER_CELL, plain_mask=kind == "llama")
    write(batch, rows, arrivals=lambda: chance.choice([0, 0, 1, 3]))
    for row, limit in zip(rows, limits, strict=True):
        assert row.written == generated(model, row.prompt, limit)
        assert row.ending == "length"


def test_a_seed_says_the_same_whoever_is_beside_it(llama, grammars):
    texts = prompts(12)
    together, alone = rows_of(texts, temperature=1.0), rows_of(texts, temperature=1.0)
    write(Batch(llama, grammars, bytes_per_cell=PER_CELL, plain_mask=True), together)
    batch = Batch(llama, grammars, bytes_per_cell=PER_CELL, plain_mask=True)
    for row in alone:
        write(batch, [row])
    assert [row.written for row in together] == [row.written for row in alone]


def test_rows_that_find_no_memory_wait_and_lose_nothing(llama, grammars):
    texts = prompts(10)
    rows = rows_of(texts, limits=[60] * 10)
    room = 4 * 128 * PER_CELL
    most = write(Batch(llama, grammars, bytes_per_cell=PER_CELL, plain_mask=True), rows, room=room)
    assert most <= room
    assert [row.written for row in rows] == [generated(llama, text, 60) for text in texts]


def test_cancelled_rows_leave(llama, grammars):
    rows = rows_of(prompts(3), limits=[10_000, 5, 10_000])
    batch = Batch(llama, grammars, bytes_per_cell=PER_CELL, plain_mask=True)
    batch.waiting.extend(rows)
    with torch.inference_mode():
        for _ in range(4):
            batch.advance(PLENTY)
        rows[0].cancel()
        rows[2].cancel()
        for _ in range(4):
            batch.advance(PLENTY)
    assert batch.idle
    assert batch.bytes == 0
    assert rows[1].written == generated(llama, rows[1].prompt, 5)
