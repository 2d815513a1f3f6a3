"""Tokens counted by any API, added up by model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.usage import Tokens, UsageByModel, counted


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1},
            },
            (3, 2, 5, 1),
        ),
        ({"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}}, (3, 2, 5, 1)),
        ({"prompt_tokens": 3, "total_tokens": 3}, (3, 0, 3, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": 1}, (3, 2, 5, 1)),
        ({"prompt_tokens": None, "completion_tokens": "2"}, (0, 0, 0, 0)),
        (None, (0, 0, 0, 0)),
    ],
)
def test_tokens_are_read_from_every_api(usage, tokens):
    assert counted(usage) == Tokens(*tokens)


def test_usage_is_answered_by_model_in_the_order_of_names():
    usage = UsageByModel()
    usage.add("b", {"input_tokens": 3, "output_tokens": 2})
    usage.add("a", None)
    usage.add("b", {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}})
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cached_tokens": 0}
    both = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7, "cached_tokens": 1}
    assert usage.as_json() == [
        {"model_name": "a", "invocation_count": 1, **nothing},
        {"model_name": "b", "invocation_count": 2, **both},
    ]
    assert usage.tokens_by_model() == {"a": nothing, "b": both}


counts = st.integers(0, 9)
answers = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.fixed_dictionaries({"prompt_tokens": counts, "output_tokens": counts, "cached_tokens": counts}),
    ),
    max_size=6,
)


def added(calls):
    usage = UsageByModel()
    for model, tokens in calls:
        usage.add(model, tokens)
    return usage


@given(answers, answers)
def test_merging_is_the_same_as_counting_everything_at_once(first, second):
    for one, other in ((first, second), (second, first)):
        merged = UsageByModel.from_json(added(one).as_json())
        merged.merge(added(other))
        assert merged.as_json() == added([*first, *second]).as_json()
