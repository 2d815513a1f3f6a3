"""`regrade models`: which model endpoints the server asks, as regrade.toml says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrade import settings
from regrade.cli.failures import CommandError, ExitCode
from regrade.cli.options import Config, DataDir

if TYPE_CHECKING:
    from regrade.core.endpoints import Endpoint
    from regrade.inference.probe import Finding
    from regrade.inference.registry import Registry

app = typer.Typer(
    help="Add, list, test and remove the endpoints of models; make models to try out.", no_args_is_help=True
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_APIS = ("chat", "responses", "embeddings")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call the endpoint.")],
    base_url: Annotated[str, typer.Option("--base-url", help="Its address, such as http://127.0.0.1:9000/v1.")],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Name or pattern of models that it serves; may be repeated (default: *)."),
    ] = None,
    api: Annotated[
        list[str] | None,
        typer.Option("--api", help=f"What it speaks: {', '.join(_APIS)}; may be repeated (default: chat)."),
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Variable of the server's environment that holds its key.")
    ] = None,
    api_key_file: Annotated[str | None, typer.Option("--api-key-file", help="File that holds its key.")] = None,
    azure: Annotated[bool, typer.Option("--azure", help="It is Azure OpenAI.")] = False,
    api_version: Annotated[str | None, typer.Option("--api-version", help="Azure's api-version.")] = None,
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", help="Requests at once for each of its models.")
    ] = None,
    config: Config = None,
) -> None:
    """Add an endpoint to regrade.toml. Running servers see it within five seconds.

    The first entry that serves a model wins, so put patterns that take much, such as *, last.
    """
    from regrade.cli import config_file

    entry = {
        "name": name,
        "base_url": base_url,
        "api_key_env": api_key_env,
        "api_key_file": api_key_file,
        "models": models or ["*"],
        "api": api or ["chat"],
        "azure": azure or None,
        "api_version": api_version,
        "max_concurrency": max_concurrency,
    }
    path = settings.config_file(config)
    document = config_file.load(path)
    config_file.add_endpoint(document, {key: value for key, value in entry.items() if value is not None})
    config_file.save(document, path)
    typer.echo(f"The endpoint {name} is in {path}. Try: regrade models test {name}")


@app.command("list")
def list_models(config: Config = None) -> None:
    """List the endpoints with what they serve now, and the aliases."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    registry = _registry(config)
    table = registry.table()
    for model in registry.base_models():
        typer.echo(f"{model.name} is a base model in {model.weights.path}")
    if not table.endpoints:
        typer.echo("There are no endpoints. Try: regrade models add NAME --base-url URL")
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Endpoint", "URL", "API", "Key", "Models"):
        shown.add_column(title, overflow="fold")
    served = registry.served()
    for endpoint in table.endpoints:
        names = [each.name for each in served if each.endpoint == endpoint.name and each.name not in table.aliases]
        lacking = [] if names else [*endpoint.models]
        row = (endpoint.name, endpoint.base_url, " ".join(endpoint.api), _key(registry, endpoint))
        shown.add_row(*row, "\n".join([*names, *(f"{pattern} (not known which)" for pattern in lacking)]))
    console = Console(highlight=False, markup=False)
    console.print(shown)
    for alias, target in table.aliases.items():
        console.print(f"{alias} is asked as {target}")


@app.command("test")
def try_endpoint(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An endpoint, or a model of one.")],
    model: Annotated[
        str | None, typer.Option("--model", help="The model to ask, where NAME is an endpoint.")
    ] = None,
    config: Config = None,
) -> None:
    """Ask an endpoint for a token of each API and say what it speaks."""
    import asyncio

    registry = _registry(config)
    endpoint, asked = _chosen(registry, name, model)
    typer.echo(f"Asking {asked} at {endpoint.base_url}")
    findings = asyncio.run(_probed(registry, endpoint, asked))
    working = [finding.what for finding in findings if finding.works]
    apis = [api for api in _APIS if api in working]
    if not apis:
        raise CommandError(f"The endpoint {endpoint.name} gave no answer.", exit_code=ExitCode.UNFINISHED)
    for key, found, told in (
        ("api", apis, [*endpoint.api]),
        ("structured_outputs", "structured_outputs" in working, endpoint.structured_outputs),
        ("tools", "tools" in working, endpoint.tools),
    ):
        if found != told and (key == "api" or "chat" in apis):
            typer.echo(f"regrade.toml says {key} = {_toml(told)}; with {asked} it would be {key} = {_toml(found)}")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The endpoint's name.")],
    config: Config = None,
) -> None:
    """Remove an endpoint from regrade.toml. Runs that ask it go on with what they have sent."""
    from regrade.cli import config_file

    path = settings.config_file(config)
    document = config_file.load(path)
    if not config_file.remove_endpoint(document, name):
        raise CommandError(f"There is no endpoint {name} in {path}.", try_next="regrade models list")
    config_file.save(document, path)
    typer.echo(f"The endpoint {name} is no longer in {path}.")


