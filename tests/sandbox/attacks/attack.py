"""What an attack is, and how one becomes the source of a grader."""

import errno
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox.syscall_numbers import numbers

Outside = Literal["succeeds", "as root", "depends", "never"]
"""What the same attack does in a plain Python process on the same machine.

"succeeds" and "as root" are proof that the attack is one. "depends" asks something that not every kernel has or
allows: where it is refused outside too, its refusal inside shows nothing, and the filter's own test stands alone.
"never" is not tried outside the jail, because it would harm.
"""

Ending = Literal["refused", "killed"]
"""How the jail ends an attack: by an answer or an error, or by the end of the process."""

REFUSALS = frozenset({errno.EPERM, errno.ENOSYS})
"""What the filter answers; anything else means that the call has reached the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One try to get out."""

    name: str
    group: str
    source: str
    """Python that defines `attack(targets)`; true is a breach. An OSError or MemoryError counts as refused."""
    outside: Outside = "succeeds"
    ending: Ending = "refused"
    errors: frozenset[int] | None = None
    """The error numbers that count as refused, where not all do."""
    leaks: frozenset[str] = field(default_factory=frozenset)
    """Levels at which it is known to succeed, as documented."""
    machines: frozenset[str] = frozenset({"x86_64", "aarch64"})

    def __str__(self) -> str:
        return self.name


BREACH, HELD = 1.0, 0.0

_FRAME = """
import json as _json

def _attempt(targets):
    try:
        return 1.0 if attack(targets) else 0.0
    except MemoryError:
        return -12.0
    except OSError as error:
        return -abs(float(error.errno or 1000))

_targets = _json.loads({targets!r})
{load}
def grade(sample, item):
    return {answer}
"""


def source_of(attack: Attack, targets: Mapping[str, object], *, at_load: bool = False) -> str:
    """The grader: it answers 1 for a breach, 0 or a negative error number where it was refused.

    What else it may raise is a mistake in the attack and must fail the test. With `at_load` the attack happens
    while the module is executed.
    """
    known = {**targets, "nr": numbers(os.uname().machine)}
    load = "_outcome = _attempt(_targets)" if at_load else ""
    answer = "_outcome" if at_load else "_attempt(_targets)"
    return attack.source + _FRAME.format(targets=json.dumps(known), load=load, answer=answer)


SYSTEM_CALL = """
import ctypes, os, struct
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(
        ctypes.c_long(one) if isinstance(one, int) else one for one in arguments
    ))
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result
"""
"""For attacks that pass by the C library."""

_REACHES = """
def attack(targets):
    nr = targets["nr"]
    try:
        {call}
    except OSError as error:
        if error.errno in (1, 38):
            raise
    return True
"""


def system_call(name: str, call: str, outside: Outside = "succeeds", *, group: str = "kernel", **options) -> Attack:
    """An attack that has succeeded when the kernel looks at the call at all, whatever it makes of the arguments."""
    source = SYSTEM_CALL + _REACHES.format(call=call)
    return Attack(name=name, group=group, source=source, outside=outside, errors=REFUSALS, **options)


def python(group: str, attacks: Mapping[str, str], outside: Outside = "succeeds", **options) -> Iterable[Attack]:
    """Attacks in Python, by name."""
    for name, source in attacks.items():
        yield Attack(name=name, group=group, source=source, outside=outside, **options)
