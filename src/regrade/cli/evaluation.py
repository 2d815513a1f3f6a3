"""From an eval file to a run that has ended, on any server of the API."""

import asyncio
import hashlib
import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from regrade.cli import rows
from regrade.cli.client import ENDED, Client
from regrade.cli.eval_file import EvalFile
from regrade.cli.progress import Watch
from regrade.types.json import JsonObject

DIGEST = "eval_file_digest"
"""Metadata key by which runs of one eval file find the eval that they share."""

_FIRST_POLL_S = 0.05
_LAST_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that has ended, with the eval that it belongs to."""

    eval: JsonObject
    run: JsonObject
    interrupted: bool
    """Whether Ctrl-C ended it."""


async def evaluate(
    client: Client,
    eval_file: EvalFile,
    *,
    limit: int | None,
    progress: Callable[[], AbstractContextManager[Watch]],
) -> Outcome:
    """Upload the rows, create or find the eval, run it, and watch the run to its end.

    Ctrl-C cancels the run; a second one interrupts us as usual.
    """
    eval_ = await _eval(client, eval_file)
    run = await client.create_run(eval_["id"], await _run_body(client, eval_file, limit))
    with progress() as watch:
        return await _watch_to_the_end(client, eval_, run, watch)


async def _eval(client: Client, eval_file: EvalFile) -> JsonObject:
    """The eval of the file: found among the newest or made, so that the runs of one file stand side by side."""
    if isinstance(eval_file.eval, str):
        return await client.get_eval(eval_file.eval)
    body = eval_file.eval
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).hexdigest()[:32]
    for eval_ in await client.newest_evals():
        if (eval_["metadata"] or {}).get(DIGEST) == digest:
            return eval_
    return await client.create_eval({**body, "metadata": {**(body.get("metadata") or {}), DIGEST: digest}})


async def _run_body(client: Client, eval_file: EvalFile, limit: int | None) -> JsonObject:
    if eval_file.data is None:
        return eval_file.run
    with rows.first(eval_file.data, limit) as content:
        file_id = await client.upload(eval_file.data.name, content)
    source = {**eval_file.run["data_source"], "source": {"type": "file_id", "id": file_id}}
    return {**eval_file.run, "data_source": source}


async def _watch_to_the_end(client: Client, eval_: JsonObject, run: JsonObject, watch: Watch) -> Outcome:
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)  # so that the next one interrupts as usual

    loop.add_signal_handler(signal.SIGINT, interrupt)
    pause = _FIRST_POLL_S
    try:
        while run["status"] not in ENDED:
            watch(run)
            try:
                await asyncio.wait_for(interrupted.wait(), pause)
            except TimeoutError:
                run = await client.get_run(run)
                pause = min(pause * 1.5, _LAST_POLL_S)
            else:
                run = await client.cancel_run(run)
                break
        watch(run)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    return Outcome(eval=eval_, run=run, interrupted=interrupted.is_set())
