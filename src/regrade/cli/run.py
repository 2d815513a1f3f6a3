"""`regrade run FILE`: run an eval file and say how it went."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrade import settings
from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import ApiKey, Config, DatabaseUrl, DataDir, Server
from regrade.core import jsontext

if TYPE_CHECKING:
    from rich.console import Console

    from regrade.cli.client import Client
    from regrade.cli.eval_file import EvalFile
    from regrade.cli.evaluation import Outcome
    from regrade.cli.progress import Watch

_OPEN_LATER = "  (start `regrade serve` to open it)"


def run(
    file: Annotated[Path, typer.Argument(help="Eval file: .yaml, .json or .toml. See docs/eval-file.md.")],
    server: Server = None,
    api_key: ApiKey = None,
    limit: Annotated[int | None, typer.Option(help="Run only the first rows.", min=1)] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(help="Share of rows that must pass (default: the file's gate, else all).", min=0, max=1),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the output items here, as JSONL in row order.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON lines on standard output, text on standard error.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the two last lines.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the eval file and its rows; send nothing.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Run an eval file, on a running server or on one of its own.

    Exit codes: 0 gate met, 1 gate not met, 2 usage or file error, 3 the run could not finish, 4 key refused,
    130 interrupted.
    """
    from rich.console import Console

    from regrade.cli import eval_file as eval_files
    from regrade.cli import result

    eval_file = eval_files.read(file)
    if limit is not None and eval_file.data is None:
        raise CommandError(f"--limit needs rows in a data file, and {file} has no data.")
    if output:
        _check_writable(output)
    if dry_run:
        _dry_run(eval_file, limit)
        return
    console = Console(stderr=json, highlight=False)
    client_settings = settings.load_client(server, api_key)
    show = partial(progress_for, console, eval_file, limit, json=json, quiet=quiet)
    flags = {"data_dir": data_dir, "database_url": database_url, "config": config}
    with server_for(client_settings.url, flags) as (url, is_own):
        outcome = evaluate_on(url, client_settings.api_key, eval_file, limit, output, show)
    gate = eval_file.fail_under if fail_under is None else fail_under
    if json:
        sys.stdout.write(jsontext.dumps(result.summary(outcome.eval, outcome.run, gate)).decode() + "\n")
    show_outcome(console, outcome, gate, quiet=quiet, note=_OPEN_LATER if is_own else "")
    if outcome.interrupted:
        again = f"regrade run {file}" + (f" --server {server}" if server else "")
        told = f"Interrupted: the run is canceled, and what is graded is kept. Run all rows again: {again}"
        console.print(told, soft_wrap=True, markup=False)
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(result.exit_code(outcome.run, gate))


@contextmanager
def server_for(url: str | None, flags: Mapping[str, object]) -> Iterator[tuple[str, bool]]:
    """The URL to use, and whether its server ends with the block."""
    if url:
        yield url, False
        return
    from regrade import server_lock
    from regrade.cli.embedded import server_on

    found = settings.load(flags)
    is_own = server_lock.find(found.data_dir) is None
    # The port of an own server is gone afterwards, so links begin with the address that `regrade serve` will have.
    lasting = found.public_url or found.local_url()
    with server_on(replace(found, host="127.0.0.1", port=0, public_url=lasting)) as own_url:
        yield own_url, is_own


def progress_for(
    console: "Console", eval_file: "EvalFile", limit: int | None, *, json: bool, quiet: bool
) -> "AbstractContextManager[Watch]":
    """The kind of progress that suits who reads it."""
    from regrade.cli import progress, rows

    total = rows.count(eval_file.data, limit) if eval_file.data else None
    if json:
        return progress.events(sys.stdout.write, total)
    if quiet:
        return progress.silent()
    if console.is_terminal and not settings.in_continuous_integration():
        return progress.bar(console, total)
    return progress.lines(console, total)


def show_outcome(
    console: "Console", outcome: "Outcome", fail_under: float | None, *, quiet: bool, note: str = ""
) -> None:
    """Print the table, what went wrong, the gate, and the two last lines; `note` stands behind the report's URL."""
    from regrade.cli import result

    if not quiet:
        result.print_table(console, outcome.eval, outcome.run)
    error = outcome.run["error"]
    if error:
        console.print(f"The run failed: {error['message']}", markup=False)
    if fail_under is not None and not quiet:
        met = result.exit_code(outcome.run, fail_under) == ExitCode.OK
        console.print(f"Gate       {'met' if met else 'NOT met'}: {100 * fail_under:g} % of the rows must pass")
    for line in result.last_lines(outcome.run, note):
        console.print(line, markup=False, soft_wrap=True)


def evaluate_on(
    url: str,
    api_key: str | None,
    eval_file: "EvalFile",
    limit: int | None,
    output: Path | None,
    progress: "Callable[[], AbstractContextManager[Watch]]",
) -> "Outcome":
    """Run the eval file on the server at `url`, and write its items to `output` if given."""
    from regrade.cli.client import Client
    from regrade.cli.evaluation import evaluate

    async def connect_and_evaluate() -> "Outcome":
        async with Client(url, api_key) as client:
            outcome = await evaluate(client, eval_file, limit=limit, progress=progress)
            if output:
                await _write_items(client, outcome, output)
            return outcome

    return asyncio.run(connect_and_evaluate())


def _check_writable(output: Path) -> None:
    """Before the run, not after it."""
    try:
        output.open("ab").close()
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written ({error.strerror}). Name another file with --output."
        ) from error


async def _write_items(client: "Client", outcome: "Outcome", output: Path) -> None:
    with output.open("wb") as file:
        async for item in client.items(outcome.run):
            file.write(jsontext.dumps(item) + b"\n")


def _dry_run(eval_file: "EvalFile", limit: int | None) -> None:
    from regrade.cli import rows

    if isinstance(eval_file.eval, str):
        what = f"the eval {eval_file.eval}"
    else:
        criteria = eval_file.eval["testing_criteria"]
        what = f"{len(criteria)} criteria" if isinstance(criteria, list) else "its criteria"
    if eval_file.data is None:
        where = "the rows that run.data_source names"
    else:
        where = f"{rows.check(eval_file.data, limit):,} rows of {eval_file.data}"
    typer.echo(f"{eval_file.path} is well formed. It would run {what} on {where}. Nothing was sent.")
