"""Models that were trained here: folders of their own, and LoRA adapters on a base."""

import asyncio
import time

import pytest

pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.local.conftest import Place, chat, said
from regrade.core.errors import ModelError
from tiny_models import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks for it

TUNED = "ft:tiny:default::abcdefgh"


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    """A LoRA adapter that changes what the model says."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny):
    place = Place(tmp_path_factory.mktemp("place"))
    place.name(tiny=tiny)
    with place.engine():
        yield place


def test_a_tuned_model_answers_under_its_name(place, tmp_path):
    place.tuned.put(TUNED, make_tiny(tmp_path / "tuned", seed=9))
    base, tuned = place.ask(chat(temperature=0), chat(model=TUNED, temperature=0))
    assert tuned.model == TUNED
    assert said(tuned) != said(base)


def test_an_adapter_answers_as_its_weights_say(place, tiny, adapter):
    place.tuned.put(TUNED, tiny, adapter)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapter).eval()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        written = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    base, tuned = place.ask(chat(temperature=0, max_tokens=12), chat(model=TUNED, temperature=0, max_tokens=12))
    assert said(tuned) == tokenizer.decode(written, skip_special_tokens=True)
    assert said(tuned) != said(base)


def test_a_tuned_model_that_comes_and_goes_is_known_soon(place, tiny):
    place.tuned.models.clear()

    async def lived():
        async with place.models() as models:
            with pytest.raises(ModelError, match="does not exist"):
                await models.ask(chat(model=TUNED))
            place.tuned.put(TUNED, tiny)
            assert said(await models.ask(chat(model=TUNED)))
            assert TUNED in [each.name for each in await asyncio.to_thread(models.served)]
            place.tuned.remove(TUNED)
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    await models.ask(chat(model=TUNED))
                except ModelError as error:
                    return error
                await asyncio.sleep(0.1)
            return None

    assert asyncio.run(lived()).status == 404
