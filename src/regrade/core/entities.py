"""What the store keeps, as frozen values: one class an object of the API, and the pieces of a run."""

from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

from regrade.core.results import Counts, CriterionTally, ItemStatus
from regrade.types.json import JsonObject

DEFAULT_PROJECT = "default"

RunStatus = Literal["queued", "in_progress", "completed", "failed", "canceled"]

StoredKind = Literal["chat", "response"]

JobStatus = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]

EventLevel = Literal["info", "warn", "error"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    data: list[T]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page of a list: `limit` rows after the exclusive cursor `after`, in `order`."""

    limit: int = 20
    after: str | None = None
    order: Literal["asc", "desc"] = "asc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What makes a create recognizable when a client repeats it after a lost answer."""

    fingerprint: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Eval:
    """A data source's shape and the criteria that grade it."""

    id: str
    project: str
    name: str
    created_at: int
    updated_at: int
    data_source_config: JsonObject
    """As answered: `schema` and never `item_schema`."""
    testing_criteria: list[JsonObject]
    """In normal form, each with its `id`."""
    metadata: JsonObject
    extra: JsonObject = field(default_factory=dict)
    """Fields of the create that nobody here knows; answered as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of an eval."""

    number: int = 0
    """The store's own small key of the run; 0 until stored."""
    id: str
    eval_id: str
    project: str
    name: str
    status: RunStatus
    model: str | None
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    data_source: JsonObject
    """As answered, but inline content lies in the blob `content` instead."""
    source_blob: str | None = None
    """The blob that the rows are read from: a file's, or the run's own inline content."""
    inline: bool = False
    """Whether `source_blob` is the run's own inline content, one row a line."""
    has_secrets: bool = False
    """Whether the blob of its secrets is still there."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Endpoints that are down while its calls wait for them, and since when (Unix seconds)."""
    metadata: JsonObject
    extra: JsonObject = field(default_factory=dict)
    """Fields of the create that nobody here knows; answered as they came."""
    error: JsonObject | None = None
    rows: int | None = None
    """How many rows the source has; known once planned."""
    counts: Counts = field(default_factory=Counts)
    criteria: dict[str, CriterionTally] = field(default_factory=dict)
    """Counts by criterion id, once the run has ended."""
    usage: list[JsonObject] = field(default_factory=list)
    """`per_model_usage` as answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A byte range of a run's source: the unit that one worker takes."""

    run_number: int
    k: int
    first_row: int
    """Index of its first row in the run."""
    rows: int
    first_line: int
    """Number of its first line in the file, counted from 1; blank lines count here and not as rows."""
    start: int
    stop: int
    """Bytes [start, stop) of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkClaim:
    """The right to write a chunk's results, until somebody else claims it (then `epoch` no longer fits)."""

    chunk: Chunk
    epoch: int
    done_rows: frozenset[int]
    """Row indexes whose results are already committed."""
    deaths: int = 0
    """How many workers died while they had it."""
    tally: JsonObject
    """The chunk's aggregates as last committed, as core/results.Tally.from_json reads them."""

    def undone_rows(self) -> list[int]:
        """Row indexes whose results are not committed."""
        first = self.chunk.first_row
        return [row for row in range(first, first + self.chunk.rows) if row not in self.done_rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that grades, from its start to its end: started again, it is another one."""

    id: str
    host: str
    pid: int
    server: str | None = None
    """What tells the server that started it from others; None where it was started by hand."""
    slot: int | None = None
    """Its place among the workers of that server."""


class FinishedItem(NamedTuple):
    """A graded row, ready to be stored and served."""

    row: int
    """Index of the row in the run."""
    status: ItemStatus
    created_at: int
    scores: bytes
    """JSON list: for each criterion in order its score, or null where it errored."""
    body: bytes
    """The output item as answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An uploaded file; its bytes are the blob `blob`."""

    id: str
    project: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None
    status: str = "processed"
    status_details: str | None = None
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that arrives in parts."""

    id: str
    project: str
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    """The size that the client announced."""
    created_at: int
    expires_at: int
    status: Literal["pending", "completed", "cancelled", "expired"]
    file_expires_after: int | None = None
    """Seconds after creation at which the file will expire."""
    file_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPart:
    """One part of an upload; its bytes are the blob `blob`."""

    id: str
    upload_id: str
    bytes: int
    created_at: int
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A call of a model that was kept: what was asked and what was answered."""

    id: str
    project: str
    kind: StoredKind
    model_asked: str
    model_answered: str
    created_at: int
    expires_at: int | None = None
    status: str = "completed"
    """As responses have it; a chat completion is always completed."""
    metadata: JsonObject
    request: bytes
    """JSON, without metadata and secrets; the input of a response holds all that it went on from."""
    answer: bytes
    """JSON, without metadata."""
    upstream_id: str | None = None
    """By which name the endpoint knows a response that it runs in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningJob:
    """A fine-tuning job, and how far it is."""

    number: int = 0
    """The store's own small key of the job; 0 until stored."""
    id: str
    project: str
    status: JobStatus
    model: str
    """As asked for."""
    base: str
    """The name among the operator's base models that it goes back to, also where `model` was tuned itself."""
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    training_file: str
    validation_file: str | None
    training_blob: str
    validation_blob: str | None
    suffix: str | None
    seed: int
    azure: bool
    """Whether the tuned model is to be named as on Azure."""
    method: JsonObject
    """As answered; `auto` becomes a number once the files are known."""
    integrations: list[JsonObject]
    metadata: JsonObject | None
    extra: JsonObject = field(default_factory=dict)
    """Fields of the create that nobody here knows; answered as they came."""
    error: JsonObject | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    estimated_finish: int | None = None
    result_file: str | None = None
    eval_id: str | None = None
    pausing: bool = False
    """Whether somebody wants it paused; the trainer saves first."""
    round: int = 1
    """How often it was set to work: once, and once more with each resume."""
    epoch: int = 0
    """Grows with every claim and every end; who writes names it, so that a former owner is refused."""
    token_hash: str | None = None
    """SHA-256 of the token with which its trainer asks for rewards."""
    trainer: JsonObject | None = None
    """The process that trains it, for whoever takes the job up; None where there is none."""
    progress: JsonObject = field(default_factory=dict)
    """What the workflow has read and done by now; see workflows/fine_tuning_job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A line in a job's story, or one step's metrics."""

    id: str
    created_at: int
    level: EventLevel = "info"
    message: str
    type: Literal["message", "metrics"] = "message"
    data: JsonObject = field(default_factory=dict)
    key: str | None = None
    """Events of a job with the same key are one event, told again: the later words replace the earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCheckpoint:
    """A step of a job whose weights are a model of their own."""

    id: str
    job_id: str
    step: int
    name: str
    created_at: int
    metrics: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTunedModel:
    """A model that was made here: the result of a job, or one of its checkpoints."""

    name: str
    project: str
    job_id: str
    step: int | None
    """Of a checkpoint."""
    base: str
    """The operator's base model that it goes back to."""
    folder: str
    """Relative to the folder of all jobs."""
    adapter_of: str | None = None
    """What its weights go on top of, where the folder holds a LoRA adapter alone."""
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPermission:
    """Another project may use a tuned model or checkpoint."""

    id: str
    model: str
    project_id: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key: only its hash is kept."""

    id: str
    project: str
    name: str
    hint: str
    """The key's last four characters, to tell keys apart."""
    admin: bool
    created_at: int
    revoked_at: int | None = None
