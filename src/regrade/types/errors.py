"""The bodies of errors, in OpenAI's form and in Azure's."""

from typing import Literal

from regrade.types.json import JsonObject
from regrade.types.wire import Answered


class ErrorDetail(Answered):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Answered):
    """An error under /v1."""

    error: ErrorDetail


class AzureErrorDetail(Answered):
    """What went wrong, as Azure clients read it."""

    code: str
    message: str
    param: str | None
    type: Literal["error"]
    inner_error: JsonObject


class AzureErrorBody(Answered):
    """An error under /openai and /openai/v1."""

    error: AzureErrorDetail