@app.command("create-tiny")
def create_tiny(
    name: Annotated[str, typer.Argument(help="What to call the model.")],
    layers: Annotated[int, typer.Option("--layers", min=1, max=64, help="Layers.")] = 4,
    width: Annotated[int, typer.Option("--width", min=32, max=4096, help="Width of a layer; 32 a head.")] = 192,
    seed: Annotated[int, typer.Option("--seed", help="Its random weights follow from this.")] = 0,
    text: Annotated[
        list[Path] | None,
        typer.Option("--text", help="File whose words its tokenizer learns; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a small random model that can be fine-tuned in seconds; its answers mean nothing before that."""
    from regrade.cli import config_file

    if not _NAME.fullmatch(name):
        raise CommandError(f"A model cannot be called {name!r}. Take letters, digits, dots, dashes, underscores.")
    folder = settings.load({"data_dir": data_dir, "config": config}).data_dir / "models" / name
    path = settings.config_file(config)
    document = config_file.load(path)
    config_file.add_base_model(document, {"name": name, "path": str(folder)})
    config_file.check(document, path)
    if folder.exists():
        raise CommandError(f"There is a folder {folder} already.", try_next="another NAME")
    try:
        from regrade.training.tiny import create_tiny as create

        parameters = create(folder, texts=_texts(text), layers=layers, width=width, seed=seed)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"Models are made with packages that are not here yet ({error.name} is missing).",
            try_next="pip install 'regrade[train]'",
        ) from error
    config_file.save(document, path)
    typer.echo(f"The model {name} with {parameters:,} parameters is in {folder}, and named in {path}.")


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A tuned model, a checkpoint or a base model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Copy a model of this server's disk into a folder that Hugging Face's libraries load, with a model card.

    The folder appears when it is whole. A LoRA model is its adapter alone; the card names the base that it goes on.
    """
    from regrade.training.export import export

    source, card = _exported(name, data_dir, config)
    try:
        size = export(source, folder.absolute(), card=card)
    except FileExistsError as error:
        raise CommandError(str(error), try_next="another DIR") from error
    except OSError as error:
        raise CommandError(
            f"The model {name} could not be written to {folder}: {error.strerror or error}."
        ) from error
    typer.echo(f"The model {name} ({size / 2**20:.1f} MiB) is in {folder}.")


def _exported(name: str, data_dir: DataDir, config: Config) -> tuple[Path, str]:
    """Where the model lies, and a card for it."""
    from contextlib import closing

    from regrade import outside
    from regrade.core.jsontext import loads
    from regrade.training.export import base_card, checkpoint_card

    found = settings.load({"data_dir": data_dir, "config": config})
    with closing(outside.open_outside(found)) as world:
        tuned = world.fine_tuned_models.get(name)
        if tuned is not None:
            weights = world.trainers.weights(tuned)
            source = Path(weights.adapter or weights.path)
            job = source.parent if tuned.step is None else source.parent.parent
            return source, checkpoint_card(job, name, tuned.step) if tuned.step is not None else ""
    base = next((model for model in _registry(config).base_models() if model.name == name), None)
    if base is None:
        raise CommandError(
            f"There is no tuned model and no base model {name} here.", try_next="regrade models list"
        )
    source = Path(base.weights.path)
    if not source.is_absolute():
        raise CommandError(f"The model {name} is {source} on Hugging Face's hub; it can be had from there.")
    if not (source / "config.json").is_file():
        raise CommandError(f"The folder {source} of the model {name} holds no model.")
    kind = loads((source / "config.json").read_bytes())
    return source, base_card(name, kind if isinstance(kind, dict) else {})


def _texts(paths: list[Path] | None) -> Iterator[str]:
    from regrade.cli.demo import EXAMPLE

    for path in paths or [EXAMPLE.with_suffix(".jsonl")]:
        try:
            with path.open(encoding="utf-8") as lines:
                yield from lines
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read as text: {error}.") from error


def _registry(config: Config) -> Registry:
    from regrade.inference.registry import Registry

    return Registry(settings.config_file(config), variable=settings.variable)


def _key(registry: Registry, endpoint: Endpoint) -> str:
    """Where the key is, and whether it is there; never the key."""
    from regrade.core.errors import ConfigurationError

    place = endpoint.api_key_env or endpoint.api_key_file
    if place is None:
        return "none"
    try:
        registry.secret(endpoint)
    except ConfigurationError:
        return f"{place} (missing)"
    return place


def _chosen(registry: Registry, name: str, model: str | None) -> tuple[Endpoint, str]:
    for endpoint in registry.table().endpoints:
        if endpoint.name == name:
            aliases = registry.table().aliases
            served = (each.name for each in registry.served() if each.endpoint == name)
            known = [each for each in served if each not in aliases]
            literal = [each for each in known if endpoint.names(each)] or known
            if model is None and not literal:
                raise CommandError(
                    f"The endpoint {name} names no model, and its upstream lists none.",
                    try_next=f"regrade models test {name} --model MODEL",
                )
            return endpoint, model or literal[0]
    route = registry.require(name, param="model")
    return route.endpoint, route.model


async def _probed(registry: Registry, endpoint: Endpoint, model: str) -> list[Finding]:
    from regrade.inference.probe import probe
    from regrade.system import SystemClock

    findings = []
    async for finding in probe(endpoint, model, registry.secret(endpoint), SystemClock()):
        findings.append(finding)
        sign = "yes" if finding.works else "no "
        typer.echo(f"  {finding.what:<18} {sign}  {finding.seconds:5.1f} s  {finding.told}")
    return findings


def _toml(value: object) -> str:
    from regrade.core.jsontext import dumps

    return dumps(value).decode()
