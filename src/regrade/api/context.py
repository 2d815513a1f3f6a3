"""What every route is given: the services, the caller's project, and how to recognize a repeated create."""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from regrade.api.auth import candidates, refusal
from regrade.api.http import body_of
from regrade.core.entities import DEFAULT_PROJECT
from regrade.core.errors import ForbiddenError
from regrade.services.chat_completions import ChatCompletions
from regrade.services.checkpoint_permissions import CheckpointPermissions
from regrade.services.creations import Attempt, Creations
from regrade.services.embeddings import Embeddings
from regrade.services.evals import Evals
from regrade.services.files import Files
from regrade.services.fine_tuning import FineTuning
from regrade.services.graders import Graders
from regrade.services.keys import Keys
from regrade.services.models import Models
from regrade.services.output_items import OutputItems
from regrade.services.responses import Responses
from regrade.services.rewards import Rewards
from regrade.services.runs import Runs
from regrade.services.uploads import Uploads
from regrade.services.webhook_endpoints import WebhookEndpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that routes call."""

    evals: Evals
    runs: Runs
    output_items: OutputItems
    files: Files
    uploads: Uploads
    graders: Graders
    models: Models
    fine_tuning: FineTuning
    checkpoint_permissions: CheckpointPermissions
    rewards: Rewards
    webhook_endpoints: WebhookEndpoints
    chat_completions: ChatCompletions
    responses: Responses
    embeddings: Embeddings
    keys: Keys
    creations: Creations


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def services(request: Request) -> Services:
    """The services of this server."""
    return _services(request)


async def project(request: Request) -> str:
    """The project of the caller's key; `default` where the server has no keys. Raises AuthenticationError."""
    keys = _services(request).keys
    if keys.open():
        return DEFAULT_PROJECT
    given = candidates(request.headers)
    key = keys.authenticate(given)  # in memory, as `open` is
    if key is None:
        raise refusal(given, request.scope)
    return key.project


async def admin(request: Request) -> None:
    """Raises ForbiddenError where the caller's key is not an admin's; without keys everybody is one."""
    keys = _services(request).keys
    if not keys.open():
        key = keys.authenticate(candidates(request.headers))
        if key is None or not key.admin:
            raise ForbiddenError("This needs an admin key: 'regrade keys create --admin' makes one.")


CurrentServices = Annotated[Services, Depends(services)]
CurrentProject = Annotated[str, Depends(project)]


def attempt_of(request: Request, owner: str, body_hash: str) -> Attempt:
    """The create that this request is, for bodies whose bytes differ between repeats, such as multipart ones."""
    prefix: str = request.scope.get("root_path", "")
    retries = request.headers.get("x-stainless-retry-count", "")
    return Attempt(
        project=owner,
        path=request.scope["path"].removeprefix(prefix),
        body_hash=body_hash,
        repeat=retries.isdecimal() and bool(retries.strip("0")),
        idempotency_key=request.headers.get("idempotency-key"),
    )


async def attempt(request: Request, owner: CurrentProject) -> Attempt:
    """The create that this request is: repeats of a JSON body have the same bytes."""
    return attempt_of(request, owner, hashlib.sha256(await body_of(request)).hexdigest())


CurrentAttempt = Annotated[Attempt, Depends(attempt)]
