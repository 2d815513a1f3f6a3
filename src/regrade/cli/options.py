"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from regrade import settings

_YES_OR_NO = ("train",)
_MEANING = {name: option.meaning for name, (option, _) in settings.options().items()}


def setting(name: str, default: str | None = None) -> OptionInfo:
    """The flag of a setting, with the setting's meaning as its help."""
    default = str(settings.options()[name][1]) if default is None else default
    note = "." if default == "None" else f" (default: {default})."
    flag = f"--{name.replace('_', '-')}"
    option: OptionInfo = typer.Option(
        f"{flag}/--no-{flag[2:]}" if name in _YES_OR_NO else flag,
        help=_MEANING[name].removesuffix(".") + note,
        show_default=False,
    )
    return option


DataDir = Annotated[Path | None, setting("data_dir", "~/.local/share/regrade")]
DatabaseUrl = Annotated[str | None, setting("database_url")]
Blobs = Annotated[str | None, setting("blobs", "in the data directory")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file (default: ./regrade.toml if there is one).", show_default=False
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="URL of a server (default: REGRADE_URL, else the data directory's running one, else one of its own).",
    ),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", help="Key of the server (default: REGRADE_API_KEY).")]
