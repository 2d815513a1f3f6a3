"""`regrade demo`: grade the rows that come with Regrade, then leave the server running for a look."""

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from regrade import settings
from regrade.cli.options import DatabaseUrl, setting

EXAMPLE = Path(__file__).parent.parent / "examples" / "support_tickets.yaml"


def demo(
    data_dir: Annotated[Path | None, setting("data_dir", "~/.local/share/regrade-demo")] = None,
    database_url: DatabaseUrl = settings.SQLITE,
    port: Annotated[int | None, setting("port", "8000, or a free one where that is taken")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the result instead of waiting for Ctrl-C.")
    ] = False,
) -> None:
    """Grade 60 support tickets with recorded model answers; needs no model and no network."""
    from rich.console import Console

    from regrade.cli import eval_file as eval_files
    from regrade.cli.embedded import server_on
    from regrade.cli.run import evaluate_on, progress_for, show_outcome

    # The demo stays out of real data, also where the environment says where that is.
    found = settings.load({"data_dir": data_dir, "database_url": database_url, "port": port})
    if data_dir is None:
        found = replace(found, data_dir=found.data_dir.with_name(f"{found.data_dir.name}-demo"))
    if port is None and not is_free(found.host, found.port):
        found = replace(found, port=0)
    console = Console(highlight=False)
    eval_file = eval_files.read(EXAMPLE)
    console.print(
        f"{eval_file.name}: 60 tickets, sorted by a small model whose answers were recorded.", soft_wrap=True
    )
    with server_on(found) as url:
        progress = partial(progress_for, console, eval_file, None, json=False, quiet=False)
        api_key = settings.load_client().api_key
        outcome = evaluate_on(url, api_key, eval_file, limit=None, output=None, progress=progress)
        show_outcome(console, outcome, eval_file.fail_under, quiet=False)
        console.print(f"Eval file  {EXAMPLE}", soft_wrap=True)
        if not leave:
            with suppress(KeyboardInterrupt):
                console.print(f"\nThe server answers at {url}/v1 until you press Ctrl-C.")
                threading.Event().wait()


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError:
            return False
    return True
