"""Rows and criteria that would keep a run from ever ending, or its page from ever being shown."""

import asyncio
import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints import no_python
from evals import EXACT, upload, wait
from regrade.core import criteria
from regrade.core.entities import Eval, Run
from regrade.core.errors import InvalidError, RowError
from regrade.core.formula import compile_formula
from regrade.core.results import Tally
from regrade.core.usage import counted
from regrade.sources.jsonl import Line
from regrade.system import SystemClock
from regrade.workflows.grading import CompiledEval, RowGrading

LONG = int("9" * 4300)


@pytest.mark.parametrize("formula", ["1e308", "1.7976931348623157e308", "-1e101", "10^200"])
def test_a_formula_comes_to_nothing_immense(formula):
    with pytest.raises(RowError, match="too large"):
        compile_formula(formula, []).value({})


def test_immense_steps_towards_a_small_value_are_fine():
    assert compile_formula("1e200 / 1e199", []).value({}) == pytest.approx(10)


def test_a_range_has_bounds_that_can_be_added_up():
    grader = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "x"}]}
    with pytest.raises(InvalidError, match="range"):
        criteria.normalise({**grader, "range": [0.0, 1.7e308]})


def test_a_count_of_tokens_too_long_for_a_sum_is_unknown():
    assert counted({"prompt_tokens": LONG, "completion_tokens": LONG, "cached_tokens": 2}) == (0, 0, 0, 2)


def test_a_run_of_strange_rows_ends_and_its_page_is_shown(client, server):
    immense = {"type": "multi", "calculate_output": "1e308 * (2 * g - 1)", "graders": {"g": EXACT}}
    made = client.evals.create(
        data_source_config={"type": "custom", "item_schema": {}}, testing_criteria=[immense, EXACT]
    )
    item = {"answer": "a\0", "reference": "a\0"}
    usage = {"prompt_tokens": LONG, "completion_tokens": LONG}
    rows = [{"item": item, "sample": {"output_text": "x", "usage": usage}}] * 3 + [{"item": {}, "sample": [1]}]
    source = {"type": "jsonl", "source": {"type": "file_id", "id": upload(client, rows).id}}
    run = wait(client, client.evals.runs.create(made.id, data_source=source), 20)
    assert (run.status, run.result_counts.errored) == ("failed", 4)
    assert httpx2.get(run.report_url).status_code == 200
    for each in client.evals.runs.output_items.list(run.id, eval_id=made.id):
        page = httpx2.get(f"{run.report_url}/items/{each.id}")
        assert page.status_code == 200


values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.sampled_from([LONG, -LONG, 0, 1, "", "x", "\0", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "item",
                    "sample",
                    "output",
                    "output_text",
                    "output_json",
                    "choices",
                    "message",
                    "content",
                    "role",
                    "type",
                    "tool_calls",
                    "usage",
                    "error",
                    "finish_reason",
                    "input_tools",
                    "tools",
                    "summary",
                    "name",
                    "arguments",
                    "call_id",
                    "total_tokens",
                    "prompt_tokens",
                    "prompt_tokens_details",
                    "cached_tokens",
                    "model",
                    "seed",
                    "top_p",
                    "text",
                    "image_url",
                    "url",
                    "audio",
                    "refusal",
                    "incomplete_details",
                    "reason",
                    "code",
                    "max_completion_tokens",
                    "status",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


class NoModels:
    """A server without model endpoints."""

    def names(self):
        return []


ROWS = CompiledEval(
    Eval(
        id="eval_1",
        project="default",
        name="",
        created_at=0,
        updated_at=0,
        data_source_config={"schema": {"properties": {"item": {"properties": {"text": {"type": "string"}}}}}},
        testing_criteria=[
            {**EXACT, "id": "a", "input": "{{item.text}}", "reference": "{{sample.output_text}}"},
            {**EXACT, "id": "b", "input": "{{sample.output_json.text[0]}}", "reference": "{{sample.choices[0]}}"},
            {**EXACT, "id": "c", "input": "{{sample.output_tools}}", "reference": "{{sample.input_tools}}"},
        ],
        metadata={},
    ),
    NoModels(),
    no_python().open(),
)
RUN = Run(
    id="evalrun_1",
    eval_id="eval_1",
    project="default",
    name="",
    status="in_progress",
    model=None,
    created_at=0,
    data_source={},
    metadata={},
)


@given(item=values, sample=values)
def test_no_row_is_a_fault(item, sample):
    text = json.dumps({"item": item, "sample": sample}).encode()
    grading = RowGrading(ROWS, RUN, Tally.empty(ROWS.names), SystemClock(), 1_000_000)
    finished = asyncio.run(grading.finish(Line(0, 1, text)))
    assert json.loads(finished.body)["status"] == finished.status
