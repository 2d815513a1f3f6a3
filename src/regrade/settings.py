"""Every option, its default and what it means; the only reader of the environment."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from regrade.core.addresses import Allowed
from regrade.core.errors import ConfigurationError
from regrade.types.json import JsonObject

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PREFIX = "REGRADE_"
CONFIG_NAME = "regrade.toml"
SQLITE = "sqlite"

REGISTRY_TABLES = ("endpoints", "aliases", "projects", "base_models", "training")
"""Tables of regrade.toml that are no options: model endpoints and what belongs to them."""

CLOUD_VARIABLES = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_SERVER_SIDE_ENCRYPTION",
        "AWS_SSE_KMS_KEY_ID",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_STORAGE_USE_EMULATOR",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_TENANT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
        "AZURE_MSI_ENDPOINT",
    ),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
}
"""For each scheme of a bucket the variables that open it, named as the cloud's own tools name them."""

_LOG_LEVELS = ("debug", "info", "warning", "error")
_SIZE_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "kb": 1000, "mb": 1000**2, "gb": 1000**3}


class _UnfitError(ValueError):
    """A value is not what its option takes; the message completes the sentence `it must be ...`."""


@dataclass(frozen=True, slots=True)
class Option:
    """What a setting means, and how a text from a flag, the environment or a file becomes its value."""

    meaning: str
    read: Callable[[Any], Any]
    secret: bool = False
    """Whether no message may repeat its value."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnfitError("a text that is not empty")
    return value.strip()


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise _UnfitError(f"a whole number from {low} to {high}")
        return number

    return read


def _size(value: Any) -> int:
    """A number of bytes: 67108864, "64 MiB" or "64MB"."""
    match = re.fullmatch(r"(\d{1,15})\s*([A-Za-z]*)", str(value).strip())
    unit = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or isinstance(value, bool) or int(match[1]) == 0:
        raise _UnfitError('a size above zero, in bytes or with a unit, such as "64 MiB"')
    return int(match[1]) * unit


def _size_or_none(value: Any) -> int:
    """A size, or 0."""
    return 0 if str(value).strip() == "0" and not isinstance(value, bool) else _size(value)


def _path(value: Any) -> Path:
    if not isinstance(value, Path):
        value = Path(_text(value))
    return Path(value).expanduser().absolute()


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value):
        raise _UnfitError('a URL that begins with http:// or https://, such as "https://evals.example.com"')
    return value.rstrip("/")


def _database_url(value: Any) -> str:
    """`sqlite`, or the URL of a PostgreSQL database as libpq takes it."""
    if value == SQLITE:
        return SQLITE
    form = f"the URL of a PostgreSQL database, such as postgresql://user@host/regrade, or {SQLITE}"
    match = re.fullmatch(r"postgres(?:ql)?://(\S*)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise _UnfitError(form)
    try:
        _ = urlsplit(f"postgresql://{match[1]}").port
    except ValueError:
        raise _UnfitError(f"{form}; signs such as / and @ in a password are written %2F and %40") from None
    return f"postgresql://{match[1]}"


def _blobs(value: Any) -> str:
    """An absolute folder or a bucket; credentials have variables of their own and never stand in a URL."""
    url = urlsplit(value) if isinstance(value, str) else None
    if url and url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return f"file://{url.path}"
    if (
        not url
        or url.scheme not in CLOUD_VARIABLES
        or not re.fullmatch(r"[A-Za-z0-9._-]+", url.netloc)
        or url.query
    ):
        raise _UnfitError('"file:///FOLDER", "s3://BUCKET/PREFIX", "az://CONTAINER/PREFIX" or "gs://BUCKET/PREFIX"')
    return f"{url.scheme}://{url.netloc}/{url.path.strip('/')}".rstrip("/")


def _networks(value: Any) -> str:
    """Hosts and networks with commas between them, or a list of them."""
    entries = value if isinstance(value, list) else str(value).split(",")
    names = [str(entry).strip() for entry in entries]
    try:
        Allowed.read(names)
    except ValueError as error:
        raise _UnfitError(f"hosts and networks with commas between them; {error}") from None
    return ",".join(names)


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "1", "0", "yes", "no"):
        raise _UnfitError("true or false")
    return text in ("true", "1", "yes")


def _one_of(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if str(value).lower() not in names:
            raise _UnfitError(f"one of {', '.join(names)}")
        return str(value).lower()

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of a server, each from its flag, REGRADE_*, regrade.toml or its default, in this order."""

    data_dir: Annotated[Path, Option("Folder of the database and the files; made where it is missing.", _path)]
    database_url: Annotated[
        str,
        Option("URL of a PostgreSQL database; sqlite keeps all in the data directory.", _database_url, secret=True),
    ] = field(default=SQLITE, repr=False)
    host: Annotated[str, Option("Address to listen on; without keys, a loopback address.", _text)] = "127.0.0.1"
    port: Annotated[int, Option("Port to listen on; 0 picks a free one.", _integer(0, 65_535))] = 8000
    workers: Annotated[int, Option("Processes that grade; 0 serves the API alone.", _integer(0, 256))] = 1
    concurrency: Annotated[int, Option("Calls that one worker has in flight to a model.", _integer(1, 100_000))] = (
        256
    )
    train: Annotated[
        bool | None,
        Option("Train fine-tuning jobs here; without it, a server does and a worker on its own does not.", _flag),
    ] = None
    worker_takeover_seconds: Annotated[
        int,
        Option(
            "Seconds of silence after which a worker is dead, and others go on with its work.", _integer(2, 3600)
        ),
    ] = 20
    shutdown_seconds: Annotated[
        int, Option("Seconds that whoever is told to stop has for ending what is under way.", _integer(0, 3600))
    ] = 25
    public_url: Annotated[str | None, Option("Address that links to this server begin with.", _url)] = None
    log_level: Annotated[
        str, Option("How much is logged: debug, info, warning or error.", _one_of(*_LOG_LEVELS))
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        Option("How the log is written: text for people, or json, one object a line.", _one_of("text", "json")),
    ] = "text"
    metrics: Annotated[
        Literal["key", "open", "off"],
        Option(
            "Who may read /metrics: key for admin keys, open for all who reach it, or off.",
            _one_of("key", "open", "off"),
        ),
    ] = "key"
    traces: Annotated[
        Literal["off", "otlp"],
        Option("Traces by OpenTelemetry, as its own variables (OTEL_*) say: off, or otlp.", _one_of("off", "otlp")),
    ] = "off"
    admin_key_file: Annotated[
        Path | None, Option("File that holds a key; it becomes the first admin key.", _path)
    ] = None
    blobs: Annotated[
        str | None, Option("Where large files lie: file:///FOLDER, s3://, az:// or gs://BUCKET/PREFIX.", _blobs)
    ] = None
    max_body_bytes: Annotated[
        int, Option("Largest body of a request; uploads have limits of their own.", _size)
    ] = 64 * MIB
    max_row_bytes: Annotated[
        int, Option("Largest row of a data file; a larger one becomes an errored item.", _size)
    ] = 16 * MIB
    max_file_bytes: Annotated[int, Option("Largest file that one request uploads.", _size)] = 512 * MIB
    max_part_bytes: Annotated[int, Option("Largest part of a file in the Uploads API.", _size)] = 64 * MIB
    max_upload_bytes: Annotated[int, Option("Largest file that arrives in parts.", _size)] = 8 * GIB
    model_attempts: Annotated[int, Option("Times that a call of a model is tried.", _integer(1, 100))] = 6
    model_timeout: Annotated[
        int, Option("Seconds that one attempt may take, where the endpoint sets no other.", _integer(1, 86_400))
    ] = 600
    model_patience: Annotated[
        int, Option("Seconds that calls wait for an endpoint that is down.", _integer(0, 604_800))
    ] = 900
    webhook_private_networks: Annotated[
        str | None,
        Option(
            "Hosts and networks that are not public, where webhooks and images may be: hooks.internal,10.1.0.0/16.",
            _networks,
        ),
    ] = None
    webhook_http: Annotated[
        bool, Option("Let webhooks go to http:// URLs, too; everybody on the way can read those.", _flag)
    ] = False
    response_cache_bytes: Annotated[
        int, Option("Size of the cache of models' answers; 0 keeps none.", _size_or_none)
    ] = 0
    local_models_memory: Annotated[
        int, Option("What models that run here may take; 0 is half of this machine's memory.", _size_or_none)
    ] = 0
    local_models_idle: Annotated[
        int, Option("Seconds after which a model that runs here and nobody asks is put away.", _integer(1, 86_400))
    ] = 600
    local_models_threads: Annotated[
        int, Option("Threads that calculate for models that run here; 0 is one a core.", _integer(0, 1024))
    ] = 0
    python_sandbox: Annotated[
        Literal["auto", "strict", "landlock"],
        Option(
            "How Python graders must be confined: strict, landlock, or auto for the best that holds.",
            _one_of("auto", "strict", "landlock"),
        ),
    ] = "auto"
    unsafe_python_graders: Annotated[
        bool, Option("Run Python graders unconfined; only on a loopback address.", _flag)
    ] = False
    python_grader_isolation: Annotated[
        Literal["auto", "run", "item"],
        Option(
            "Who shares a process: the rows of a run, no item with another, or auto: by what the grader does.",
            _one_of("auto", "run", "item"),
        ),
    ] = "auto"
    python_grader_workers: Annotated[
        int, Option("Processes of Python graders for each worker; 0 is one for each core.", _integer(0, 256))
    ] = 0
    python_grader_timeout: Annotated[
        int, Option("Seconds that a Python grader may take for one item.", _integer(1, 86_400))
    ] = 120
    python_grader_memory: Annotated[int, Option("Memory of a Python grader's process.", _size)] = 2 * GIB
    python_grader_scratch: Annotated[int, Option("Files that a Python grader's process may write.", _size)] = GIB
    config: Path | None = None
    """The regrade.toml that was read, if any."""
    registry: JsonObject = field(default_factory=dict, repr=False)
    """The REGISTRY_TABLES of regrade.toml as written there."""

    @property
    def on_postgres(self) -> bool:
        """Whether `database_url` leads to PostgreSQL."""
        return self.database_url != SQLITE

    def local_url(self, port: int | None = None) -> str:
        """Where this machine reaches the server; `port` is the one that was found where the setting is 0."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host)  # noqa: S104 - read here, not bound
        host = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{host}:{port or self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a command reaches a server: flag, then REGRADE_URL and REGRADE_API_KEY."""

    url: str | None
    """None where the server is to be found through the data directory, or started."""
    api_key: str | None = field(repr=False)


