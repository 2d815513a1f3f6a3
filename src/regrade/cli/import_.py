"""`regrade import`: what other places hold, into a dump of its own or, for recorded calls, into the store."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import Config, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from regrade.dump.client import Account
    from regrade.dump.plan import Plan
    from regrade.dump.resources import Scope
    from regrade.dump.walk import Keeper

app = typer.Typer(help="Save what hosted OpenAI still holds; read dumps and logs of others.", no_args_is_help=True)

_ALL_SAVED = "Everything found is saved."
_GO_ON = "The same command tries what is missing again."

# Keys come from the environment or from a prompt: the flags exist for typer, which reads variables for flags only.
_OpenAIKey = Annotated[str | None, typer.Option("--openai-key", envvar="OPENAI_API_KEY", hidden=True)]
_AzureKey = Annotated[str | None, typer.Option("--azure-key", envvar="AZURE_OPENAI_API_KEY", hidden=True)]


@app.command("openai")
def import_openai(
    dump_only: Annotated[
        bool, typer.Option("--dump-only", help="Write a dump and load nothing; required for now.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the dump: a new one, or one to go on with.")] = None,
    azure_endpoint: Annotated[
        str | None, typer.Option(help="URL of an Azure OpenAI resource, instead of OpenAI's own.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Base URL of OpenAI's API in another region, such as Europe.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option(envvar="OPENAI_ORG_ID", help="Organization, for keys that have several.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(envvar="OPENAI_PROJECT_ID", help="Project, for keys that have several.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Follow only runs, jobs and completions made from then on (UTC).",
        ),
    ] = None,
    eval_ids: Annotated[
        list[str] | None, typer.Option("--eval", help="Only this eval with its runs; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what there is, and write nothing.")] = False,
    openai_key: _OpenAIKey = None,
    azure_key: _AzureKey = None,
) -> None:
    """Save evals, runs, output items, files, fine-tuning jobs and stored completions of a hosted account.

    Stopped anywhere, the same command goes on where it was. The key comes from OPENAI_API_KEY
    (AZURE_OPENAI_API_KEY for Azure) or from a prompt, and is never written.

    Exit codes: 0 all saved, 1 something could not be had, 2 usage, 3 not finished, 4 the key was refused,
    130 interrupted.
    """
    del dump_only
    from regrade.dump.client import OPENAI, Account, azure_base_url, check_base_url
    from regrade.dump.resources import Scope

    if azure_endpoint and base_url:
        raise CommandError("--azure-endpoint and --base-url both say where to ask; give one of them.")
    if out is None and not dry_run:
        raise CommandError("Name a folder for the dump with --out, or count what there is with --dry-run.")
    url = azure_base_url(azure_endpoint) if azure_endpoint else check_base_url(base_url or OPENAI)
    variable, key = ("AZURE_OPENAI_API_KEY", azure_key) if azure_endpoint else ("OPENAI_API_KEY", openai_key)
    account = Account(
        base_url=url,
        key=_usable_key(key, variable),
        azure=bool(azure_endpoint),
        organization=organization,
        project=project,
    )
    scope = Scope(
        since=int(since.replace(tzinfo=UTC).timestamp()) if since else None,
        evals=tuple(sorted(set(eval_ids or ()))),
    )
    try:
        if out is None or dry_run:
            _count(account, scope)
        else:
            _save(account, scope, out)
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {_GO_ON}", exit_code=ExitCode.INTERRUPTED) from None
    except OSError as error:
        raise CommandError(
            f"{error.filename or out} cannot be written: {error.strerror}. "
            "When that is mended, the same command goes on where it was.",
            exit_code=ExitCode.UNFINISHED,
        ) from error


@app.command("dump")
def import_dump(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dump.")],
    check: Annotated[bool, typer.Option("--check", help="Say whether the dump is whole; required for now.")],
) -> None:
    """Read a dump back and say whether it is whole.

    Exit codes: 0 whole, 1 not whole, 2 there is no dump.
    """
    del check
    from rich.console import Console

    from regrade.dump import check as checks
    from regrade.dump import progress

    console = Console(highlight=False, markup=False)
    report = checks.check(folder)
    progress.show_table(console, report.plan)
    for line in [*report.problems, *checks.sentences(report)]:
        console.print(line, soft_wrap=True)
    if not report.whole:
        raise typer.Exit(ExitCode.GATE_NOT_MET)


@app.command("logs")
def import_logs(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL file (.gz too), or the folder of a dump.")],
    project: Annotated[str, typer.Option(help="Project that gets the calls.")] = "default",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Read recorded calls of models, so that evals can use them as if this server had made them.

    Each line is one call: a request with its response, a stored chat completion with its messages, or a response
    with its input. A call that is there already is left as it is.

    Exit codes: 0 all lines were read, 1 some could not be, 2 usage.
    """
    from regrade import outside, settings
    from regrade.dump.logs import stored_completions

    if not source.exists():
        raise CommandError(f"There is no file {source}.")
    try:
        flags = {"data_dir": data_dir, "database_url": database_url, "config": config}
        with outside.open_log_import(settings.load(flags)) as importer:
            report = importer.add(project, stored_completions(source) if source.is_dir() else _lines(source))
    except (OSError, EOFError) as error:
        raise CommandError(f"{source} cannot be read: {error}.") from error
    typer.echo(
        f"{report.added['chat']} chat completions and {report.added['response']} responses are stored in project"
        f" {project}; {report.known} were there already."
    )
    if report.refused:
        typer.echo(f"{report.refused} could not be read:", err=True)
        for reason in report.reasons:
            typer.echo(f"  {reason}", err=True)
        raise typer.Exit(ExitCode.GATE_NOT_MET)


