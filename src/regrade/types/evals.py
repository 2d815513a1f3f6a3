"""Evals."""

from typing import Annotated, Literal

from pydantic import Field, SkipValidation

from regrade.types.graders import Grader
from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Metadata, Received

Name = Annotated[str, Field(max_length=512)]


class CustomConfig(Received):
    """Rows of a shape that the client describes; `schema` is what an answer says instead of `item_schema`."""

    type: Literal["custom"]
    item_schema: JsonObject | None = None
    include_sample_schema: bool | None = None


class LogsConfig(Received):
    """Rows from stored completions and responses; `stored_completions` is the older name."""

    type: Literal["logs", "stored_completions"]
    metadata: JsonObject | None = None


DataSourceConfig = Annotated[CustomConfig | LogsConfig, Field(discriminator="type")]


class CreateEval(Received):
    """The body of POST /evals."""

    data_source_config: DataSourceConfig
    testing_criteria: Annotated[list[SkipValidation[Grader]], Field(min_length=1, max_length=1000)]
    """Checked one by one in core/criteria, which says more of what is wrong."""
    name: Name | None = None
    metadata: Metadata | None = None


class UpdateEval(Received):
    """The body of POST /evals/{eval_id}: what is given replaces, `metadata: null` clears."""

    name: Name | None = None
    metadata: Metadata | None = None


class StoredConfig(Answered):
    """A data source config with the schema of the rows that it stands for."""

    type: Literal["custom", "logs", "stored_completions"]
    schema_: Annotated[JsonObject, Field(alias="schema")]
    metadata: JsonObject | None = None


class Criterion(Answered):
    """A grader as understood, with the id by which results name it."""

    type: str
    name: str
    id: str


class Eval(Answered):
    """A data source's shape and the criteria that grade it."""

    object: Literal["eval"]
    id: str
    name: str
    created_at: int
    data_source_config: StoredConfig
    testing_criteria: list[Criterion]
    metadata: Metadata


class EvalList(CursorList[Eval]):
    """One page of evals."""


class EvalDeleted(Answered):
    """An eval that is gone, with all its runs."""

    object: Literal["eval.deleted"]
    deleted: bool
    eval_id: str
