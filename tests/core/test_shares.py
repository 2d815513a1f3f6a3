import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.shares import NOTHING, Amounts, Claim, Limits, divide, fair, phase, settle

NAMES = st.sampled_from("abcdefgh")
NEEDS = st.dictionaries(NAMES, st.floats(0, 1000), min_size=1)
WEIGHTS = st.dictionaries(NAMES, st.floats(0.001, 1000))
PHASES = st.builds(phase, st.floats(0, 1e10), st.floats(1, 100))
BY_PROCESS = st.dictionaries(NAMES, st.dictionaries(st.sampled_from("xyz"), st.floats(0, 1000)), min_size=1)


@given(st.floats(0, 1000), NEEDS, WEIGHTS)
def test_a_fair_division_gives_no_more_than_there_is_nor_than_is_needed(total, needs, weights):
    parts = fair(total, needs, weights)
    assert parts.keys() == needs.keys()
    assert all(0 <= parts[name] <= needs[name] for name in needs)
    assert sum(parts.values()) == pytest.approx(min(total, sum(needs.values())), abs=1e-6)


@given(st.floats(0, 1000), NEEDS, WEIGHTS)
def test_who_gets_less_than_it_needs_has_no_less_by_its_weight_than_anybody(total, needs, weights):
    parts = fair(total, needs, weights)
    most = max(parts[name] / weights.get(name, 1.0) for name in needs)
    for name in needs:
        if parts[name] < needs[name] - 1e-6:
            assert parts[name] / weights.get(name, 1.0) >= most * (1 - 1e-6) - 1e-6


@given(st.integers(0, 1000), BY_PROCESS, PHASES)
def test_whole_parts_are_never_more_than_there_are(units, needs, turn):
    parts = divide(units, needs, {}, turn)
    assert parts.keys() == needs.keys()
    assert all(part >= 0 for part in parts.values())
    assert sum(parts.values()) <= min(units, units - units // 10 // 2 + 1)  # the rest is for processes to come


@given(st.integers(1, 1000), st.integers(0, 40), PHASES)
def test_one_process_with_all_the_calls_gets_nearly_everything(units, idle, turn):
    needs = {"loaded": {"x": 1e6}, **{f"idle{n}": {} for n in range(idle)}}
    assert divide(units, needs, {}, turn)["loaded"] >= 0.9 * units - 1e-6


@given(st.integers(20, 1000), st.integers(1, 10), PHASES)
def test_who_needs_little_gets_it_whatever_the_others_need(units, needed, turn):
    needs = {"loaded": {"x": 1e6}, "gateway": {"x": min(needed, units // 4)}}
    assert divide(units, needs, {}, turn)["gateway"] >= min(needed, units // 4)


@given(st.integers(40, 1000), PHASES)
def test_a_project_with_ten_rows_has_turns_for_them_all_beside_one_with_a_million(units, turn):
    needs = {"one": {"large": 1e6}, "two": {"large": 1e6}, "three": {"small": 10}}
    assert divide(units, needs, {}, turn)["three"] >= 10


@given(st.integers(100, 1000), st.floats(0.1, 10), PHASES)
def test_projects_share_by_their_weights(units, weight, turn):
    parts = divide(units, {"p": {"x": 1e6}, "q": {"y": 1e6}}, {"x": weight}, turn)
    share = (units - units // 10) * weight / (1 + weight)
    assert abs(parts["p"] - share) <= units // 20 + 2


def test_what_cannot_be_halved_goes_round():
    needs = {process: {"x": 10.0} for process in "abc"}
    parts = [divide(1, needs, {}, phase(5.0 * n, 5.0)) for n in range(3000)]
    assert all(sum(each.values()) == 1 for each in parts)
    assert all(sum(each[process] for each in parts) == pytest.approx(1000, abs=5) for process in "abc")


@given(st.floats(0, 1e10), st.floats(1, 100))
def test_the_phase_is_within_a_turn(now, period):
    assert 0 <= phase(now, period) < 1


LIMITS = st.builds(
    Limits,
    turns=st.integers(1, 500),
    requests=st.none() | st.floats(0.05, 500),
    tokens=st.none() | st.floats(1, 1e5),
)
AMOUNTS = st.builds(Amounts, st.floats(0, 300), st.floats(0, 300), st.floats(0, 1e5))
TOLD = st.dictionaries(st.sampled_from("xyz"), AMOUNTS)
STEPS = st.lists(st.tuples(st.sampled_from("abcde"), TOLD, st.floats(0, 1e3), st.booleans()), max_size=40)


@given(LIMITS, STEPS, st.randoms(use_true_random=False))
def test_whatever_is_told_in_whatever_order_no_more_is_held_than_the_limits(limits, steps, chance):
    ledger, parts, now = {}, {}, 0.0
    for process, needs, call_tokens, leaves in steps:
        now += chance.random() * 3
        if leaves:
            ledger.pop(process, None)
            parts.pop(process, None)
            continue
        # Of what it was granted it still uses some turns, and all of its rates until it hears otherwise.
        mine = Claim(needs=needs, held=parts.get(process, NOTHING), call_tokens=call_tokens)
        others = {name: claim for name, claim in ledger.items() if name != process}
        settled = settle(process, mine, others, limits, {}, now)
        ledger[process], parts[process] = settled.claim, settled.part
        held = [sum(each) for each in zip(*(claim.held for claim in ledger.values()), strict=True)]
        allowed = limits.whole()
        assert all(used <= most * (1 + 1e-6) + 1e-6 for used, most in zip(held, allowed, strict=True))
        assert all(part <= kept + 1e-9 for part, kept in zip(settled.part, settled.claim.held, strict=True))


@given(LIMITS, st.lists(TOLD, min_size=1, max_size=6))
def test_when_needs_stay_parts_settle_and_what_is_granted_is_what_is_held(limits, told):
    processes = {f"p{n}": needs for n, needs in enumerate(told)}
    ledger, settled = {}, {}
    for _ in range(4):
        for process, needs in processes.items():
            held = settled[process].part if process in settled else NOTHING
            others = {name: claim for name, claim in ledger.items() if name != process}
            settled[process] = settle(process, Claim(needs=needs, held=held), others, limits, {}, 1e9)
            ledger[process] = settled[process].claim
    for each in settled.values():
        assert each.part == pytest.approx(each.due)
        assert each.part == pytest.approx(each.claim.held)


@given(LIMITS, st.integers(1, 100))
def test_processes_that_do_not_hear_of_each_other_use_a_tenth_together_or_a_call_each(limits, processes):
    whole, blind = limits.whole(), limits.blind(processes)
    assert blind.turns * processes <= max(0.1 * whole.turns, processes)
    assert blind.requests * processes <= 0.1 * whole.requests + 1e-6
    assert blind.tokens * processes <= 0.1 * whole.tokens + 1e-6


def test_a_claim_is_told_as_json():
    claim = Claim(needs={"x": Amounts(1.0, 2.0, 3.0)}, held=Amounts(4.0, 5.0, 6.0), call_tokens=random.random())
    assert Claim.from_json(claim.as_json()) == claim
