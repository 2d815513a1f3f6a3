"""Ids: in the order of time, and output items' ids made of their run and row alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.errors import InvalidError
from regrade.core.ids import PREFIXES, item_key, output_item_id, output_item_index, time_ordered

moments = st.integers(0, 2**32 * 10**9 - 1)
bits = st.integers(0, 2**64 - 1)
rows = st.integers(0, 2**32 - 1)
runs = st.builds(time_ordered, st.just(PREFIXES["run"]), moments, bits)


@given(moments, moments, bits, bits)
def test_ids_sort_as_their_moments_do(earlier, later, one, other):
    if earlier < later:
        assert time_ordered("eval_", earlier, one) < time_ordered("eval_", later, other)


@given(moments, bits)
def test_an_id_begins_with_its_second_as_hosted_ones_do(moment, random):
    made = time_ordered("eval_", moment, random)
    assert len(made) == len("eval_") + 32
    assert int(made[5:13], 16) == moment // 10**9


@given(runs, rows)
def test_an_output_item_id_names_its_row(run, row):
    assert output_item_index(run, output_item_id(run, row)) == row


@given(runs, runs, rows)
def test_an_output_item_id_of_another_run_names_nothing(run, other, row):
    if run[:32] != other[:32]:
        assert output_item_index(run, output_item_id(other, row)) is None


@given(runs, st.text(max_size=50))
def test_any_other_text_names_nothing(run, text):
    index = output_item_index(run, text)
    assert index is None or output_item_id(run, index) == text


@given(st.integers(1, 2**31 - 2), rows, rows)
def test_keys_keep_runs_apart_and_rows_in_order(number, row, other):
    assert item_key(number, row) < item_key(number + 1, other) < 2**63
    assert (item_key(number, row) < item_key(number, other)) == (row < other)


def test_a_run_has_no_more_rows_than_its_keys():
    with pytest.raises(InvalidError):
        item_key(1, 2**32)
