"""`regrade tune FILE`: train a model on a file of rows, and watch how its loss falls."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from regrade import settings
from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import ApiKey, Config, DatabaseUrl, DataDir, Server
from regrade.core import jsontext
from regrade.types.json import JsonObject

if TYPE_CHECKING:
    from regrade.cli.client import Client

METHODS = ("supervised", "dpo", "reinforcement")
ENDED = ("succeeded", "failed", "cancelled")
_POLL_S = 0.5
_HELP = ("--help", "-h")


class _FileFirst(TyperGroup):
    """`regrade tune FILE` is `regrade tune start FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FileFirst,
    help="Train a model: regrade tune FILE --model NAME. Then list, watch, pause, resume and cancel its jobs.",
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job, as `regrade tune list` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, text on standard error.")]


@app.command("start")
def start(
    file: Annotated[Path, typer.Argument(help="Training rows, as JSONL.", exists=True, dir_okay=False)],
    model: Annotated[str, typer.Option(help="Base model of regrade.toml, or a model that was tuned here.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "supervised",
    validation: Annotated[
        Path | None, typer.Option(help="Validation rows, as JSONL.", exists=True, dir_okay=False)
    ] = None,
    grader: Annotated[
        Path | None,
        typer.Option(help="Grader of a reinforcement job, as a JSON file.", exists=True, dir_okay=False),
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the tuned model's name.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Times that each row is seen.", min=1, max=50)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step.", min=1, max=256)] = None,
    learning_rate_multiplier: Annotated[float | None, typer.Option(help="Scales the learning rate.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="For the same result again.", min=0)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not watch; print the job's id alone.")] = False,
    json: Json = False,
    server: Server = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Create a job and watch it: the loss of every step, what it tells, and the name of the model at the end."""
    if method not in METHODS:
        raise CommandError(f"--method is '{method}'; it must be one of {', '.join(METHODS)}.")
    numbers = {"n_epochs": epochs, "batch_size": batch_size, "learning_rate_multiplier": learning_rate_multiplier}
    block: JsonObject = {"hyperparameters": {name: value for name, value in numbers.items() if value is not None}}
    if method == "reinforcement":
        if grader is None or validation is None:
            raise CommandError("A reinforcement job needs --grader and --validation.")
        block["grader"] = jsontext.loads(grader.read_bytes())
    body = {"model": model, "suffix": suffix, "seed": seed, "method": {"type": method, method: block}}

    async def work(client: "Client") -> None:
        files = {"training_file": await _upload(client, file)}
        if validation is not None:
            files["validation_file"] = await _upload(client, validation)
        job = await client.create_job({**body, **files})
        if detach:
            typer.echo(job["id"])
        else:
            await _watch(client, job["id"], json=json)

    _connect(work, server, api_key, data_dir, database_url, config)


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, max=100)] = 20,
    server: Server = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """List the newest jobs."""

    async def work(client: "Client") -> None:
        from regrade.cli.tuning_progress import print_jobs

        print_jobs(await client.newest_jobs(limit))

    _connect(work, server, api_key, data_dir, database_url, config)


@app.command("watch")
def watch(
    job_id: JobId,
    json: Json = False,
    server: Server = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Watch a job until it ends or pauses."""
    _connect(lambda client: _watch(client, job_id, json=json), server, api_key, data_dir, database_url, config)


def _changes(action: str, help_: str) -> None:
    """A command that asks for one change of a job."""

    @app.command(action, help=help_)
    def change(
        job_id: JobId,
        server: Server = None,
        api_key: ApiKey = None,
        data_dir: DataDir = None,
        database_url: DatabaseUrl = None,
        config: Config = None,
    ) -> None:
        _connect(lambda client: _change(client, job_id, action), server, api_key, data_dir, database_url, config)


_changes("pause", "Let a running job save its next step and stop.")
_changes("resume", "Let a paused job go on.")
_changes("cancel", "End a job; its checkpoints stay.")


def _connect(
    work: "Callable[[Client], Coroutine[Any, Any, None]]",
    server: str | None,
    api_key: str | None,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Do the work on the server that is asked for, found on the data directory, or started for this command."""
    from regrade.cli.client import Client
    from regrade.cli.run import server_for

    client_settings = settings.load_client(server, api_key)

    async def connected(url: str) -> None:
        async with Client(url, client_settings.api_key) as client:
            await work(client)

    flags = {"data_dir": data_dir, "database_url": database_url, "config": config}
    with server_for(client_settings.url, flags) as (url, _):
        asyncio.run(connected(url))


async def _upload(client: "Client", file: Path) -> str:
    with file.open("rb") as content:
        return await client.upload(file.name, content, "fine-tune")


async def _change(client: "Client", job_id: str, action: str) -> None:
    job = await client.change_job(job_id, action)
    if action == "pause":
        while job["status"] == "running":
            await asyncio.sleep(_POLL_S)
            job = await client.get_job(job_id)
    typer.echo(f"{job['id']} is {job['status']}.")


async def _watch(client: "Client", job_id: str, *, json: bool) -> None:
    """Show what the job tells until it ends or pauses; then leave with the exit code that says how."""
    from regrade.cli import tuning_progress

    try:
        with tuning_progress.shown(json=json) as show:
            async for job, events in _told(client, job_id):
                show(job, events)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write(f"\nThe job goes on. Watch it: regrade tune watch {job_id}\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json:
        sys.stdout.write(jsontext.dumps({"event": "job", **job}).decode() + "\n")
    elif job["status"] == "succeeded":
        typer.echo(f"Model   {job['fine_tuned_model']}")
        typer.echo(f"Tokens  {job['trained_tokens']:,}")
    elif job["error"]:
        raise CommandError(job["error"]["message"], exit_code=ExitCode.UNFINISHED)
    if job["status"] == "cancelled":
        raise typer.Exit(ExitCode.UNFINISHED)


async def _told(client: "Client", job_id: str) -> AsyncIterator[tuple[JsonObject, list[JsonObject]]]:
    """The job and what is new of it, again and again until it ends or pauses."""
    known: set[str] = set()
    while True:
        job = await client.get_job(job_id)
        events = await client.job_events(job_id, known)
        known.update(event["id"] for event in events)
        yield job, events
        if job["status"] in (*ENDED, "paused"):
            return
        await asyncio.sleep(_POLL_S)