def _lines(source: Path) -> "Iterator[tuple[str, bytes]]":
    import gzip

    with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if text:
                yield f"line {number}", text


def _save(account: "Account", scope: "Scope", out: Path) -> None:
    from rich.console import Console

    from regrade.dump import progress
    from regrade.dump.plan import Plan
    from regrade.dump.storage import DumpWriter
    from regrade.system import SystemClock

    clock = SystemClock()
    origin = {
        "base_url": account.base_url,
        "organization": account.organization,
        "project": account.project,
        "since": scope.since,
        "evals": list(scope.evals),
    }
    plan = Plan(scope)
    with DumpWriter(out, origin, now=clock.now()) as dump:
        for answer in dump.answers():
            plan.record(answer)
        dump.report(plan, finished_at=None)
        finished_at = None
        try:
            _walk(account, plan, dump, Console(stderr=True))
            finished_at = clock.now()
        finally:
            dump.report(plan, finished_at=finished_at)
    console = Console(highlight=False, markup=False)
    progress.show_table(console, plan)
    _end(console, plan, _ALL_SAVED)


def _count(account: "Account", scope: "Scope") -> None:
    from rich.console import Console

    from regrade.dump import progress
    from regrade.dump.plan import Plan
    from regrade.dump.resources import COUNTED
    from regrade.dump.walk import Nowhere

    plan = Plan(scope, fetched=COUNTED)
    _walk(account, plan, Nowhere(), Console(stderr=True))
    console = Console(highlight=False, markup=False)
    progress.show_counts(console, plan)
    _end(console, plan, "Nothing was written.")


def _walk(account: "Account", plan: "Plan", keeper: "Keeper", console: "Console") -> None:
    import random

    from regrade.dump import progress
    from regrade.dump.client import Hosted, Patience
    from regrade.dump.walk import Walk
    from regrade.system import SystemClock

    async def walk() -> None:
        async with Hosted(account, Patience(), jitter=random.random) as hosted:
            await Walk(hosted=hosted, plan=plan, keeper=keeper, now=SystemClock().now, watch=watch).run()

    with progress.watching(console) as watch:
        asyncio.run(walk())


def _end(console: "Console", plan: "Plan", well: str) -> None:
    from regrade.dump import progress

    skips = plan.skipped()
    if not skips:
        console.print(well)
        return
    console.print("What could not be had:")
    progress.show_skips(console, skips)
    console.print(_GO_ON)
    raise typer.Exit(ExitCode.GATE_NOT_MET)


def _usable_key(key: str | None, variable: str) -> str:
    """The key, from the variable or a prompt."""
    import sys

    if not key and not sys.stdin.isatty():
        _no_key(variable)
    key = (key or typer.prompt(f"Key ({variable} is not set)", hide_input=True)).strip()
    if not key:
        _no_key(variable)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CommandError(f"{variable} does not hold a key: it has characters that no key has.")
    return key


def _no_key(variable: str) -> NoReturn:
    raise CommandError("There is no key to ask with.", try_next=f"export {variable}=...", exit_code=ExitCode.USAGE)
