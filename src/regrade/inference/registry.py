"""The registry of endpoints: regrade.toml as it is now, with what its patterns stand for."""

import logging
import re
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from regrade.core.endpoints import Endpoint, EndpointTable, Listed, Route, close_names, read
from regrade.core.errors import ConfigurationError, InvalidError
from regrade.core.local_models import MISSING_EXTRA, BaseModel, Weights, read_base_models
from regrade.inference.lists import UpstreamLists
from regrade.inference.tuned import TunedList
from regrade.ports.models import ServedModel, TunedModels
from regrade.types.json import JsonObject

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
_TUNED = re.compile(r"^ft:|\.ft-")  # as the APIs of OpenAI and of Azure name what they trained
_YOUNG_S = 5.0  # how old a list may be that says "there is no such model"


class Registry:
    """Which endpoint serves which model. Any thread may ask; only methods that say so wait for upstreams."""

    def __init__(
        self,
        config: Path,
        *,
        variable: Callable[[str], str | None],
        own_urls: Sequence[str] = (),
        tuned: TunedModels | None = None,
        built_in: Endpoint | None = None,
    ) -> None:
        """Raises ConfigurationError where the file is there and not right.

        `variable` reads the environment; `own_urls` are this server's own addresses, which no endpoint may have;
        `built_in` is this machine's own engine, where it is installed: base models and `tuned` ones answer there.
        """
        self._config = config
        self._variable = variable
        self._own_urls = tuple(own_urls)
        self._built_in = built_in
        self._lock = threading.Lock()
        self._seen = _signature(config)
        self._looked_at = time.monotonic()
        self._table = EndpointTable()
        self._base_models: dict[str, BaseModel] = {}
        if config.exists():
            self._load()
        self._changes = 0
        self._lists = UpstreamLists(self.secret, self._note_change)
        self._tuned = TunedList(tuned, self._note_change)
        self.problem: str | None = None
        """Why the file as it is now is not in force, where it is not."""

    def version(self) -> int:
        """Another number than before after every change of what `route` would say."""
        self._look()
        self._tuned.glance()
        return self._changes

    def table(self) -> EndpointTable:
        """The file as it is, or as it last was right."""
        self._look()
        return self._table

    def base_models(self) -> tuple[BaseModel, ...]:
        """Those of the file as it is, or as it last was right."""
        self._look()
        return tuple(self._base_models.values())

    def route(self, model: str) -> Route | None:
        """Which endpoint serves the model. Waits some seconds for lists that are not known yet, or may be old.

        A name that only a pattern takes, without a list to say so, is a base model's first.
        """
        table = self.table()
        target = table.target(model)
        listed = self._lists.known(table.endpoints, wait=True)
        route = self._tuned_route(target, listed) or table.route(model, listed)
        if route is None or not (route.weights or route.endpoint.names(target) or route.endpoint.name in listed):
            base = self._base_models.get(target)
            route = self._here(target, base.weights) if base else route
        if route is None and any(endpoint.matches(target) for endpoint in table.endpoints):
            # Perhaps it was added to the upstream a moment ago.
            route = table.route(model, self._lists.known(table.endpoints, wait=True, within_s=_YOUNG_S))
        return route

    def require(self, model: str, *, param: str) -> Route:
        """`route`, or InvalidError with the names that come close."""
        route = self.route(model)
        if route is not None:
            return route
        target = self._table.target(model)
        if target in self._base_models or target in self._tuned.known():
            raise InvalidError(
                f"The model '{model}' lies on this server's disk. {MISSING_EXTRA}",
                param=param,
                code="missing_dependency",
            )
        raise InvalidError(self._unknown(model), param=param, code="model_not_found")

    def served(self) -> list[ServedModel]:
        """Every name that can be asked for now. Waits some seconds for lists that are not known yet."""
        table = self.table()
        self._tuned.look()
        found = table.served(self._lists.known(table.endpoints, wait=True))
        for name in self._tuned.known():
            route = self.route(name)
            if route is not None:
                found[name] = route.endpoint
        if self._built_in is not None:
            for name in self._base_models:
                found.setdefault(name, self._built_in)
        return [ServedModel(name=name, endpoint=endpoint.name) for name, endpoint in found.items()]

    def _tuned_route(self, target: str, listed: Listed) -> Route | None:
        """Where a tuned model answers."""
        tuned = self._tuned.known().get(target)
        if tuned is None and _TUNED.search(target):
            self._tuned.look()
            tuned = self._tuned.known().get(target)
        if tuned is None:
            return None
        base = self._table.route(tuned.base, listed) if tuned.weights.adapter else None
        if base is not None and base.endpoint.kind == "vllm":
            return Route(endpoint=base.endpoint, model=target, weights=tuned.weights)
        return self._here(target, tuned.weights)

    def is_tuned(self, name: str) -> bool:
        """Whether a model of this name was trained here and is still there."""
        return name in self._tuned.known()

    def _here(self, model: str, weights: Weights) -> Route | None:
        return Route(endpoint=self._built_in, model=model, weights=weights) if self._built_in else None

    def secret(self, endpoint: Endpoint) -> str | None:
        """The endpoint's key as it is now; None where it needs none.

        Raises ConfigurationError where it is not where the file says that it is.
        """
        if endpoint.api_key_env is not None:
            value = self._variable(endpoint.api_key_env)
            place = f"the variable {endpoint.api_key_env}, which is not set"
        elif endpoint.api_key_file is not None:
            path = self._config.parent / Path(endpoint.api_key_file).expanduser()
            value, place = _first_text(path), f"the file {path}, which cannot be read or is empty"
        else:
            return None
        if not value:
            raise ConfigurationError(f"The key of the endpoint '{endpoint.name}' is to be in {place}.")
        return value

    def _unknown(self, model: str) -> str:
        if not self._table.endpoints:
            return (
                f"The model '{model}' does not exist: this server knows no model endpoint yet. "
                "Its operator adds one with `regrade models add`."
            )
        target = self._table.target(model)
        name = f"'{model}'" if target == model else f"'{model}' (an alias of '{target}')"
        near = close_names(target, (served.name for served in self.served()))
        hint = f"Close to it: {', '.join(near)}." if near else "GET /models lists those that do."
        return f"The model {name} does not exist. {hint}"

    def _look(self) -> None:
        """Read the file again if it has changed; looks once a second."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_at = now
            seen = _signature(self._config)
            if seen == self._seen:
                return
            self._seen = seen
            self._load()
            self._changes += 1
            self.problem = None
            _log.info("%s is read again: %d endpoints", self._config, len(self._table.endpoints))
        except ConfigurationError as error:
            self.problem = error.message
            _log.warning("The endpoints stay as they were, for %s", error.message)
        finally:
            self._lock.release()

    def _load(self) -> None:
        try:
            tables: JsonObject = tomllib.loads(self._config.read_text(encoding="utf-8"))
            table = read(tables, own_urls=self._own_urls)
            base_models = read_base_models(tables, folder=self._config.parent)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self._config} cannot be read as TOML: {error}.", param="config") from error
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._config}: {error.message}", param=error.param) from error
        self._table, self._base_models = table, {model.name: model for model in base_models}

    def _note_change(self) -> None:
        self._changes += 1


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _first_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
