"""`regrade backup` and `regrade restore`: a copy of the embedded store, and the way back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrade import settings
from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import Blobs, Config, DataDir
from regrade.core.errors import StateError

if TYPE_CHECKING:
    from regrade.store.backup import Summary

_MB = 1_000_000


def backup(
    target: Annotated[
        Path, typer.Argument(metavar="DIR|FILE.tar", help="New folder, or new tar file, that becomes the backup.")
    ],
    check: Annotated[bool, typer.Option("--check", help="Write nothing: see that this backup is whole.")] = False,
    data_dir: DataDir = None,
    blobs: Blobs = None,
    config: Config = None,
) -> None:
    """Copy the store of a data directory, also while its server runs.

    The backup is there under its name when it is whole, and not before.
    """
    from regrade import outside

    if check:
        typer.echo(f"The backup {target} is whole: {_told(_checked(target))}.")
        return
    with outside.open_embedded(settings.load({"data_dir": data_dir, "blobs": blobs, "config": config})) as store:
        summary = store.back_up(target)
    typer.echo(f"Backed up to {target}: {_told(summary)}.")


def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE.tar", help="A backup.")],
    data_dir: DataDir = None,
    blobs: Blobs = None,
    config: Config = None,
) -> None:
    """Fill an empty data directory from a backup. Refused where there is a store, or a server runs."""
    from regrade import outside, server_lock

    found = settings.load({"data_dir": data_dir, "blobs": blobs, "config": config})
    with server_lock.hold(found.data_dir), outside.open_embedded(found) as store:
        summary = store.restore(source)
    typer.echo(f"Restored to {found.data_dir}: {_told(summary)}. Start the server: unfinished runs go on.")


def _checked(target: Path) -> "Summary":
    from regrade.store import backup

    try:
        return backup.check(target)
    except StateError as error:
        raise CommandError(error.message, exit_code=ExitCode.GATE_NOT_MET) from error


def _told(summary: "Summary") -> str:
    when = datetime.fromtimestamp(summary.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"two databases and {summary.blobs} blobs, {summary.bytes / _MB:,.1f} MB, as of {when}"
