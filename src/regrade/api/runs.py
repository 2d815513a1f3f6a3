"""/evals/{eval_id}/runs."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from regrade.api.context import CurrentAttempt, CurrentProject, CurrentServices
from regrade.api.http import Document, json_response
from regrade.api.openapi import answers, takes
from regrade.api.paging import DEFAULT_LIMIT, HEAD, After, Limit, Order, tail
from regrade.api.tracing import leads_to
from regrade.core.entities import PageRequest, RunStatus
from regrade.services.runs import RunView
from regrade.types.runs import CreateRun, Run, RunDeleted, RunList

router = APIRouter(tags=["Eval runs"])

Status = Annotated[RunStatus | None, Query(description="Only runs in this state.")]


@router.post(
    "/evals/{eval_id}/runs",
    status_code=201,
    operation_id="createEvalRun",
    responses=answers(Run, 201, "The run, queued."),
    openapi_extra=takes(CreateRun),
)
def create_run(
    services: CurrentServices,
    project: CurrentProject,
    attempt: CurrentAttempt,
    eval_id: str,
    document: Document,
) -> Response:
    """Start a run of an eval."""
    view = services.creations.once(
        attempt,
        lambda creation: services.runs.create(project, eval_id, document, creation),
        lambda run_id: services.runs.get(project, eval_id, run_id),
    )
    leads_to(view.run.id)
    return _answer(view, 201)


@router.get("/evals/{eval_id}/runs", operation_id="getEvalRuns", responses=answers(RunList))
def list_runs(
    services: CurrentServices,
    project: CurrentProject,
    eval_id: str,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "asc",
    status: Status = None,
) -> Response:
    """List the runs of an eval."""
    page = services.runs.list(project, eval_id, PageRequest(limit=limit, after=after, order=order), status)
    pieces = _pieces(page.data, has_more=page.has_more)
    return _body(pieces, streamed=any(view.streamed for view in page.data))


@router.get("/evals/{eval_id}/runs/{run_id}", operation_id="getEvalRun", responses=answers(Run))
def retrieve_run(services: CurrentServices, project: CurrentProject, eval_id: str, run_id: str) -> Response:
    """Retrieve a run."""
    return _answer(services.runs.get(project, eval_id, run_id))


@router.post("/evals/{eval_id}/runs/{run_id}", operation_id="cancelEvalRun", responses=answers(Run))
@router.post("/evals/{eval_id}/runs/{run_id}/cancel", operation_id="cancelEvalRunByPath", responses=answers(Run))
def cancel_run(services: CurrentServices, project: CurrentProject, eval_id: str, run_id: str) -> Response:
    """Cancel a run; what is graded stays."""
    return _answer(services.runs.cancel(project, eval_id, run_id))


@router.delete("/evals/{eval_id}/runs/{run_id}", operation_id="deleteEvalRun", responses=answers(RunDeleted))
def delete_run(services: CurrentServices, project: CurrentProject, eval_id: str, run_id: str) -> Response:
    """Delete a run and its output items."""
    return json_response(services.runs.delete(project, eval_id, run_id))


def _answer(view: RunView, status: int = 200) -> Response:
    return _body(view.pieces(), streamed=view.streamed, status=status)


def _body(pieces: Iterator[bytes], *, streamed: bool, status: int = 200) -> Response:
    """Inline content can be as large as the largest body, and a list has many: those are never whole in memory."""
    if streamed:
        return StreamingResponse(pieces, status, media_type="application/json")
    return json_response(b"".join(pieces), status)


def _pieces(views: Sequence[RunView], *, has_more: bool) -> Iterator[bytes]:
    yield HEAD
    for index, view in enumerate(views):
        if index:
            yield b","
        yield from view.pieces()
    ids = [view.id for view in views]
    yield tail(ids[0] if ids else None, ids[-1] if ids else None, has_more=has_more)
