"""Embeddings."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.json import JsonObject, JsonValue
from regrade.types.wire import Answered, Received


class CreateEmbedding(Received):
    """The body of POST /embeddings; what is not named here reaches the endpoint as it is."""

    model: Annotated[str, Field(min_length=1)]
    input: JsonValue


class CreateDeployedEmbedding(Received):
    """The same where the URL names the model."""

    input: JsonValue


class EmbeddingList(Answered):
    """The embedding of each text."""

    object: Literal["list"]
    data: list[JsonObject]
