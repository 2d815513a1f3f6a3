"""Chat completions."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Metadata, Received


class CreateChatCompletion(Received):
    """The body of POST /chat/completions; what is not named here reaches the endpoint as it is."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[JsonObject], Field(min_length=1)]
    store: Annotated[
        bool | None, Field(description="Whether this server stores request and answer; no unless said.")
    ] = None
    metadata: Metadata | None = None
    stream: bool | None = None
    tools: list[JsonObject] | None = None


class CreateDeployedChatCompletion(Received):
    """The same where the URL names the model."""

    messages: Annotated[list[JsonObject], Field(min_length=1)]
    store: bool | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
    tools: list[JsonObject] | None = None


class UpdateChatCompletion(Received):
    """The body of POST /chat/completions/{completion_id}: null clears the metadata."""

    metadata: Metadata | None


class ChatCompletion(Answered):
    """What a model answered; a stored one also says what was asked."""

    object: Literal["chat.completion"]
    id: str
    created: int
    model: str
    choices: list[JsonObject]


class ChatCompletionList(CursorList[ChatCompletion]):
    """One page of stored chat completions."""


class ChatMessage(Answered):
    """A message that a stored chat completion answered."""

    id: str
    role: str
    content: str | None
    content_parts: list[JsonObject] | None


class ChatMessageList(CursorList[ChatMessage]):
    """One page of the messages of a stored chat completion."""


class ChatCompletionDeleted(Answered):
    """A stored chat completion that is gone."""

    object: Literal["chat.completion.deleted"]
    id: str
    deleted: bool
