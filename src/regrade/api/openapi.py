"""The OpenAPI document: what the routes read and answer, said truthfully."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from regrade.types.errors import AzureErrorBody, ErrorBody
from regrade.types.json import JsonObject

PREFIXES = ("/v1", "/openai/v1", "/openai")
"""Of OpenAI's clients, of Azure's v1 API, and of AzureOpenAI; the longer of two that overlap comes first."""

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody | AzureErrorBody, "description": "The request cannot be served as it is."},
    "5XX": {"model": ErrorBody | AzureErrorBody, "description": "The server cannot serve any such request now."},
}

_REF = "#/components/schemas/{model}"
_SCHEMAS = "x-schemas"  # carries what a body refers to, from the route to the document


def takes(model: type[BaseModel], *, required: bool = True) -> JsonObject:
    """For a route's `openapi_extra`: its JSON body, which services parse themselves."""
    schema = model.model_json_schema(ref_template=_REF)
    schemas = {**schema.pop("$defs", {}), model.__name__: schema}
    reference = {"$ref": _REF.format(model=model.__name__)}
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": reference}}},
        _SCHEMAS: schemas,
    }


def answers(model: type[BaseModel], status: int = 200, description: str = "Success.") -> dict[int | str, Any]:
    """For a route's `responses`: what it answers when all is well."""
    return {status: {"model": model, "description": description}}


def streams(model: type[BaseModel]) -> dict[int | str, Any]:
    """As `answers`, for a route that with `stream` answers the same in events."""
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    return {200: {"model": model, "description": "Success; with `stream`, its events.", "content": events}}


def describe(app: FastAPI, version: str) -> JsonObject:
    """The document of the API's routes, for each of its prefixes."""
    found = get_openapi(
        title="Regrade",
        version=version,
        description="OpenAI's Evals, Graders, Files, Uploads and Models API, on your own machine.",
        routes=app.routes,
        servers=[{"url": prefix} for prefix in PREFIXES],
    )
    components = found["components"]
    for path in found["paths"].values():
        for operation in path.values():
            components["schemas"].update(operation.pop(_SCHEMAS, {}))
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of this server, as OpenAI clients send.",
        },
        "apiKey": {"type": "apiKey", "in": "header", "name": "api-key", "description": "The same, as Azure's do."},
    }
    # The empty requirement: a server without keys, which answers on loopback only.
    found["security"] = [{"bearer": []}, {"apiKey": []}, {}]
    return found
