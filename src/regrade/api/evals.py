"""/evals."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.context import attempt as attempt_of
from regrade.api.context import project as project_of
from regrade.api.context import services as services_of
from regrade.api.http import Document, json_response
from regrade.api.http import document as document_of
from regrade.api.openapi import answers, takes
from regrade.api.paging import DEFAULT_LIMIT, After, Limit, Order, OrderBy, envelope
from regrade.core.entities import PageRequest
from regrade.core.jsontext import dumps
from regrade.types.evals import CreateEval, Eval, EvalDeleted, EvalList, UpdateEval

router = APIRouter(tags=["Evals"])


@router.post(
    "/evals",
    status_code=201,
    operation_id="createEval",
    responses=answers(Eval, 201, "The eval, in normal form."),
    openapi_extra=takes(CreateEval),
)
async def create_eval(request: Request) -> Response:
    """Create an eval."""
    project = await project_of(request)
    services = await services_of(request)
    document = await document_of(request)
    made = await run_in_threadpool(
        services.creations.once,
        await attempt_of(request, project),
        lambda creation: services.evals.create(project, document, creation),
        lambda eval_id: services.evals.get(project, eval_id),
    )
    return json_response(made, 201)


@router.get("/evals", operation_id="listEvals", responses=answers(EvalList))
def list_evals(
    services: CurrentServices,
    project: CurrentProject,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "asc",
    order_by: OrderBy = "created_at",
) -> Response:
    """List evals."""
    page = services.evals.list(project, PageRequest(limit=limit, after=after, order=order), order_by=order_by)
    ids = [eval_["id"] for eval_ in page.data]
    return json_response(
        envelope(
            [dumps(eval_) for eval_ in page.data],
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=page.has_more,
        )
    )


@router.get("/evals/{eval_id}", operation_id="getEval", responses=answers(Eval))
def retrieve_eval(services: CurrentServices, project: CurrentProject, eval_id: str) -> Response:
    """Retrieve an eval."""
    return json_response(services.evals.get(project, eval_id))


@router.post(
    "/evals/{eval_id}", operation_id="updateEval", responses=answers(Eval), openapi_extra=takes(UpdateEval)
)
def update_eval(services: CurrentServices, project: CurrentProject, eval_id: str, document: Document) -> Response:
    """Rename an eval or replace its metadata."""
    return json_response(services.evals.update(project, eval_id, document))


@router.delete("/evals/{eval_id}", operation_id="deleteEval", responses=answers(EvalDeleted))
def delete_eval(services: CurrentServices, project: CurrentProject, eval_id: str) -> Response:
    """Delete an eval and its runs."""
    return json_response(services.evals.delete(project, eval_id))
