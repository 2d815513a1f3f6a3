"""Templates into responses, static files, and the headers that keep both harmless."""

import hashlib
from importlib.resources import files
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from regrade.web import words

# Pages show what models and strangers wrote. All of it is escaped; should that ever fail, nothing in it runs.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = MappingProxyType(
    {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        # Strangers learn nothing of where a link was. Not `no-referrer`: browsers would then hide the origin of our
        # own forms too, and a request of unknown origin is refused.
        "referrer-policy": "same-origin",
        "cache-control": "no-store",
    }
)
_MEDIA_TYPES = {".css": "text/css", ".mjs": "text/javascript", ".svg": "image/svg+xml"}


class Renderer:
    """The templates of the pages; whatever goes into one is escaped."""

    def __init__(self) -> None:
        self.static = Static()
        self._environment = Environment(
            loader=PackageLoader("regrade.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["static"] = self.static.url
        for word in (words.count, words.percent, words.score, words.moment, words.machine_moment, words.pretty):
            self._environment.filters[word.__name__] = word

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """An HTML response."""
        html = self._environment.get_template(template).render(**values)
        # A lone surrogate in somebody's text becomes a question mark rather than a fault.
        return Response(html.encode("utf-8", "replace"), status, _HEADERS, "text/html")


class Static:
    """Our own few style sheets and scripts, under names that change with their content."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._contents: dict[str, tuple[bytes, str]] = {}
        for file in files("regrade.web").joinpath("static").iterdir():
            content, name = file.read_bytes(), PurePath(file.name)
            hashed = f"{name.stem}.{hashlib.sha256(content).hexdigest()[:16]}{name.suffix}"
            self._urls[file.name] = f"/static/{hashed}"
            self._contents[hashed] = (content, _MEDIA_TYPES[name.suffix])

    def url(self, name: str) -> str:
        """Where a page finds this file."""
        return self._urls[name]

    def serve(self, request: Request) -> Response:
        """GET /static/{name}."""
        found = self._contents.get(request.path_params["name"])
        if found is None:
            return Response("There is no such file.", 404, {"cache-control": "no-store"}, "text/plain")
        content, media_type = found
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        }
        return Response(content, 200, headers, media_type)
