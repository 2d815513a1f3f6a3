"""Eval runs."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Metadata, Received

# Unix time; beyond what JSON numbers hold exactly there is none, nor in 64 bits of a database.
Seconds = Annotated[int, Field(ge=-(2**53), le=2**53)]


class FileContentSource(Received):
    """Rows in the request itself."""

    type: Literal["file_content"]
    content: Annotated[
        list[JsonObject],
        Field(
            min_length=1,
            description="Rows as `{item, sample?}`; a row without an object `item` is itself the item.",
        ),
    ]


class FileIdSource(Received):
    """Rows in an uploaded file, one JSON object a line."""

    type: Literal["file_id"]
    id: str


class StoredCompletionsSource(Received):
    """Rows from stored chat completions."""

    type: Literal["stored_completions"]
    metadata: JsonObject | None = None
    model: str | None = None
    created_after: Seconds | None = None
    created_before: Seconds | None = None
    limit: int | None = None


class ResponsesSource(Received):
    """Rows from stored responses."""

    type: Literal["responses"]
    metadata: JsonObject | None = None
    model: str | None = None
    instructions_search: str | None = None
    created_after: Seconds | None = None
    created_before: Seconds | None = None
    limit: int | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    users: list[str] | None = None
    tools: list[str] | None = None


JsonlSource = Annotated[FileContentSource | FileIdSource, Field(discriminator="type")]
CompletionsSource = Annotated[
    FileContentSource | FileIdSource | StoredCompletionsSource, Field(discriminator="type")
]
AnyResponsesSource = Annotated[FileContentSource | FileIdSource | ResponsesSource, Field(discriminator="type")]


class JsonlDataSource(Received):
    """Rows that are graded as they are, with the sample that they bring, if any."""

    type: Literal["jsonl"]
    source: JsonlSource


class TemplateMessages(Received):
    """Messages with `{{item.…}}` in them."""

    type: Literal["template"]
    template: list[JsonObject]


class ItemReferenceMessages(Received):
    """Messages that each row brings itself, such as `item.input`."""

    type: Literal["item_reference"]
    item_reference: str


InputMessages = Annotated[TemplateMessages | ItemReferenceMessages, Field(discriminator="type")]


class CompletionsDataSource(Received):
    """Rows whose samples are asked from a model by chat completions."""

    type: Literal["completions"]
    source: CompletionsSource
    input_messages: InputMessages | None = None
    model: str | None = None
    sampling_params: JsonObject | None = None


class ResponsesDataSource(Received):
    """Rows whose samples are asked from a model by the responses API."""

    type: Literal["responses"]
    source: AnyResponsesSource
    input_messages: InputMessages | None = None
    model: str | None = None
    sampling_params: JsonObject | None = None


DataSource = Annotated[JsonlDataSource | CompletionsDataSource | ResponsesDataSource, Field(discriminator="type")]


class CreateRun(Received):
    """The body of POST /evals/{eval_id}/runs."""

    data_source: DataSource
    name: Annotated[str, Field(max_length=512)] | None = None
    metadata: Metadata | None = None


class ResultCounts(Answered):
    """How many rows ended how; never null."""

    total: int
    errored: int
    failed: int
    passed: int


class ModelUsage(Answered):
    """What one model was asked during the run."""

    model_name: str
    invocation_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


class CriterionResult(Answered):
    """How many rows passed one criterion."""

    testing_criteria: Annotated[str, Field(description="The id of the criterion.")]
    passed: int
    failed: int
    errored: int


class RunError(Answered):
    """Why the run as a whole failed."""

    code: str
    message: str


class Run(Answered):
    """One execution of an eval."""

    object: Literal["eval.run"]
    id: str
    eval_id: str
    status: Literal["queued", "in_progress", "completed", "failed", "canceled"]
    model: str | None
    name: str
    created_at: int
    report_url: str
    result_counts: ResultCounts
    per_model_usage: list[ModelUsage]
    per_testing_criteria_results: list[CriterionResult]
    data_source: JsonObject
    waiting: Annotated[
        dict[str, int] | None,
        Field(description="Endpoints that are down while calls wait for them, and since when; else it is absent."),
    ] = None
    error: RunError | None
    metadata: Metadata


class RunList(CursorList[Run]):
    """One page of an eval's runs."""


class RunDeleted(Answered):
    """A run that is gone."""

    object: Literal["eval.run.deleted"]
    deleted: bool
    run_id: str
