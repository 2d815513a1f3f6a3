"""Rows that a tiny model learns in seconds, a server that really trains, and what its models answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI

from servers import Server, serving
from tuning.bench import GRADER

WORDS = ("red", "green", "blue", "white")


def rows(count: int, answer: Callable[[str], str] = str) -> list[dict]:
    """The answer repeats the question's last word, in capitals, or what `answer` makes of that."""
    found = []
    for n in range(count):
        word = WORDS[n % len(WORDS)]
        asked = {"role": "user", "content": f"{n % 7} {word}"}
        found.append({"messages": [asked, {"role": "assistant", "content": answer(word.upper())}]})
    return found


def prompts(count: int) -> list[dict]:
    return [{"messages": row["messages"][:1], "answer": row["messages"][1]["content"]} for row in rows(count)]


@contextmanager
def real_server(folder: Path, *, training: str = "") -> Iterator[Server]:
    """A server with one base model, `base`: tiny and random."""
    from regrade.training.tiny import create_tiny

    texts = [message["content"] for row in rows(40) for message in row["messages"]]
    create_tiny(folder / "tiny", texts=texts, layers=2, width=64, seed=3)
    config = folder / "regrade.toml"
    config.write_text(
        training + base_model("base", folder / "tiny", "learning_rate = 5e-3, max_completion_tokens = 6")
    )
    with serving(folder / "data", "--config", str(config)) as server:
        yield server


def base_model(name: str, path: Path, training: str) -> str:
    """A table of regrade.toml."""
    return f'[[base_models]]\nname = "{name}"\npath = "{path}"\ntraining = {{{training}}}\n'


def evaluated(client: OpenAI, model: str, answer: Callable[[str], str] = str) -> float:
    """The share of questions that the model answers right; `answer` makes the right one of that of the rows."""
    criterion = {**GRADER, "reference": "{{item.answer}}"}
    eval_ = client.evals.create(
        data_source_config={"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True},
        testing_criteria=[criterion],
    )
    items = [
        {"item": {"asked": row["messages"][0]["content"], "answer": answer(row["answer"])}} for row in prompts(8)
    ]
    template = {"type": "template", "template": [{"role": "user", "content": "{{item.asked}}"}]}
    run = client.evals.runs.create(
        eval_.id,
        data_source={
            "type": "completions",
            "model": model,
            "input_messages": template,
            "sampling_params": {"temperature": 0, "max_completion_tokens": 6},
            "source": {"type": "file_content", "content": items},
        },
    )
    while run.status in ("queued", "in_progress"):
        run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
    assert run.status == "completed", run.error
    return run.result_counts.passed / run.result_counts.total
