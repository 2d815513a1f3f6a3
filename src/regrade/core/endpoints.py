"""Which endpoint serves a model: `[[endpoints]]` and `[aliases]` of regrade.toml, read into values."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import translate
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from regrade.core.errors import ConfigurationError
from regrade.core.local_models import Weights
from regrade.types.json import JsonObject

Kind = Literal["openai", "vllm"]
Api = Literal["chat", "responses", "embeddings"]
"""What an endpoint can speak."""

APIS: tuple[Api, ...] = ("chat", "responses", "embeddings")
PATHS: Mapping[Api, str] = {"chat": "chat/completions", "responses": "responses", "embeddings": "embeddings"}

Listed = Mapping[str, frozenset[str]]
"""The names that upstreams list themselves, by endpoint; one that is missing could not be asked."""

_AZURE_API_VERSION = "2025-04-01-preview"
_WILD = re.compile(r"[*?\[]")
BUILT_IN = "built-in"
"""The name of the endpoint that is this server's own engine."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_OWN_PATHS = ("", "/v1", "/openai", "/openai/v1")
_SMALLEST_SHARE = 0.001
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost, in whatever currency the operator counts."""

    input: float = 0.0
    cached: float | None = None
    """Of the input, what the upstream had cached; None costs as much as other input."""
    output: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that speaks an OpenAI-compatible API, as `[[endpoints]]` describes it."""

    name: str
    base_url: str
    models: tuple[str, ...]
    """Names and patterns of names."""
    api: tuple[Api, ...] = ("chat",)
    api_key_env: str | None = None
    api_key_file: str | None = None
    """As written: relative to the file that says so."""
    azure: bool = False
    api_version: str | None = None
    max_concurrency: int = 256
    """Requests in flight for each of its models; the limiter adapts below it."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    structured_outputs: bool = True
    tools: bool = True
    seed: bool = False
    """Whether its responses API takes a seed; chat always does."""
    max_tokens_key: str = "max_completion_tokens"
    """How its chat API spells the limit of an answer."""
    timeout_seconds: int | None = None
    """For one attempt; None is the server's setting."""
    price: Price | None = None
    kind: Kind = "openai"
    """`vllm` loads LoRA adapters of tuned models while it runs."""
    admin_url: str | None = None
    """Where it is told to, if that is not `base_url`."""
    socket: str | None = None
    """Path of the UNIX socket where it answers instead; of the built-in engine alone, never of the file."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Those of `models` that stand for more than one name."""
        return tuple(model for model in self.models if _WILD.search(model))

    def names(self, model: str) -> bool:
        """Whether `models` holds this very name."""
        return model in self.models and not _WILD.search(model)

    def matches(self, model: str) -> bool:
        """Whether a pattern of `models` takes this name."""
        return any(_compiled(pattern).match(model) for pattern in self.patterns)

    def url(self, api: Api, model: str) -> str:
        """Where this API answers for the model."""
        if not self.azure:
            return f"{self.base_url}/{PATHS[api]}"
        version = f"?api-version={quote(self.api_version)}" if self.api_version else ""
        if self.base_url.endswith("/v1"):
            return f"{self.base_url}/{PATHS[api]}{version}"
        version = version or f"?api-version={_AZURE_API_VERSION}"
        if api == "responses":
            return f"{self.base_url}/openai/responses{version}"
        return f"{self.base_url}/openai/deployments/{quote(model, safe='')}/{PATHS[api]}{version}"

    def headers(self, secret: str | None) -> dict[str, str]:
        """What a request to it carries."""
        headers = {"content-type": "application/json"}
        if secret:
            headers |= {"api-key": secret} if self.azure else {"authorization": f"Bearer {secret}"}
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to ask for a model, and under which name."""

    endpoint: Endpoint
    model: str
    weights: Weights | None = None
    """What the endpoint is to load under this name, where it does not know that itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTable:
    """All endpoints in the order of the file, the aliases, and the projects' shares."""

    endpoints: tuple[Endpoint, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    projects: Mapping[str, float] = field(default_factory=dict)
    """How much of an endpoint's limits a project gets against others, where not 1."""

    def target(self, model: str) -> str:
        """The name behind an alias, also behind several; any other name is itself."""
        while model in self.aliases:  # `read` refuses circles
            model = self.aliases[model]
        return model

    def route(self, model: str, listed: Listed) -> Route | None:
        """The first endpoint that serves the model.

        A pattern takes the names that its upstream lists; where the list is not known, every name that fits.
        """
        target = self.target(model)
        for endpoint in self.endpoints:
            if endpoint.names(target) or (
                endpoint.matches(target) and _lists(listed.get(endpoint.name), target) is not False
            ):
                return Route(endpoint=endpoint, model=target)
        return None

    def served(self, listed: Listed) -> dict[str, Endpoint]:
        """Every name that can be asked for, with its endpoint: names, what patterns are known to take, aliases."""
        found: dict[str, Endpoint] = {}
        for endpoint in self.endpoints:
            for model in [*endpoint.models, *sorted(listed.get(endpoint.name, ()))]:
                if endpoint.names(model) or (not _WILD.search(model) and endpoint.matches(model)):
                    found.setdefault(model, endpoint)
        for alias in self.aliases:
            route = self.route(alias, listed)
            if route is not None:
                found[alias] = route.endpoint
        return found


def close_names(model: str, names: Iterable[str]) -> list[str]:
    """Up to five names that somebody who wrote `model` may have meant, the likeliest first."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.lower(), name)
    wanted = model.lower()
    same_tail = [each for each in folded if each.rsplit("/", 1)[-1] == wanted.rsplit("/", 1)[-1]]
    near = get_close_matches(wanted, folded, n=5, cutoff=0.5)
    return [folded[each] for each in dict.fromkeys([*same_tail, *near])][:5]


def read(tables: JsonObject, *, own_urls: Sequence[str] = ()) -> EndpointTable:
    """The endpoints, aliases and projects' shares of a configuration file's tables.

    Raises ConfigurationError that names the table and the key at fault; also for an endpoint that lies at one
    of `own_urls`: a server that asks itself would never end.
    """
    entries = tables.get("endpoints", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError("endpoints must be written as [[endpoints]] tables.", param="endpoints")
    endpoints = tuple(_endpoint(entry, f"endpoints[{n}]") for n, entry in enumerate(entries))
    for n, endpoint in enumerate(endpoints):
        if endpoint.name in (other.name for other in endpoints[:n]):
            raise ConfigurationError(
                f"endpoints[{n}].name is {endpoint.name!r}, as another endpoint's is; names must differ.",
                param=f"endpoints[{n}].name",
            )
        if endpoint.name == BUILT_IN:
            raise ConfigurationError(
                f"endpoints[{n}].name is {BUILT_IN!r}, which is the name of this server's own engine.",
                param=f"endpoints[{n}].name",
            )
        if any(_is_at(endpoint.base_url, url) for url in own_urls):
            raise ConfigurationError(
                f"endpoints[{n}].base_url is {endpoint.base_url}, which is this server itself. "
                "Name the server that runs the models.",
                param=f"endpoints[{n}].base_url",
            )
    return EndpointTable(
        endpoints=endpoints,
        aliases=_aliases(tables.get("aliases", {})),
        projects=_projects(tables.get("projects", {})),
    )


def _aliases(table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigurationError("aliases must be written as an [aliases] table.", param="aliases")
    for alias, target in table.items():
        if not isinstance(target, str) or not target:
            raise ConfigurationError(
                f"aliases.{alias} is {target!r}, but it must be the name of a model.", param=f"aliases.{alias}"
            )
        seen, name = {alias}, target
        while name in table:
            if name in seen:
                raise ConfigurationError(
                    f"aliases.{alias} leads back to itself; it must lead to the name of a model.",
                    param=f"aliases.{alias}",
                )
            seen.add(name)
            name = table[name]
    return dict(table)


def _projects(table: Any) -> dict[str, float]:
    if not isinstance(table, dict):
        raise ConfigurationError("projects must be written as a [projects] table.", param="projects")
    for project, share in table.items():
        if not _is_amount(share) or not _SMALLEST_SHARE <= share <= 1 / _SMALLEST_SHARE:
            raise ConfigurationError(
                f"projects.{project} is {share!r}, but it must be the project's share against others, whose is 1: "
                f"a number from {_SMALLEST_SHARE} to {1 / _SMALLEST_SHARE:g}.",
                param=f"projects.{project}",
            )
    return {project: float(share) for project, share in table.items()}


def _lists(names: frozenset[str] | None, model: str) -> bool | None:
    """Whether an upstream lists the model; None where its list is not known."""
    return None if names is None else model in names or f"{model}:latest" in names  # Ollama's default tag


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _is_at(base_url: str, own_url: str) -> bool:
    """Whether a base URL is one that this server's clients use; other paths of its host may be anything."""
    theirs, ours = urlsplit(base_url), urlsplit(own_url)
    place, own_place = (
        ("localhost" if url.hostname in _LOOPBACK else url.hostname, url.port or _PORTS.get(url.scheme))
        for url in (theirs, ours)
    )
    return place == own_place and theirs.path.removeprefix(ours.path.rstrip("/")) in _OWN_PATHS


# -- reading one entry --------------------------------------------------------------------------------------


class _UnfitError(ValueError):
    """A value is not what its key takes; the message completes the sentence `it must be ...`."""


def _endpoint(entry: JsonObject, where: str) -> Endpoint:
    values: dict[str, Any] = {}
    for key, value in entry.items():
        try:
            values[key] = _reader(key, where)(value)
        except _UnfitError as error:
            # A key put in the wrong place, or a password in a URL, is not shown.
            shown = "not right" if key.startswith("api_key") or "@" in str(value) else repr(value)
            raise ConfigurationError(
                f"{where}.{key} is {shown}; it must be {error}.", param=f"{where}.{key}"
            ) from None
    for key in ("name", "base_url", "models"):
        if key not in values:
            raise ConfigurationError(f"{where} has no {key}.", param=f"{where}.{key}")
    if "api_key_env" in values and "api_key_file" in values:
        raise ConfigurationError(
            f"{where} has both api_key_env and api_key_file; a key is in one place.", param=f"{where}.api_key_env"
        )
    return Endpoint(**values)


def _reader(key: str, where: str) -> Callable[[Any], Any]:
    if key == "api_key":
        raise ConfigurationError(
            f"{where} has an api_key, but a key never stands in this file. Put it into a variable and name that "
            "as api_key_env, or into a file and name that as api_key_file.",
            param=f"{where}.api_key",
        )
    if key not in _READERS:
        near = get_close_matches(key, _READERS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(_READERS)}."
        raise ConfigurationError(
            f"{where} has a key {key}, which Regrade does not know. {hint}", param=f"{where}.{key}"
        )
    return _READERS[key]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnfitError("a text that is not empty")
    return value.strip()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _UnfitError("up to 64 letters, digits, dots, dashes and underscores")
    return value


def _url(value: Any) -> str:
    # A user and password in a URL would be shown wherever the URL is.
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", value):
        raise _UnfitError('a URL such as "http://127.0.0.1:9000/v1", without a user, a query or a fragment')
    try:
        urlsplit(value).port  # noqa: B018 - raises where the port is no number
    except ValueError:
        raise _UnfitError("a URL with a valid host and port") from None
    return value.rstrip("/")


def _variable(value: Any) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise _UnfitError("the name of a variable, never the key itself")
    return value


def _models(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise _UnfitError('a list of names and patterns, such as ["Qwen/*", "gpt-4o-mini"]')
    return tuple(value)


def _apis(value: Any) -> tuple[Api, ...]:
    if not isinstance(value, list) or not value or not all(each in APIS for each in value):
        raise _UnfitError(f"a list of {', '.join(APIS)}")
    return tuple(api for api in APIS if api in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError("true or false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10**9:
        raise _UnfitError("a whole number from 1 to 1000000000")
    return value


def _max_tokens_key(value: Any) -> str:
    if value not in ("max_completion_tokens", "max_tokens"):
        raise _UnfitError("max_completion_tokens or max_tokens")
    return str(value)


def _kind(value: Any) -> Kind:
    if value not in ("openai", "vllm"):
        raise _UnfitError("openai or vllm")
    return value  # type: ignore[no-any-return]


def _price(value: Any) -> Price:
    known = ("input", "cached", "output")
    if not isinstance(value, dict) or not all(key in known and _is_amount(value[key]) for key in value):
        raise _UnfitError("amounts per million tokens, such as {input = 0.1, cached = 0.01, output = 0.5}")
    return Price(**{key: float(amount) for key, amount in value.items()})


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "base_url": _url,
    "models": _models,
    "api": _apis,
    "api_key_env": _variable,
    "api_key_file": _text,
    "azure": _flag,
    "api_version": _text,
    "max_concurrency": _count,
    "requests_per_minute": _count,
    "tokens_per_minute": _count,
    "structured_outputs": _flag,
    "tools": _flag,
    "seed": _flag,
    "max_tokens_key": _max_tokens_key,
    "timeout_seconds": _count,
    "price": _price,
    "kind": _kind,
    "admin_url": _url,
}