def options() -> dict[str, tuple[Option, Any]]:
    """Every option with its default, in the order of the documentation; MISSING where it depends on the user."""
    return {
        f.name: (extra, f.default)
        for f in fields(Settings)
        for extra in get_args(f.type)
        if isinstance(extra, Option)
    }


def load(flags: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; a flag that is None was not given, as is a variable that is empty.

    Raises ConfigurationError, whose message says where the value at fault was given.
    """
    environ = _environment(environ)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    config = _config_path(given.pop("config", None), environ)
    table = _read_config(config) if config else {}
    values: dict[str, Any] = {}
    for name, (option, _) in options().items():
        for where, value in _sources(name, given, environ, table, config):
            values[name] = _read(where, value, option.read, secret=option.secret)
            break
    values.setdefault("data_dir", _default_data_dir(environ))
    registry = {name: table[name] for name in REGISTRY_TABLES if name in table}
    return Settings(**values, config=config, registry=registry)


def load_client(
    url: str | None = None, api_key: str | None = None, *, environ: Mapping[str, str] | None = None
) -> ClientSettings:
    """Where the server is and which key opens it, for commands that talk to one."""
    environ = _environment(environ)
    found = url or environ.get(f"{PREFIX}URL") or None
    where = "--server" if url else f"{PREFIX}URL"
    return ClientSettings(
        url=None if found is None else _read(where, found, _url),
        api_key=api_key or environ.get(f"{PREFIX}API_KEY") or None,
    )


def config_file(flag: str | Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """The regrade.toml that counts, whether or not it is there yet: commands make it, servers watch it."""
    named = flag or _environment(environ).get(f"{PREFIX}CONFIG")
    return _path(str(named)) if named else Path.cwd() / CONFIG_NAME


def variable(name: str) -> str | None:
    """What the environment holds under a name that the operator chose, such as an endpoint's key."""
    return _environment(None).get(name)


def child_environment(settings: Settings) -> dict[str, str]:
    """For a server that we start: what has no place on a command line, which everybody on the machine can read."""
    return {**_environment(None), f"{PREFIX}DATABASE_URL": settings.database_url}


def engine_environment() -> dict[str, str]:
    """For the engine of local models: it needs none of our settings, and none of their secrets."""
    environ = {name: value for name, value in _environment(None).items() if not name.startswith(PREFIX)}
    # Torch's threads else burn the cores that the server needs while they wait for each other.
    return {**environ, "OMP_WAIT_POLICY": "PASSIVE"}


def cloud_variables(scheme: str, *, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the environment says of a bucket with this scheme: keys, region, endpoint."""
    environ = _environment(environ)
    return {name: environ[name] for name in CLOUD_VARIABLES[scheme] if environ.get(name)}


def in_continuous_integration(environ: Mapping[str, str] | None = None) -> bool:
    """Whether CI says that nobody watches: every CI service sets it."""
    value = _environment(environ).get("CI", "")
    return value.lower() not in ("", "0", "false", "no")


def _environment(given: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if given is None else given  # noqa: TID251 - this module is the reader


def _sources(
    name: str, given: Mapping[str, Any], environ: Mapping[str, str], table: JsonObject, config: Path | None
) -> list[tuple[str, Any]]:
    """(where, value) of every place that gives the option, the strongest first."""
    found: list[tuple[str, Any]] = []
    if name in given:
        found.append((f"--{name.replace('_', '-')}", given[name]))
    if environ.get(f"{PREFIX}{name.upper()}"):
        found.append((f"{PREFIX}{name.upper()}", environ[f"{PREFIX}{name.upper()}"]))
    if name in table and config:
        value = table[name]
        # A relative path in a file means the same wherever the server is started.
        if name.endswith(("_dir", "_file")) and isinstance(value, str) and value and not value.startswith("~"):
            value = str(config.parent / value)
        found.append((f"{name} in {config}", value))
    return found


def _read(where: str, value: Any, read: Callable[[Any], Any], *, secret: bool = False) -> Any:
    try:
        return read(value)
    except _UnfitError as error:
        is_now = "is something else" if secret else f"is {str(value)!r}"
        raise ConfigurationError(f"{where} {is_now}, but it must be {error}.", param=where) from None


def _config_path(flag: Any, environ: Mapping[str, str]) -> Path | None:
    named = flag or environ.get(f"{PREFIX}CONFIG")
    if not named:
        here = Path.cwd() / CONFIG_NAME
        return here if here.is_file() else None
    path = _path(str(named))
    if not path.is_file():
        where = "--config" if flag else f"{PREFIX}CONFIG"
        raise ConfigurationError(f"There is no file {path}, which {where} names.", param=where)
    return path


def _read_config(path: Path) -> JsonObject:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}.", param="config") from error
    known = [*options(), *REGISTRY_TABLES]
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(known)}."
            raise ConfigurationError(f"{path} has a key {key}, which Regrade does not know. {hint}", param=key)
    return table


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where the XDG base directory specification puts a user's data."""
    base = environ.get("XDG_DATA_HOME", "")
    # The specification says to ignore a relative value.
    return (Path(base) if base.startswith("/") else Path("~/.local/share").expanduser()) / "regrade"
