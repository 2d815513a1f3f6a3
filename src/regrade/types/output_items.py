"""Output items: the graded rows of a run."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered


class CriterionGrade(Answered):
    """What one criterion says of the row."""

    name: Annotated[str, Field(description="The id of the criterion.")]
    type: str
    score: float
    passed: bool
    sample: JsonObject | None


class SampleError(Answered):
    """Why there is no sample."""

    code: str
    message: str


class SampleUsage(Answered):
    """Tokens of the call that made the sample."""

    total_tokens: int
    completion_tokens: int
    prompt_tokens: int
    cached_tokens: int


class Sample(Answered):
    """The answer that was graded."""

    input: list[JsonObject]
    output: list[JsonObject]
    finish_reason: str | None
    model: str | None
    usage: SampleUsage | None
    error: SampleError | None
    temperature: float | None
    max_completion_tokens: int | None
    top_p: float | None
    seed: int | None


class OutputItem(Answered):
    """One graded row."""

    object: Literal["eval.run.output_item"]
    id: str
    run_id: str
    eval_id: str
    created_at: int
    status: Literal["pass", "fail", "error"]
    datasource_item_id: Annotated[int, Field(description="The row's index in the source, counted from 0.")]
    datasource_item: JsonObject
    results: list[CriterionGrade]
    sample: Sample


class OutputItemList(CursorList[OutputItem]):
    """One page of a run's output items, in row order."""
