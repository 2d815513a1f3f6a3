"""Every attack, inside the jail and, as its control, outside: what is refused there must have worked here."""

import os

import pytest

from sandbox.attacks import ATTACKS
from sandbox.attacks.attack import BREACH, HELD, Attack

TRIED_OUTSIDE = [attack for attack in ATTACKS if attack.outside != "never"]
AS_IT_LOADS = {
    "fork", "subprocess", "secret_file", "tcp4", "unix", "abstract", "inherited_files", "heap", "initial_stack",
    "read_server_memory", "kill_bystander", "unshare_user", "int80",
}  # fmt: skip
WHILE_LOADING = [attack for attack in ATTACKS if attack.name in AS_IT_LOADS]


@pytest.mark.parametrize("attack", TRIED_OUTSIDE, ids=str)
def test_outside_the_jail_it_works(attack, unjailed):
    if attack.outside == "as root" and os.geteuid() != 0:
        pytest.skip("the kernel allows it to root alone, inside or outside")
    answer = unjailed.suffer(attack)
    if attack.outside == "depends" and answer["outcome"] != {"score": BREACH}:
        pytest.skip(f"this machine refuses it outside too ({answer['outcome']}), so the filter's test stands alone")
    assert answer["outcome"] == {"score": BREACH}


def assert_contained(attack: Attack, level: str, answer: dict) -> None:
    """Refused in so many words, or ended by the filter; an error of any other kind proves nothing."""
    assert answer["damage"] == []
    if level in attack.leaks:
        assert answer["outcome"] == {"score": BREACH}, "it leaks no more: say so in docs/sandbox.md"
    elif attack.ending == "killed":
        assert "SIGSYS" in answer["outcome"]["error"]
    else:
        score = answer["outcome"].get("score")
        assert score is not None, f"neither held nor a breach: {answer['outcome']}"
        assert score <= HELD, "BREACH"
        assert attack.errors is None or -score in attack.errors


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_inside_the_jail_it_is_contained(attack, level, jailed):
    assert_contained(attack, level, jailed.suffer(attack, alone=False))


@pytest.mark.parametrize("attack", WHILE_LOADING, ids=str)
def test_it_is_contained_while_the_grader_is_loaded_and_graded_row_by_row(attack, level, jailed):
    assert_contained(attack, level, jailed.suffer(attack, at_load=True, alone=True))
