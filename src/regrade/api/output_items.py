"""/evals/{eval_id}/runs/{run_id}/output_items."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.http import json_response
from regrade.api.openapi import answers
from regrade.api.paging import DEFAULT_LIMIT, After, Limit, envelope
from regrade.core.results import ItemStatus
from regrade.types.output_items import OutputItem, OutputItemList

router = APIRouter(tags=["Output items"])

StatusWord = Literal["pass", "passed", "fail", "failed", "error", "errored"]

# OpenAI's text and its enum disagree on the words of the filter: both are read.
_STATUS: dict[StatusWord, ItemStatus] = {
    "pass": "pass",
    "passed": "pass",
    "fail": "fail",
    "failed": "fail",
    "error": "error",
    "errored": "error",
}


@router.get(
    "/evals/{eval_id}/runs/{run_id}/output_items",
    operation_id="getEvalRunOutputItems",
    responses=answers(OutputItemList),
)
def list_output_items(
    services: CurrentServices,
    project: CurrentProject,
    eval_id: str,
    run_id: str,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Annotated[Literal["asc", "desc"], Query(description="By row.")] = "asc",
    status: Annotated[StatusWord | None, Query(description="Only rows that ended so.")] = None,
) -> Response:
    """List the graded rows of a run."""
    page = services.output_items.list(
        project,
        eval_id,
        run_id,
        after=after,
        limit=limit,
        order=order,
        status=_STATUS[status] if status else None,
    )
    return json_response(envelope(page.data, first_id=page.first_id, last_id=page.last_id, has_more=page.has_more))


@router.get(
    "/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}",
    operation_id="getEvalRunOutputItem",
    responses=answers(OutputItem),
)
def retrieve_output_item(
    services: CurrentServices, project: CurrentProject, eval_id: str, run_id: str, output_item_id: str
) -> Response:
    """Retrieve one graded row."""
    return json_response(services.output_items.get(project, eval_id, run_id, output_item_id))
