"""What this machine's kernel can do, asked without the product, and one victim a level."""

import pytest

from sandbox import outside
from sandbox.attacks.attack import SYSTEM_CALL
from sandbox.jails import LEVELS, jail
from sandbox.syscall_numbers import numbers
from sandbox.victims import victim

_NAMESPACES = (
    SYSTEM_CALL
    + """
def grade(sample, item):
    spaces = 0x6E020000 | (0 if os.geteuid() == 0 else 0x10000000)
    return float(_libc.unshare(spaces) == 0 and _libc.mount(None, b"/", None, 0x44000, None) == 0)
"""
)
_LANDLOCK = (
    SYSTEM_CALL
    + """
import platform
def grade(sample, item):
    return float(call({number}, 0, 0, 1) >= 1)
"""
)


def possible(level: str) -> bool:
    """Whether the kernel and its administrator allow a level here."""
    sources = [_LANDLOCK.format(number=numbers("x86_64")["landlock_create_ruleset"])]
    if level == "strict":
        sources.append(_NAMESPACES)
    return all(outside.grade(source).get("score") == 1.0 for source in sources)


@pytest.fixture(scope="session")
def unjailed(tmp_path_factory):
    with victim(tmp_path_factory.mktemp("outside"), "outside") as running:
        yield running


@pytest.fixture(scope="session", params=LEVELS)
def level(request) -> str:
    if not possible(request.param):
        pytest.skip(f"this machine's kernel does not allow the level {request.param}")
    return request.param


@pytest.fixture(scope="session")
def jailed(level, tmp_path_factory):
    with victim(tmp_path_factory.mktemp(level), level) as running:
        yield running


@pytest.fixture(scope="session")
def jail_here(level, tmp_path_factory):
    """The jail in the tests' own process, for graders that do not try to get out."""
    with jail(tmp_path_factory.mktemp("jail"), level) as made:
        yield made
