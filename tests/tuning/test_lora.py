"""Adapters through the API: trained on a base that stays as it is, answering on top of it, trained further."""

import json
import time

import pytest

from cli.commands import regrade
from tuning.bench import GRADER, create, messages, metrics, supervised, upload, wait, wait_for_step
from tuning.real import base_model, evaluated, rows

pytestmark = pytest.mark.timeout(240)

TRAINING = 'tuning = "lora", lora_rank = 4, learning_rate = 2e-2'


def twice(word: str) -> str:
    return f"{word} {word}"


def prompt(row: dict) -> dict:
    asked, answer = row["messages"]
    return {"messages": [asked], "answer": answer["content"]}


def preference(row: dict) -> dict:
    asked, answer = row["messages"]
    other = {**answer, "content": twice(answer["content"])}
    return {"input": {"messages": [asked]}, "preferred_output": [answer], "non_preferred_output": [other]}


LEARNED = {"supervised": dict, "dpo": preference, "reinforcement": prompt}


@pytest.fixture(scope="module")
def lora(trained):
    """A job with an adapter on a base that can answer already, paused and resumed on its way."""
    server, client, done = trained
    config = server.data_dir.parent / "regrade.toml"
    path = server.data_dir / "fine_tuning" / done.id / "model"
    config.write_text(config.read_text() + base_model("adapted", path, TRAINING))
    while "adapted" not in {model.id for model in client.models.list()}:
        time.sleep(0.1)
    validation = upload(client, rows(8, twice))
    method = supervised(n_epochs=20, batch_size=16)
    job = create(client, rows(128, twice), model="adapted", validation_file=validation, method=method)
    wait_for_step(client, job, 1)
    client.fine_tuning.jobs.pause(job.id)
    paused = wait(client, job, until=("paused",))
    snapshot = client.fine_tuning.jobs.checkpoints.list(job.id).data[0].fine_tuned_model_checkpoint
    assert client.chat.completions.create(model=snapshot, messages=[{"role": "user", "content": "3 blue"}])
    client.fine_tuning.jobs.resume(job.id)
    return server, client, wait(client, paused, seconds=180)


def test_an_adapter_learns_across_a_pause_and_answers_as_do_its_checkpoints_while_its_base_stays(lora):
    server, client, job = lora
    assert job.status == "succeeded", (job.error, messages(client, job))
    told = metrics(client, job)
    assert [data["step"] for data in told] == list(range(1, len(told) + 1))
    assert told[-1]["train_loss"] < told[0]["train_loss"]
    assert told[-1]["valid_mean_token_accuracy"] == 1.0
    kept = {file.name for file in (server.data_dir / "fine_tuning" / job.id / "model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json"} <= kept
    assert "model.safetensors" not in kept
    facts = next(
        event.data
        for event in client.fine_tuning.jobs.list_events(job.id, limit=100)
        if "parameters" in (event.data or {})
    )
    assert facts["trained_parameters"] < facts["parameters"]
    assert evaluated(client, job.fine_tuned_model, twice) == 1.0
    assert evaluated(client, "adapted", twice) == 0.0
    for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id):
        answer = client.chat.completions.create(
            model=checkpoint.fine_tuned_model_checkpoint,
            messages=[{"role": "user", "content": "3 blue"}],
            temperature=0,
        )
        assert answer.choices[0].message.content == "BLUE BLUE"


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("supervised", marks=pytest.mark.long),
        "dpo",
        pytest.param("reinforcement", marks=pytest.mark.long),
    ],
)
def test_an_adapter_is_trained_further_as_an_adapter_of_the_same_base(lora, method):
    server, client, job = lora
    block = {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}
    learned, options = [LEARNED[method](row) for row in rows(16)], {}
    if method == "reinforcement":
        block |= {"grader": GRADER}
        options["validation_file"] = upload(client, learned[:4])
    further = create(client, learned, model=job.fine_tuned_model, method={"type": method, method: block}, **options)
    further = wait(client, further, seconds=180)
    assert further.status == "succeeded", (further.error, messages(client, further))
    folder = server.data_dir / "fine_tuning" / further.id
    ours, theirs = (
        json.loads((place / "model" / "adapter_config.json").read_bytes())
        for place in (folder, folder.with_name(job.id))
    )
    assert ours["base_model_name_or_path"] == theirs["base_model_name_or_path"]
    assert {file.name for file in (folder / "model").iterdir() if file.is_dir()} == set()
    [last, *_] = client.fine_tuning.jobs.checkpoints.list(further.id).data
    for model in (further.fine_tuned_model, last.fine_tuned_model_checkpoint):
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "3 blue"}])
        assert answer.model == model


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # that peft reads
def test_an_exported_adapter_loads_with_its_libraries(lora, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    server, _, job = lora
    config = server.data_dir.parent / "regrade.toml"
    flags = ("--data-dir", server.data_dir, "--config", config)
    done = regrade("models", "export", job.fine_tuned_model, tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    named = json.loads((tmp_path / "out" / "adapter_config.json").read_bytes())["base_model_name_or_path"]
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(named), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    chat = [{"role": "user", "content": "3 blue"}]
    asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**asked, max_new_tokens=6, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(written, skip_special_tokens=True) == "BLUE BLUE"
    assert "adapted" in (tmp_path / "out" / "README.md").read_text()
