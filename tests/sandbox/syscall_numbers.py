"""Syscall numbers by name for both machines, from a table of the tests' own, never from the product's."""

import re
from pathlib import Path

HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"),),
}
"""Where Linux distributions keep the kernel's own lists."""
_COLUMN = {"x86_64": 1, "aarch64": 2}
_DEFINITION = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", re.MULTILINE)


def numbers(machine: str) -> dict[str, int]:
    """Every syscall of a machine that the tests know by name."""
    rows = [line.split() for line in Path(__file__).with_name("syscalls.txt").read_text().splitlines()[1:]]
    return {row[0]: int(row[_COLUMN[machine]]) for row in rows if row[_COLUMN[machine]] != "-"}


def numbers_in_the_header(machine: str) -> dict[str, int] | None:
    """The same as the headers of this system say; None where they are not installed."""
    for path in HEADERS[machine]:
        if path.exists():
            found = {name: int(number) for name, number in _DEFINITION.findall(path.read_text())}
            return {"newfstatat" if name == "fstatat" else name: number for name, number in found.items()}
    return None
