"""Who looks at the pages: a key is asked for once, then a cookie stands for it."""

import re
from collections import OrderedDict
from threading import Lock
from urllib.parse import parse_qs, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from regrade.core.entities import DEFAULT_PROJECT
from regrade.ports.system import Clock
from regrade.services.keys import SESSION_SECONDS, Keys
from regrade.web.render import Renderer

COOKIE = "regrade_session"
_MAX_FORM_BYTES = 8192
_SEE_OTHER = 303
# A path of this site: no scheme, no `//host`, no backslash that browsers read as a slash, nothing that they strip.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_HOME = "/"


class Sessions:
    """Logging in and out, and the project that a visitor may see."""

    def __init__(self, keys: Keys, clock: Clock, renderer: Renderer) -> None:
        self._keys = keys
        self._wrong = WrongKeys(clock)
        self._renderer = renderer

    def project(self, request: Request) -> str | None:
        """The visitor's project; None where they have to say first who they are."""
        if self._keys.open():
            return DEFAULT_PROJECT
        token = request.cookies.get(COOKIE)
        key = self._keys.session(token) if token else None
        return key.project if key else None

    def ask(self, request: Request) -> Response:
        """What a visitor without a session gets instead of a page."""
        if COOKIE not in request.cookies and request.headers.get("sec-fetch-site") == "cross-site":
            # Browsers keep a SameSite=Strict cookie back when a link of another site leads here. Asked for again by
            # our own page, they send it, and who has logged in is not asked to do so again.
            return self._renderer.page("again.html")
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?{urlencode({'next': path})}", _SEE_OTHER)

    def form(self, request: Request) -> Response:
        """GET /login."""
        wanted = own_path(request.query_params.get("next", ""))
        if self.project(request) is not None:
            return RedirectResponse(wanted, _SEE_OTHER)
        return self._renderer.page("login.html", wanted=wanted, problem=None)

    async def log_in(self, request: Request) -> Response:
        """POST /login."""
        fields = await _fields(request)
        return await run_in_threadpool(self._log_in, request, fields)

    def log_out(self, request: Request) -> Response:
        """POST /logout."""
        token = request.cookies.get(COOKIE)
        if token:
            self._keys.logout(token)
        response = RedirectResponse(_HOME, _SEE_OTHER)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    def _log_in(self, request: Request, fields: dict[str, str]) -> Response:
        wanted = own_path(fields.get("next", ""))
        visitor = request.client.host if request.client else ""
        if not self._wrong.may_try(visitor):
            problem = "Too many keys were wrong. Wait a minute, then try again."
            return self._renderer.page("login.html", 429, wanted=wanted, problem=problem)
        token = self._keys.login(fields.get("key", "").strip())
        if token is None:
            self._wrong.add(visitor)
            problem = "This server has no such key. 'regrade keys list' names its keys."
            return self._renderer.page("login.html", 401, wanted=wanted, problem=problem)
        response = RedirectResponse(wanted, _SEE_OTHER)
        response.set_cookie(
            COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=_over_https(request)
        )
        return response


class WrongKeys:
    """How often each address was wrong of late: keys cannot be guessed, but trying should not be free."""

    LIMIT = 10
    SECONDS = 60
    _MOST_ADDRESSES = 1000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: OrderedDict[str, list[int]] = OrderedDict()
        self._noting = Lock()

    def may_try(self, address: str) -> bool:
        """Whether this address may name another key now."""
        return len(self._recent(address)) < self.LIMIT

    def add(self, address: str) -> None:
        """Note a wrong key."""
        with self._noting:
            self._times[address] = [*self._recent(address), self._clock.now()]
            self._times.move_to_end(address)
            if len(self._times) > self._MOST_ADDRESSES:
                self._times.popitem(last=False)

    def _recent(self, address: str) -> list[int]:
        since = self._clock.now() - self.SECONDS
        return [time for time in self._times.get(address, []) if time > since]


def own_path(path: str) -> str:
    """`path` where it is one of this site's, so that nobody is sent elsewhere by a link to the login page."""
    return path if _OWN_PATH.fullmatch(path) else _HOME


def _over_https(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy before us: it names its own scheme as the origin."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields; none where it is longer than any true one."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return {}
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}
    except ValueError:
        return {}
