"""Responses."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Metadata, Received


class CreateResponse(Received):
    """The body of POST /responses; what is not named here reaches the endpoint as it is."""

    model: Annotated[str, Field(min_length=1)]
    input: str | list[JsonObject] | None = None
    store: Annotated[
        bool | None, Field(description="Whether this server stores request and answer; yes unless said.")
    ] = None
    metadata: Metadata | None = None
    previous_response_id: Annotated[
        str | None, Field(description="A stored response of this server, which this one goes on from.")
    ] = None
    stream: bool | None = None
    background: Annotated[
        bool | None, Field(description="Only for models of endpoints that speak the responses API.")
    ] = None
    tools: list[JsonObject] | None = None


class Response(Answered):
    """What a model answered, and what it was asked."""

    object: Literal["response"]
    id: str
    created_at: int
    model: str
    output: list[JsonObject]


class InputItem(Answered):
    """Something that a response answered."""

    id: str
    type: str


class InputItemList(CursorList[InputItem]):
    """One page of what a response answered."""


class ResponseDeleted(Answered):
    """A stored response that is gone."""

    object: Literal["response"]
    id: str
    deleted: bool
