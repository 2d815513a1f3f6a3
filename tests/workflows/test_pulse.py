"""Who is taken for dead: only who was seen with the same heartbeat for long enough, whatever clocks do."""

from hypothesis import given
from hypothesis import strategies as st

from regrade.workflows.pulse import Watch

TAKEOVER = 20.0
LOOK = TAKEOVER / 4


def test_who_stays_silent_is_dead_after_half_of_the_time_under_suspicion():
    watch = Watch(TAKEOVER)
    assert watch.dead({"a": 1}, 100.0) == []
    assert watch.dead({"a": 1}, 100.0 + LOOK) == []
    assert watch.dead({"a": 1}, 100.0 + 2 * LOOK) == ["a"]


@given(st.lists(st.integers(), min_size=1, max_size=50))
def test_a_heart_that_beats_is_never_dead_whatever_time_it_names(times):
    watch = Watch(TAKEOVER)
    for look, jump in enumerate(times):
        assert watch.dead({"a": jump * 1000 + look}, look * LOOK) == []


def test_after_an_outage_everybody_is_suspected_and_nobody_dead():
    watch = Watch(TAKEOVER)
    assert watch.dead({"a": 1, "b": 2}, 0.0) == []
    assert watch.dead({"a": 1, "b": 2}, 10 * TAKEOVER) == []
    assert watch.dead({"b": 3}, 10 * TAKEOVER + LOOK) == []


def test_who_is_heard_of_in_between_begins_anew():
    watch = Watch(TAKEOVER)
    watch.dead({"a": 1}, 0.0)
    watch.dead({}, LOOK)
    assert watch.dead({"a": 1}, 2 * LOOK) == []
