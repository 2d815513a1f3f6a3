"""What `auto` becomes."""

from hypothesis import given
from hypothesis import strategies as st

from regrade.core.hyperparameters import resolve


@given(st.integers(10, 100_000), st.sampled_from(["supervised", "dpo", "reinforcement"]))
def test_auto_is_within_what_the_api_accepts(rows, method):
    found = resolve(method, {"n_epochs": "auto", "batch_size": None}, rows)
    assert 1 <= found.n_epochs <= 50
    assert 1 <= found.batch_size <= min(256, rows)
    assert found.total_steps == -(-rows // found.batch_size) * found.n_epochs
    assert 1 <= found.eval_interval <= found.total_steps


def test_few_rows_are_seen_often_and_many_once():
    assert resolve("supervised", {}, 10).n_epochs == 10
    assert resolve("supervised", {}, 2_000).total_steps == 126
    assert resolve("supervised", {}, 100_000).n_epochs == 1


def test_what_is_given_is_taken():
    found = resolve("dpo", {"n_epochs": 3, "batch_size": 7, "beta": 0.3, "learning_rate_multiplier": 2}, 70)
    assert (found.n_epochs, found.batch_size, found.beta, found.learning_rate_multiplier) == (3, 7, 0.3, 2)
    assert resolve(
        "reinforcement", {"eval_interval": 4, "eval_samples": 2, "reasoning_effort": "low"}, 70
    ) == resolve("reinforcement", {"eval_interval": 4.0, "eval_samples": 2.0, "reasoning_effort": "low"}, 70)
