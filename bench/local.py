"""Local models: 32 requests at once through the engine against one static batch of generate(), in the same run.

    python bench/local.py [--layers N] [--width N] [--tokens N]

The engine is asked as the server asks it: registry, limiter, socket, HTTP. The static batch has all of its prompts
at once, and is a process of its own too, with the same threads.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import processes  # noqa: F401 - makes tests/ importable
import psutil

from regrade.inference.client import Models
from regrade.inference.local.host import EngineHost, Options, endpoint, installed
from regrade.inference.registry import Registry
from regrade.ports.models import ModelCall
from regrade.settings import engine_environment
from regrade.system import SystemClock

AT_ONCE = 32
ROUNDS = 9
SCHEMA = {
    "type": "object",
    "properties": {
        "why": {"type": "string", "minLength": 40, "maxLength": 60},
        "scores": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 400},
    },
    "required": ["why", "scores"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "scores", "schema": SCHEMA}}
LATE_S = 0.2


def questions() -> list[str]:
    """Prompts of differing lengths."""
    return [f"Question {number}: " + "the quick brown fox " * (1 + number % 5) for number in range(AT_ONCE)]


def make_model(folder: Path, layers: int, width: int) -> None:
    """A random Llama-type model that never ends by itself when it is greedy."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tiny_models import make_tiny

    make_tiny(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 32,
            max_position_embeddings=2048,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0
    model.save_pretrained(folder)


def static(folder: Path, tokens: int) -> None:
    """A process that generates for all prompts at once whenever it is told to, and says how long that took."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    talks = [[{"role": "user", "content": text}] for text in questions()]
    tokenizer.padding_side = "left"
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        batch = tokenizer.apply_chat_template(
            talks, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            model.generate(**batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        print(time.perf_counter() - started, flush=True)


@contextmanager
def static_process(folder: Path, tokens: int):
    """A function that runs the static batch once; its seconds."""
    command = [sys.executable, __file__, "--static", str(folder), "--tokens", str(tokens)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=engine_environment() | _path()
    ) as child:
        child.stdout.readline()

        def run() -> float:
            child.stdin.write("go\n")
            child.stdin.flush()
            return float(child.stdout.readline())

        yield run
        child.stdin.close()


async def ask_all(models: Models, tokens: int, *, late: bool = False, **more) -> tuple[float, float]:
    """(seconds, tokens written) of all questions at once; `late` lets half of them come a moment later."""

    async def ask(number: int, text: str) -> int:
        if late and number % 2:
            await asyncio.sleep(LATE_S * number / AT_ONCE)
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": tokens, **more}
        answer = await models.ask(ModelCall(api="chat", model="bench", body=body))
        return answer.body["usage"]["completion_tokens"]

    started = time.perf_counter()
    written = await asyncio.gather(*(ask(number, text) for number, text in enumerate(questions())))
    return time.perf_counter() - started, sum(written)


async def measure(registry: Registry, run_static, tokens: int) -> dict[str, list[float]]:
    """Tokens a second of each way, round by round; in every second round the ways go in the other order."""
    rates: dict[str, list[float]] = {"static batch": [], "engine": [], "half of them late": [], "schema": []}

    async def one(name: str) -> float:
        if name == "static batch":
            return AT_ONCE * tokens / run_static()
        more = {"response_format": FORMAT} if name == "schema" else {}
        seconds, written = await ask_all(models, tokens, late=name == "half of them late", **more)
        return written / seconds

    async with Models(registry, clock=SystemClock(), jitter=random.random) as models:
        for name in rates:
            await one(name)
        for number in range(ROUNDS):
            for name in list(rates)[:: 1 if number % 2 else -1]:
                rates[name].append(await one(name))
    return rates


def report(rates: dict[str, list[float]], tokens: int, peak: int) -> None:
    """What was measured. Ratios are medians of those within a round: a busy machine changes from round to round."""

    def ratio(name: str, floor: str) -> float:
        return statistics.median(ours / theirs for ours, theirs in zip(rates[name], rates[floor], strict=True))

    print(f"{AT_ONCE} requests at once, {tokens} tokens each, {ROUNDS} rounds:")
    for name, values in rates.items():
        middle = statistics.median(values)
        floor = "engine" if name == "schema" else "static batch"
        compared = f"{ratio(name, floor):.2f} of {floor}" if name != floor else ""
        print(f"  {name:<18} {middle / tokens:6.1f} requests/s {middle:6.0f} tokens/s  {compared}")
    print(f"  memory of the engine: {peak / 2**20:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("layers", 4), ("width", 192), ("tokens", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--static", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.static:
        static(arguments.static, arguments.tokens)
        return
    if not installed():
        print("Local models are not installed here: pip install 'regrade[local]'")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_model(folder / "model", arguments.layers, arguments.width)
        (folder / "regrade.toml").write_text(f'[[base_models]]\nname = "bench"\npath = {json.dumps("model")}\n')
        registry = Registry(folder / "regrade.toml", variable=lambda _: None, built_in=endpoint(folder))
        options = Options(memory=1 << 30, idle_s=600.0, threads=0, log_level="warning")
        host = EngineHost(folder, options, engine_environment() | _path())
        host.start()
        try:
            with static_process(folder / "model", arguments.tokens) as run_static:
                rates = asyncio.run(measure(registry, run_static, arguments.tokens))
                report(rates, arguments.tokens, _memory())
        finally:
            host.stop()


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path)}


def _memory() -> int:
    """Resident bytes of the engine's process."""
    return max(
        each.memory_info().rss
        for each in psutil.Process().children(recursive=True)
        if "regrade.inference.local" in each.cmdline()
    )


if __name__ == "__main__":
    main()
