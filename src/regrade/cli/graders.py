"""`regrade graders`: what python graders can import here."""

from typing import Annotated

import typer

from regrade import settings
from regrade.cli.failures import ExitCode
from regrade.cli.options import Config, DataDir

app = typer.Typer(help="The environment of Python graders.", no_args_is_help=True)


@app.command("install")
def install(
    python: Annotated[
        str | None, typer.Option(help="Interpreter for graders, 3.11 or newer (default: the server's).")
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Install the packages of the hosted graders' image, apart from the server's own. Takes some 1.5 GB.

    Exit code 1 where some of them are missing; the others can be used all the same.
    """
    from regrade import outside
    from regrade.sandbox.installation import install as make

    options = outside.sandbox_options(settings.load({"data_dir": data_dir, "config": config}))
    result = make(options, typer.echo, python=python)
    typer.echo(f"{len(result.exact)} packages in the image's versions")
    for title, names in (("In other versions", result.other), ("Missing", result.missing)):
        if names:
            typer.echo(f"{title}: {', '.join(names)}")
    typer.echo("Start the server again, and its python graders use them.")
    raise typer.Exit(ExitCode.GATE_NOT_MET if result.missing else ExitCode.OK)
