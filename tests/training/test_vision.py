"""Rows with images, on a tiny model that sees."""

import base64
import io

import pytest

from grading_route import equal, graders
from regrade.core.training_job import Failed
from training.jobs import asked, events, log, make, metrics, preference, prompt, run, weights

ANSWERS = {"red": "yes", "blue": "no"}


@pytest.fixture(scope="module")
def seeing(tiny, tmp_path_factory):
    """A random vision model: squares of 28 pixels in, five tokens an image."""
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    template = tokenizer.chat_template.replace(
        "{{ part.text }}", "{{ '<image>' if part.type == 'image' else part.text }}"
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="full",
        chat_template=template,
        num_additional_image_tokens=1,
    )
    size = {"num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(1)
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=32, intermediate_size=64, image_size=28, patch_size=14, **size),
        text_config=LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, **size),
        image_token_index=image_token,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    config.text_config.eos_token_id, config.text_config.pad_token_id = (
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("models") / "seeing"
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def square(n):
    """A question about a square, and its answer: only who sees it can know."""
    from PIL import Image

    colour, file = list(ANSWERS)[n // 2 % 2], io.BytesIO()
    Image.new("RGB", (40, 30 + n), colour).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    row = asked("", ANSWERS[colour])
    row["messages"][0]["content"] = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "yes?"},
    ]
    return row


def test_a_vision_model_learns_what_it_sees(seeing, tmp_path):
    rows = [square(n) for n in range(20)]
    folder = make(tmp_path, seeing, rows, rows[4:8], vision=True, n_epochs=30, batch_size=10, learning_rate=5e-3)
    assert run(folder) == 0, log(folder)
    told = metrics(folder)
    assert told[60]["valid_mean_token_accuracy"] > told[4]["valid_mean_token_accuracy"]
    assert told[60]["valid_loss"] < 0.2  # who guesses has log(2) for two tokens
    before, after = weights(seeing), weights(folder.model)
    (eye,) = (name for name in before if "patch_embedding" in name)
    assert not before[eye].equal(after[eye])
    assert (folder.model / "processor_config.json").exists()


def test_only_answers_are_learned_and_images_stand_before_them(seeing):
    from transformers import AutoProcessor

    from regrade.core.jsontext import dumps
    from regrade.core.training_data import Base, normal_form
    from regrade.training.encoding import Encoder
    from regrade.training.vision import Seer

    processor = AutoProcessor.from_pretrained(seeing)
    tokenizer = processor.tokenizer
    tokenizer.chat_template = processor.chat_template
    encoder = Encoder(tokenizer, max_length=512, eos_ids=[tokenizer.eos_token_id], vision=True)
    one, two = square(0), square(2)
    several = {"messages": [*one["messages"], *two["messages"]]}
    several["messages"][1] = {**one["messages"][1], "weight": 0}
    rows = [normal_form(row, "supervised", Base(vision=True)) for row in (several, square(0), asked("yes?", "no"))]
    batch = Seer(encoder, processor)([{"row": dumps(row).decode()} for row in rows])
    learned = [tokenizer.decode([label for label in labels if label >= 0]) for labels in batch["labels"].tolist()]
    assert learned == ["no<|im_end|>", "yes<|im_end|>", "no<|im_end|>"]
    assert batch["pixel_values"].shape[0] == 3


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_vision_model_learns_preferences_from_texts(seeing, tmp_path, tuning):
    rows = [preference(n) for n in range(16)]
    given = {"method": "dpo", "n_epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "tuning": tuning}
    folder = make(tmp_path, seeing, rows, rows[:4], vision=True, **given)
    assert run(folder) == 0, log(folder)
    assert metrics(folder)[4]["full_valid_reward_accuracy"] > 0.5
    assert (folder.model / "processor_config.json").exists()


def test_a_vision_model_is_rewarded_for_texts(seeing, tmp_path):
    with graders(equal) as route:
        given = {"method": "reinforcement", "n_epochs": 1, "batch_size": 4, "max_completion_tokens": 6}
        folder = make(tmp_path, seeing, [prompt(n) for n in range(8)], vision=True, grading=route.grading, **given)
        assert run(folder) == 0, log(folder)
    assert sorted(metrics(folder)) == [1, 2]
    assert (folder.model / "processor_config.json").exists()


def test_a_broken_image_fails_the_job_with_its_row(seeing, tmp_path):
    rows = [square(n) for n in range(12)]
    part = rows[7]["messages"][0]["content"][0]["image_url"]
    part["url"] = part["url"][:62]
    folder = make(tmp_path, seeing, rows, vision=True, n_epochs=1, batch_size=4)
    assert run(folder) == 1
    failed = events(folder, Failed)[-1]
    assert failed.code == "invalid_training_file"
    assert "Row 8 of the training file: one of its images is broken" in failed.message
