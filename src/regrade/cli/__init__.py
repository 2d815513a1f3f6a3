"""The `regrade` command; each command is a file here, and imports what is heavy only when it runs."""

import sys
from typing import Annotated

import typer

from regrade import __version__
from regrade.cli import failures
from regrade.cli.backup import backup, restore
from regrade.cli.demo import demo
from regrade.cli.demo_tuning import demo_tuning
from regrade.cli.doctor import doctor
from regrade.cli.graders import app as graders
from regrade.cli.import_ import app as imports
from regrade.cli.keys import app as keys
from regrade.cli.models import app as models
from regrade.cli.run import run
from regrade.cli.serve import serve
from regrade.cli.tune import app as tune
from regrade.cli.worker import worker
from regrade.core.errors import RegradeError
from regrade.garbage import collect_rarely

app = typer.Typer(
    name="regrade",
    help="A self-hosted server for the Evals, Graders, Files, Fine-tuning and Models API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(worker)
app.command()(run)
app.command()(demo)
app.command("demo-tuning")(demo_tuning)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.add_typer(tune, name="tune")
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.add_typer(imports, name="import")
app.add_typer(graders, name="graders")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regrade {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    del version, debug  # the callback and main() act on them


def main() -> None:
    """Run the command line of this process and exit."""
    collect_rarely()
    try:
        app(prog_name="regrade")
    except RegradeError as error:
        if "--debug" in sys.argv:
            raise
        failures.show(error)
        sys.exit(failures.exit_code_of(error))
    except KeyboardInterrupt:
        sys.stderr.write("regrade: Interrupted.\n")
        sys.exit(failures.ExitCode.INTERRUPTED)
