"""/fine_tuning/alpha/graders."""

from fastapi import APIRouter
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.http import Document, json_response
from regrade.api.openapi import answers, takes
from regrade.types.graders import GraderRun, GraderValidated, RunGrader, ValidateGrader

router = APIRouter(tags=["Graders"], prefix="/fine_tuning/alpha/graders")


@router.post(
    "/validate",
    operation_id="validateGrader",
    responses=answers(GraderValidated),
    openapi_extra=takes(ValidateGrader),
)
def validate_grader(services: CurrentServices, document: Document) -> Response:
    """Check a grader."""
    return json_response(services.graders.validate(document))


@router.post("/run", operation_id="runGrader", responses=answers(GraderRun), openapi_extra=takes(RunGrader))
def run_grader(services: CurrentServices, project: CurrentProject, document: Document) -> Response:
    """Try a grader on one sample."""
    return json_response(services.graders.run(document, project))
