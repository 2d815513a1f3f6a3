"""`regrade demo-tuning`: a tiny model learns to sort tickets, twice, and evals say how well."""

import asyncio
import random
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrade import settings
from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import setting
from regrade.core import jsontext
from regrade.types.json import JsonObject

if TYPE_CHECKING:
    from rich.console import Console

    from regrade.cli.client import Client

BASE = "tiny"
_LAYERS, _WIDTH = 4, 192
_ROWS = 1_600
_HELD_OUT = 32
_SEED = 11
_EVAL_POLL_S = 0.2
_JOB_POLL_S = 0.5
_WANTED = 0.9

_KEYWORDS = {
    "billing": ("invoice", "refund", "charged", "receipt", "paid", "price"),
    "broken": ("cracked", "dead", "smoking", "noisy", "leaking", "stuck"),
    "delivery": ("late", "lost", "waiting", "courier", "parcel", "tracking"),
    "praise": ("great", "lovely", "thanks", "perfect", "happy", "superb"),
}
_PRODUCTS = ("phone", "laptop", "router", "camera", "printer", "watch", "tablet", "speaker")
_CONFIG = """[[base_models]]
name = "{name}"
path = "{path}"
training = {{tuning = "full", max_completion_tokens = 12}}
"""
_GRADER: JsonObject = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a customer writes, and how it is to be filed."""

    text: str
    label: str
    product: str

    @property
    def answer(self) -> str:
        """The right answer."""
        return f"{self.label}:{self.product}"

    @property
    def reversed(self) -> str:
        """The right words in the wrong order."""
        return f"{self.product}:{self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One line of the table at the end."""

    what: str
    model: str
    share: float
    report: str
    rewards: tuple[float, float] | None = None
    """The mean of the first steps and of the last ones."""


def demo_tuning(
    data_dir: Annotated[Path | None, setting("data_dir", "~/.local/share/regrade-demo-tuning")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the result instead of waiting for Ctrl-C.")
    ] = False,
) -> None:
    """Train a tiny model here: evaluate, fine-tune, evaluate, then reinforce. Needs regrade[train,local]."""
    from rich.console import Console

    from regrade.cli.embedded import server_on

    found = settings.load({"data_dir": data_dir, "database_url": settings.SQLITE, "port": 0})
    if data_dir is None:
        found = replace(found, data_dir=found.data_dir.with_name(f"{found.data_dir.name}-demo-tuning"))
    console = Console(highlight=False)
    _require_training()
    found = replace(found, config=_base_model(found.data_dir, console), public_url=None)
    with server_on(found) as url:
        stages = asyncio.run(_show(url, console))
        _print_table(console, stages)
        console.print(
            f"Again later  regrade serve --data-dir {found.data_dir} --config {found.config}", soft_wrap=True
        )
        if not leave:
            with suppress(KeyboardInterrupt):
                console.print(f"\nThe server answers at {url} until you press Ctrl-C; so do the reports above.")
                threading.Event().wait()
    first, tuned, half, reinforced = (stage.share for stage in stages)
    if not (tuned > _WANTED > first and reinforced > half):
        raise CommandError("The models did not learn what they were to learn.", exit_code=ExitCode.GATE_NOT_MET)


def tickets() -> tuple[list[Ticket], list[Ticket]]:
    """Tickets to learn from, and others whose pairs of keyword and product do not occur among those."""
    rng = random.Random(_SEED)  # noqa: S311 - the same for everybody
    words = [(word, label) for label, found in _KEYWORDS.items() for word in found]
    pairs = list(product(words, _PRODUCTS))
    rng.shuffle(pairs)
    all_of_them = [Ticket(text=f"{word} {thing}", label=label, product=thing) for (word, label), thing in pairs]
    held_out, known = all_of_them[:_HELD_OUT], all_of_them[_HELD_OUT:]
    return [rng.choice(known) for _ in range(_ROWS)], held_out


