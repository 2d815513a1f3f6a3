"""The filter, instruction by instruction: every system call of both machines against the set that may pass."""

import random

import pytest

from regrade.sandbox.jail import seccomp
from sandbox import bpf, intended
from sandbox.bpf import ALLOW, ARCHITECTURE, KILL_PROCESS, Call, Instruction
from sandbox.syscall_numbers import numbers, numbers_in_the_header

MACHINES = sorted(ARCHITECTURE)
X32 = 0x40000000
SIGNIFICANT = 0xFFFFFFFF


@pytest.fixture(params=MACHINES)
def machine(request) -> str:
    return request.param


@pytest.fixture
def program(machine) -> list[Instruction]:
    built = [Instruction(*instruction) for instruction in seccomp.build(machine)]
    bpf.check(built)
    return built


def answer(program, machine, number, *arguments) -> int:
    return bpf.run(program, Call(number, ARCHITECTURE[machine], arguments))


def rules(machine):
    return [
        (name, rule) for name, of_call in intended.RULES.items() if name in numbers(machine) for rule in of_call
    ]


def neighbours(rule: intended.Rule) -> frozenset[int]:
    """Values one step or one bit away from those that pass."""
    steps = {value + step for value in rule.passes for step in (-1, 1)}
    bits = {value ^ 1 << bit for value in rule.passes for bit in range(32)}
    return frozenset(value & SIGNIFICANT for value in steps | bits)


def with_argument(rule: intended.Rule, value: int) -> list[int]:
    arguments = list(rule.others)
    arguments[rule.position] = value
    return arguments


@pytest.mark.parametrize("machine", MACHINES)
def test_the_tests_know_the_numbers_of_the_kernels_headers(machine):
    header = numbers_in_the_header(machine)
    if header is None:
        pytest.skip(f"the kernel's headers for {machine} are not installed here")
    known = numbers(machine)
    different = {
        name: (known[name], header[name]) for name in known.keys() & header.keys() if known[name] != header[name]
    }
    assert not different
    assert len(known.keys() & header.keys()) > 250


def test_every_call_without_a_rule_is_answered_as_intended(program, machine):
    known = {number: name for name, number in numbers(machine).items()}
    wrong = {}
    for number in range(1024):
        name = known.get(number, f"number {number}")
        if name in intended.RULES:
            continue
        expected = ALLOW if name in intended.ALLOWED else intended.MISSING if name == "clone3" else intended.REFUSED
        for arguments in ((), (SIGNIFICANT,) * 6, (intended.POINTER,) * 6):
            if (got := answer(program, machine, number, *arguments)) != expected:
                wrong[name] = f"{got:#x} and not {expected:#x}"
    assert not wrong


def test_a_rule_lets_the_named_arguments_through_and_no_neighbour(program, machine):
    wrong = []
    for name, rule in rules(machine):
        for value in rule.passes | rule.refused | (neighbours(rule) if rule.exact else frozenset()):
            expected = ALLOW if value in rule.passes else intended.REFUSED
            if answer(program, machine, numbers(machine)[name], *with_argument(rule, value)) != expected:
                wrong.append(f"{name} with argument {rule.position} = {value:#x} is not {expected:#x}")
    assert not wrong


def test_the_upper_half_of_an_argument_hides_nothing(program, machine):
    """The kernel cuts an int to 32 bits after the filter has seen 64, and reads a pointer whole."""
    wrong = []
    for name, rule in rules(machine):
        hidden = rule.passes if rule.pointer else rule.refused
        for value in hidden:
            for high in (1 << 32, 1 << 63, 0xFFFFFFFF << 32):
                got = answer(program, machine, numbers(machine)[name], *with_argument(rule, value | high))
                if got != intended.REFUSED:
                    wrong.append(f"{name} with argument {rule.position} = {value | high:#x} passes")
    assert not wrong


def test_every_rule_of_a_call_must_hold_at_once(program, machine):
    """One good argument does not excuse another one."""
    number = numbers(machine)
    assert answer(program, machine, number["prlimit64"], 0, 9, intended.POINTER) == intended.REFUSED
    assert answer(program, machine, number["prlimit64"], 1, 9, 0) == intended.REFUSED
    assert answer(program, machine, number["socketpair"], 1, 2, 0) == intended.REFUSED
    assert answer(program, machine, number["socketpair"], 2, 1, 0) == intended.REFUSED
    assert answer(program, machine, number["fcntl"], 3, 8, 0) == intended.REFUSED


def test_another_architecture_ends_the_process(program, machine):
    """int 0x80 reaches the 32-bit table, where the same numbers mean other calls."""
    foreign = {bpf.I386, *ARCHITECTURE.values(), 0, SIGNIFICANT, 0x40000028, 0x80000016} - {ARCHITECTURE[machine]}
    for arch in foreign:
        for number in range(1024):
            assert bpf.run(program, Call(number, arch)) == KILL_PROCESS


def test_x32_numbers_end_the_process(program, machine):
    if machine != "x86_64":
        pytest.skip("x32 is an x86_64 matter")
    for number in range(1024):
        assert answer(program, machine, number | X32) == KILL_PROCESS


def test_numbers_beyond_every_table_never_pass(program, machine):
    chance = random.Random(1)
    beyond = [-1, -2, -(1 << 31), 1 << 31, X32 - 1, X32 << 1, 0x7FFFFFFF, 0x0F0002]
    for number in [*beyond, *(chance.randrange(1024, 1 << 32) for _ in range(5000))]:
        assert answer(program, machine, number) in {intended.REFUSED, KILL_PROCESS}, number


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(Exception, match="riscv64"):
        seccomp.build("riscv64")
