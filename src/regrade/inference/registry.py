"""The registry of endpoints: regrade.toml as it is now, with what its patterns stand for."""

import logging
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from regrade.core.endpoints import Endpoint, EndpointTable, Route, close_names, read
from regrade.core.errors import ConfigurationError, InvalidError
from regrade.inference.lists import UpstreamLists
from regrade.ports.models import ServedModel

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
_YOUNG_S = 5.0  # how old a list may be that says "there is no such model"


class Registry:
    """Which endpoint serves which model. Any thread may ask; only methods that say so wait for upstreams."""

    def __init__(
        self, config: Path, *, variable: Callable[[str], str | None], own_urls: Sequence[str] = ()
    ) -> None:
        """Raises ConfigurationError where the file is there and not right.

        `variable` reads the environment; `own_urls` are this server's own addresses, which no endpoint may have.
        """
        self._config = config
        self._variable = variable
        self._own_urls = tuple(own_urls)
        self._lock = threading.Lock()
        self._seen = _signature(config)
        self._looked_at = time.monotonic()
        self._table = self._load()
        self._changes = 0
        self._lists = UpstreamLists(self.secret, self._note_change)
        self.problem: str | None = None
        """Why the file as it is now is not in force, where it is not."""

    def version(self) -> int:
        """Another number than before after every change of what `route` would say."""
        self._look()
        return self._changes

    def table(self) -> EndpointTable:
        """The file as it is, or as it last was right."""
        self._look()
        return self._table

    def route(self, model: str) -> Route | None:
        """Which endpoint serves the model. Waits some seconds for lists that are not known yet, or may be old."""
        table = self.table()
        listed = self._lists.known(table.endpoints, wait=True)
        route = table.route(model, listed)
        if route is None and any(endpoint.matches(table.target(model)) for endpoint in table.endpoints):
            # Perhaps it was added to the upstream a moment ago.
            route = table.route(model, self._lists.known(table.endpoints, wait=True, within_s=_YOUNG_S))
        return route

    def require(self, model: str, *, param: str) -> Route:
        """`route`, or InvalidError with the names that come close."""
        route = self.route(model)
        if route is None:
            raise InvalidError(self._unknown(model), param=param, code="model_not_found")
        return route

    def served(self) -> list[ServedModel]:
        """Every name that can be asked for now. Waits some seconds for lists that are not known yet."""
        table = self.table()
        found = table.served(self._lists.known(table.endpoints, wait=True))
        return [ServedModel(name=name, endpoint=endpoint.name) for name, endpoint in found.items()]

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
            self._table = self._load(must_exist=True)
            self._changes += 1
            self.problem = None
            _log.info("%s is read again: %d endpoints", self._config, len(self._table.endpoints))
        except ConfigurationError as error:
            self.problem = error.message
            _log.warning("The endpoints stay as they were, for %s", error.message)
        finally:
            self._lock.release()

    def _load(self, *, must_exist: bool = False) -> EndpointTable:
        if not must_exist and not self._config.exists():
            return EndpointTable()
        try:
            return read(tomllib.loads(self._config.read_text(encoding="utf-8")), own_urls=self._own_urls)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self._config} cannot be read as TOML: {error}.", param="config") from error
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._config}: {error.message}", param=error.param) from error

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
