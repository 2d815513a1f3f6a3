"""What every type of the wire has in common."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Received(BaseModel):
    """Something a client sends: strict about the types of known fields, silent about unknown ones."""

    model_config = ConfigDict(extra="allow", strict=True)


class Answered(BaseModel):
    """Something the server sends: only ever read by the OpenAPI document, never validated on the way out."""

    model_config = ConfigDict(extra="allow")


Metadata = Annotated[
    dict[str, Any],
    Field(
        description="Up to 16 pairs; keys have at most 64 characters, values are strings of at most 512.",
        json_schema_extra={
            "maxProperties": 16,
            "propertyNames": {"maxLength": 64},
            "additionalProperties": {"type": "string", "maxLength": 512},
        },
    ),
]
