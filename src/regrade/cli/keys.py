"""`regrade keys`: who may use a server, and for which project."""

from pathlib import Path
from typing import Annotated

import typer

from regrade import settings
from regrade.cli.options import Config, DatabaseUrl, DataDir

_WIDE = 200

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@app.command("create")
def create(
    project: Annotated[str, typer.Option(help="Project whose evals, runs and files the key sees.")],
    name: Annotated[str, typer.Option(help="What the key is for, to tell keys apart.")] = "",
    admin: Annotated[
        bool, typer.Option("--admin", help="The key may also do what concerns the whole server.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Create a key. It is shown this once, alone on the last line.

    From the first key on, every request needs one.
    """
    from regrade import outside

    with outside.open_keys(_settings(data_dir, database_url, config)) as keys:
        key, secret = keys.create(project, name, admin=admin)
    typer.echo(f"Key {key.id} of project {key.project}; keep it, it is not shown again:")
    typer.echo(secret)


@app.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, config: Config = None) -> None:
    """List the keys, without their secrets."""
    from datetime import UTC, datetime

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from regrade import outside

    with outside.open_keys(_settings(data_dir, database_url, config)) as opened:
        keys = opened.list()
    if not keys:
        typer.echo("There are no keys: the server answers on loopback only, and takes any.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Id", "Project", "Name", "Key", "Admin", "Created", "State"):
        table.add_column(title, overflow="fold")
    for key in keys:
        created = datetime.fromtimestamp(key.created_at, UTC).date()
        state = "active" if key.revoked_at is None else "revoked"
        row = (key.id, key.project, key.name, f"...{key.hint}", "yes" if key.admin else "no", f"{created}", state)
        table.add_row(*row)
    # An id that is broken over lines could not be copied into `revoke`.
    Console(highlight=False, markup=False, width=_WIDE).print(table)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `regrade keys list` shows it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Revoke a key: from now on no request can use it."""
    from regrade import outside

    with outside.open_keys(_settings(data_dir, database_url, config)) as keys:
        keys.revoke(key_id)
    typer.echo(f"Key {key_id} is revoked.")


def _settings(data_dir: Path | None, database_url: str | None, config: Path | None) -> settings.Settings:
    return settings.load({"data_dir": data_dir, "database_url": database_url, "config": config})
