"""Classic BPF as seccomp runs it: what a filter answers for one system call.

Refuses programs that the kernel would refuse, so that a filter that passes here can also be installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

_LOAD, _LOAD_LENGTH, _LOAD_CONSTANT, _RETURN_CONSTANT, _RETURN_A = 0x20, 0x80, 0x00, 0x06, 0x16
_JUMP_ALWAYS = 0x05
_ALU = {
    0x04: lambda a, k: a + k,
    0x14: lambda a, k: a - k,
    0x54: lambda a, k: a & k,
    0x44: lambda a, k: a | k,
    0x64: lambda a, k: a << k,
    0x74: lambda a, k: a >> k,
}
_JUMP = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: a & k != 0,
}
_MOST_INSTRUCTIONS = 4096
_WORD = 0xFFFFFFFF
_DATA_BYTES = 64


class Instruction(NamedTuple):
    """One `sock_filter`."""

    code: int
    jt: int
    jf: int
    k: int


@dataclass(frozen=True, slots=True)
class Call:
    """What the kernel hands to the filter: `seccomp_data`."""

    number: int
    arch: int
    arguments: tuple[int, ...] = ()

    def words(self) -> list[int]:
        """The sixteen little-endian 32-bit words of it; the instruction pointer is one that no rule may rely on."""
        words = [self.number & _WORD, self.arch & _WORD, 0x7FFE1234, 0x00007FFF]
        for argument in (*self.arguments, *(0,) * (6 - len(self.arguments))):
            words += [argument & _WORD, argument >> 32 & _WORD]
        return words


def check(program: Sequence[Instruction]) -> None:
    """Refuse what the kernel refuses: unknown instructions, loads outside the data, jumps outside the program."""
    assert 0 < len(program) <= _MOST_INSTRUCTIONS
    for at, (code, jt, jf, k) in enumerate(program):
        assert 0 <= jt < 256, at
        assert 0 <= jf < 256, at
        assert 0 <= k <= _WORD, at
        if code in _JUMP:
            assert at + 1 + max(jt, jf) < len(program), f"instruction {at} jumps out of the program"
        elif code == _JUMP_ALWAYS:
            assert at + 1 + k < len(program), f"instruction {at} jumps out of the program"
        elif code == _LOAD:
            assert k % 4 == 0, f"instruction {at} loads an unaligned word"
            assert k < _DATA_BYTES, f"instruction {at} loads beyond the call"
        else:
            assert code in {*_ALU, _RETURN_CONSTANT, _RETURN_A, _LOAD_CONSTANT, _LOAD_LENGTH}, (
                f"{at}: code {code:#x}"
            )
    assert program[-1][0] in {_RETURN_CONSTANT, _RETURN_A}, "the program runs off its end"


def run(program: Sequence[Instruction], call: Call) -> int:
    """What the filter answers. Jumps only go forward, so it ends."""
    words = call.words()
    accumulator = at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code == _LOAD:
            accumulator = words[k // 4]
        elif code in _JUMP:
            at += jt if _JUMP[code](accumulator, k) else jf
        elif code == _RETURN_CONSTANT:
            return k
        elif code == _RETURN_A:
            return accumulator
        elif code == _JUMP_ALWAYS:
            at += k
        elif code == _LOAD_CONSTANT:
            accumulator = k
        elif code == _LOAD_LENGTH:
            accumulator = _DATA_BYTES
        else:
            accumulator = _ALU[code](accumulator, k) & _WORD