def _require_training() -> None:
    from importlib.util import find_spec

    if not all(map(find_spec, ("trl", "llguidance"))):
        raise CommandError(
            "This needs packages that are not installed.", try_next="pip install 'regrade[train,local]'"
        )


def _base_model(data_dir: Path, console: "Console") -> Path:
    """Make a random model and the regrade.toml that names it; the path of the latter."""
    from regrade.server_lock import open_data_dir
    from regrade.training.tiny import create_tiny

    folder = open_data_dir(data_dir) / "models" / BASE
    shutil.rmtree(folder, ignore_errors=True)
    texts = [text for ticket in tickets()[0] for text in (ticket.text, ticket.answer, ticket.reversed)]
    parameters = create_tiny(folder, texts=texts, layers=_LAYERS, width=_WIDTH, seed=_SEED)
    console.print(f"A random model with {parameters / 1e6:.1f} million parameters is in {folder}.", soft_wrap=True)
    config = data_dir / "regrade.toml"
    config.write_text(_CONFIG.format(name=BASE, path=folder), encoding="utf-8")
    return config


async def _show(url: str, console: "Console") -> list[Stage]:
    """Evaluate the base, fine-tune it, evaluate; then half-train it, evaluate, reinforce, evaluate."""
    from regrade.cli.client import Client

    known, held_out = tickets()
    async with Client(url, settings.load_client().api_key) as client:
        bench = _Bench(client, console, held_out)
        await bench.prepare()
        first = await bench.evaluate("random base", BASE)
        console.print("\nSupervised fine-tuning", style="bold")
        tuned, _ = await bench.train(BASE, "tuned", _supervised(n_epochs=2), _chats(known, wrong=0.0))
        second = await bench.evaluate("fine-tuned", tuned)
        console.print("\nA model that is half right, for reinforcement to mend", style="bold")
        half, _ = await bench.train(
            tuned, "half", _supervised(n_epochs=1, multiplier=0.6), _chats(known[: _ROWS // 2], wrong=0.65)
        )
        third = await bench.evaluate("half right", half)
        console.print("\nReinforcement fine-tuning", style="bold")
        method = _reinforcement()
        better, rewards = await bench.train(half, "reinforced", method, _prompts(known[:200]), _prompts(held_out))
        last = await bench.evaluate("reinforced", better)
    return [first, second, third, replace(last, rewards=rewards)]


class _Bench:
    """The eval, and what every stage does with it."""

    def __init__(self, client: "Client", console: "Console", held_out: Sequence[Ticket]) -> None:
        self._client = client
        self._console = console
        self._rows = [{"item": {"text": ticket.text, "answer": ticket.answer}} for ticket in held_out]
        self._eval_id = ""

    async def prepare(self) -> None:
        """Make the eval."""
        config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
        body = {"name": "Tickets never seen", "data_source_config": config, "testing_criteria": [_GRADER]}
        self._eval_id = (await self._client.create_eval(body))["id"]

    async def evaluate(self, what: str, model: str) -> Stage:
        """Ask the model for every held-out ticket."""
        messages = [{"role": "user", "content": "{{item.text}}"}]
        data_source = {
            "type": "completions",
            "model": model,
            "input_messages": {"type": "template", "template": messages},
            "sampling_params": {"temperature": 0, "max_completion_tokens": 12},
            "source": {"type": "file_content", "content": self._rows},
        }
        run = await self._client.create_run(self._eval_id, {"name": what, "data_source": data_source})
        while run["status"] in ("queued", "in_progress"):
            await asyncio.sleep(_EVAL_POLL_S)
            run = await self._client.get_run(run)
        if run["status"] != "completed":
            raise CommandError(
                f"The run of {model} is {run['status']}: {run['error']}", exit_code=ExitCode.UNFINISHED
            )
        counts = run["result_counts"]
        share = counts["passed"] / counts["total"]
        self._console.print(f"{what}: {share:.0%} of {counts['total']} tickets are right".replace("%", " %"))
        return Stage(what=what, model=model, share=share, report=run["report_url"])

    async def train(
        self,
        model: str,
        suffix: str,
        method: JsonObject,
        rows: Iterable[JsonObject],
        validation: Iterable[JsonObject] | None = None,
    ) -> tuple[str, tuple[float, float] | None]:
        """The name of the tuned model; of reinforcement, the rewards at its beginning and end."""
        from regrade.cli.tuning_progress import shown

        body: JsonObject = {"model": model, "suffix": suffix, "seed": _SEED, "method": method}
        body["training_file"] = await self._upload("train.jsonl", rows)
        if validation is not None:
            body["validation_file"] = await self._upload("valid.jsonl", validation)
        job = await self._client.create_job(body)
        known: set[str] = set()
        rewards: list[float] = []
        with shown(json=False) as show:
            while True:
                job = await self._client.get_job(job["id"])
                events = await self._client.job_events(job["id"], known)
                known.update(event["id"] for event in events)
                rewards += _rewards(events)
                show(job, events)
                if job["status"] in ("succeeded", "failed", "cancelled"):
                    break
                await asyncio.sleep(_JOB_POLL_S)
        if job["status"] != "succeeded":
            raise CommandError(f"The job is {job['status']}: {job['error']}", exit_code=ExitCode.UNFINISHED)
        return job["fine_tuned_model"], _ends(rewards)

    async def _upload(self, name: str, rows: Iterable[JsonObject]) -> str:
        content = BytesIO(b"".join(jsontext.dumps(row) + b"\n" for row in rows))
        return await self._client.upload(name, content, "fine-tune")


def _supervised(*, n_epochs: int, multiplier: float = 1.0) -> JsonObject:
    numbers = {"n_epochs": n_epochs, "batch_size": 32, "learning_rate_multiplier": multiplier}
    return {"type": "supervised", "supervised": {"hyperparameters": numbers}}


def _reinforcement() -> JsonObject:
    numbers = {"n_epochs": 1, "batch_size": 8, "eval_interval": 5}
    return {"type": "reinforcement", "reinforcement": {"grader": _GRADER, "hyperparameters": numbers}}


def _chats(found: Sequence[Ticket], *, wrong: float) -> Iterator[JsonObject]:
    """Chats to learn from; so large a share of them has its answer the wrong way round."""
    for number, ticket in enumerate(found):
        answer = ticket.reversed if number % 20 < wrong * 20 else ticket.answer
        asked = {"role": "user", "content": ticket.text}
        yield {"messages": [asked, {"role": "assistant", "content": answer}]}


def _prompts(found: Sequence[Ticket]) -> Iterator[JsonObject]:
    """Questions whose answers are rewarded."""
    for ticket in found:
        yield {"messages": [{"role": "user", "content": ticket.text}], "answer": ticket.answer}


def _rewards(events: Sequence[JsonObject]) -> list[float]:
    return [event["data"]["train_mean_reward"] for event in events if "train_mean_reward" in event["data"]]


def _ends(rewards: Sequence[float]) -> tuple[float, float] | None:
    """The mean of the first and of the last fifth."""
    size = max(len(rewards) // 5, 1)
    return (sum(rewards[:size]) / size, sum(rewards[-size:]) / size) if rewards else None


def _print_table(console: "Console", stages: Sequence[Stage]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Tickets whose pairs of keyword and product were never seen",
        caption="Reward: mean of the first and of the last fifth of the steps",
    )
    for title in ("", "Model", "Right", "Reward"):
        table.add_column(title, overflow="fold")
    for stage in stages:
        rewards = f"{stage.rewards[0]:.2f} → {stage.rewards[1]:.2f}" if stage.rewards else ""
        table.add_row(stage.what, stage.model, f"{100 * stage.share:.0f} %", rewards)
    console.print(table)
    for stage in stages:
        console.print(f"{stage.what:12} {stage.report}", soft_wrap=True, markup=False)
