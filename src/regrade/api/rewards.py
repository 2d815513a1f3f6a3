"""/regrade/fine_tuning/jobs/{id}/grade: rewards for the trainer of a reinforcement job."""

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from regrade.api.auth import candidates
from regrade.api.http import BodyError, body_of, json_response
from regrade.core.jsontext import JsonTextError, loads
from regrade.services.rewards import Rewards


def routes(rewards: Rewards) -> list[Route]:
    """The route, for the root of the server: the job's token opens it, and no key does."""

    def graded(job_id: str, token: str, body: bytes) -> Response:
        rewards.check(job_id, token)
        try:
            document = loads(body)
        except JsonTextError as error:
            raise BodyError(f"We could not parse the JSON body of your request. {error.message}") from error
        return json_response({"data": rewards.grade(job_id, document)})

    async def grade(request: Request) -> Response:
        given = candidates(request.headers)
        token = given[0] if given else ""
        body = await body_of(request)
        return await run_in_threadpool(graded, request.path_params["job_id"], token, body)

    return [Route("/regrade/fine_tuning/jobs/{job_id}/grade", grade, methods=["POST"])]
