"""Which keys a request brings, and the refusal where none of them is good."""

from collections.abc import Mapping

from starlette.types import Scope

from regrade.api.http import is_azure
from regrade.core.errors import AuthenticationError

_SHOWN = 4  # characters of a wrong key at its end, so that its owner recognizes it


def candidates(headers: Mapping[str, str]) -> list[str]:
    """Every key in the request; one good one is enough, since Azure clients send two headers."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = [token.strip() if scheme.lower() == "bearer" else "", headers.get("api-key", "").strip()]
    return [key for key in found if key]


def refusal(given: list[str], scope: Scope) -> AuthenticationError:
    """The error for a request that brought only these keys."""
    if is_azure(scope):
        return AuthenticationError(
            "Access denied due to invalid subscription key. Send a key of this server as 'api-key'"
            " or as 'Authorization: Bearer'.",
            code="401",
        )
    if not given:
        return AuthenticationError(
            "You didn't provide an API key. Send one of this server's keys as 'Authorization: Bearer YOUR_KEY';"
            " 'regrade keys create' makes one."
        )
    return AuthenticationError(
        f"Incorrect API key provided: {masked(given[0])}. 'regrade keys list' names the keys of this server.",
        code="invalid_api_key",
    )


def masked(key: str) -> str:
    """Enough of a key to recognize it, and never enough to use it."""
    if len(key) <= 3 * _SHOWN:
        return "*" * len(key)
    return f"{key[:3]}{'*' * 8}{key[-_SHOWN:]}"
