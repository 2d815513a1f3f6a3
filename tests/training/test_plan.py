"""The numbers of a job that depend on its model, rows and processes."""

from hypothesis import given
from hypothesis import strategies as st

from regrade.core.training_job import Spec
from regrade.training.plan import plan


def spec(**given_values):
    values = {
        "job_id": "j", "method": "supervised", "base_model": "b", "base_path": "b", "model_name": "m",
        "training_file": "f", "seed": 1, "n_epochs": 2, "batch_size": 8, "eval_interval": 1, **given_values,
    }  # fmt: skip
    return Spec(**values)


@given(
    method=st.sampled_from(["supervised", "dpo", "reinforcement"]),
    batch=st.integers(1, 256),
    rows=st.integers(1, 10_000),
    longest=st.integers(1, 100_000),
    processes=st.integers(1, 16),
    multiplier=st.floats(0.01, 10),
)
def test_processes_share_every_batch_evenly(method, batch, rows, longest, processes, multiplier):
    found = plan(
        spec(method=method, batch_size=batch, compute_multiplier=multiplier),
        rows=rows,
        longest=longest,
        parameters=1_000_000,
        processes=processes,
    )
    assert found.rows_at_once * found.accumulation * processes == found.batch_size * found.generations
    assert batch <= found.batch_size < batch + processes
    assert found.total_steps == -(-rows // found.batch_size) * 2


def test_larger_models_learn_in_smaller_steps():
    rates = [
        plan(spec(), rows=10, longest=10, parameters=size, processes=1).learning_rate
        for size in (10**6, 10**9, 10**10)
    ]
    assert rates[0] == 2e-3
    assert 1e-5 < rates[1] < 3e-5
    assert rates[2] < rates[1]
    assert plan(spec(learning_rate=0.5), rows=10, longest=10, parameters=10**9, processes=1).learning_rate == 0.5


def test_long_rows_are_accumulated():
    found = plan(spec(batch_size=32), rows=64, longest=4_096, parameters=10**6, processes=1)
    assert (found.rows_at_once, found.accumulation) == (8, 4)
    assert plan(spec(rows_at_once=3), rows=8, longest=9, parameters=10**6, processes=1).rows_at_once == 2
