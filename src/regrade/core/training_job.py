"""What the server tells a trainer, and what a trainer tells the server: one job, as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from regrade.types.json import JsonObject

Method = Literal["supervised", "dpo", "reinforcement"]
Tuning = Literal["lora", "full"]

EXIT_DONE = 0
EXIT_PAUSED = 75
"""How a trainer ends that was asked to (SIGTERM) and saved a checkpoint; any other code but 0 is a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """Where rewards come from: `POST url` with `Authorization: Bearer token`.

    The body is `[{"item": ..., "sample": ...}, ...]`; the answer `{"data": [...]}` has for each, in order,
    `reward` (a number, 0 where grading failed), `scores` (grader name -> number), `seconds`, `usage`
    (`[[model, usage], ...]`) and `errors` (`[{"name", "kind", "message"}]`). All but `reward` may be absent.
    """

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wandb:
    """Where a job is reported to Weights & Biases; the key is in the trainer's environment."""

    project: str
    name: str
    run_id: str
    entity: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One job for a trainer, with every number that the API calls `auto` decided."""

    job_id: str
    method: Method
    base_model: str
    """The base as the client named it; for the model card."""
    base_path: str
    """A folder or a name on the hub."""
    base_adapter: str | None = None
    """The folder of a LoRA adapter that goes on top of it first."""
    model_name: str
    """The name that the tuned model will have; for the model card."""
    training_file: str
    validation_file: str | None = None
    seed: int
    n_epochs: int
    batch_size: int
    """Rows a step over all processes; for reinforcement, prompts a step."""
    learning_rate_multiplier: float = 1.0
    learning_rate: float | None = None
    """What the multiplier multiplies; without it, a number that suits the method and the model's size."""
    beta: float = 0.1
    compute_multiplier: float = 1.0
    eval_interval: int
    """Steps from one validation to the next; the last step is always validated."""
    eval_samples: int = 1
    reasoning_effort: str | None = None
    tuning: Tuning = "full"
    lora_rank: int = 16
    rows_at_once: int | None = None
    """Rows a process has in memory at once: less of it is less memory, and gradients are accumulated. None: all."""
    max_length: int | None = None
    """Tokens of a row beyond which it is cut at its end; without it, the model's own limit, at most 4096."""
    max_completion_tokens: int = 1024
    """Tokens of a sampled answer."""
    response_format: JsonObject | None = None
    """As in chat completions: `{"type": "json_schema", "json_schema": {"name", "schema", "strict"}}`."""
    checkpoint_seconds: float = 600
    """After this long a checkpoint is saved in any case, so that a crash costs no more."""
    grading: Grading | None = None
    wandb: Wandb | None = None

    def to_json(self) -> JsonObject:
        """As in `spec.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: JsonObject) -> "Spec":
        """The opposite of `to_json`."""
        values = dict(document)
        if values.get("grading"):
            values["grading"] = Grading(**values["grading"])
        if values.get("wandb"):
            values["wandb"] = Wandb(**{**values["wandb"], "tags": tuple(values["wandb"].get("tags", ()))})
        return cls(**values)


# -- what a trainer tells: one JSON object a line, in `events.jsonl` ------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a trainer says. `at` is Unix seconds."""

    kind: ClassVar[str]
    at: int

    def to_json(self) -> JsonObject:
        """As in a line of `events.jsonl`."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The trainer runs; `from_step` is 0, or the step of the checkpoint that it goes on from.

    What was told of later steps before is told again.
    """

    kind: ClassVar[str] = "started"
    pid: int
    from_step: int
    total_steps: int
    learning_rate: float
    parameters: int
    trained_parameters: int
    train_rows: int
    valid_rows: int
    tokens: int
    """Tokens of all rows, as cut; times the epochs, what is billed. For reinforcement, those of the prompts."""
    rows_cut: int
    """Rows that were too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Event):
    """Numbers of one step. A step told twice, after a restart, means the later."""

    kind: ClassVar[str] = "metrics"
    step: int
    total_steps: int
    trained_tokens: int
    """From the job's beginning up to this step."""
    metrics: JsonObject
    """As in the hosted metrics event (train_loss, train_mean_token_accuracy, valid_loss, train_mean_reward ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation(Event):
    """A validation of a reinforcement job: samples for the server to grade. Other methods' are in `Metrics`."""

    kind: ClassVar[str] = "validation"
    step: int
    metrics: JsonObject
    """What is known without graders (full_valid_mean_parse_error, valid_completion_tokens_mean ...)."""
    rows: str
    """File in the job directory: one `{"item", "sample"}` a line, complete when the event is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is complete and durable in `path`, a folder in the job directory."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str
    metrics: JsonObject
    """Those of the step, with `step` among them."""
    asked_for: bool = True
    """Whether the API knows it: one an epoch or validation, and of a pause. Others only make up for a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRemoved(Event):
    """A checkpoint is no longer kept."""

    kind: ClassVar[str] = "checkpoint_removed"
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Event):
    """Something for the job's event list."""

    kind: ClassVar[str] = "message"
    level: Literal["info", "warn", "error"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Event):
    """The trainer has saved the checkpoint of this step and leaves."""

    kind: ClassVar[str] = "paused"
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """The tuned model is complete in the job directory's `model/`."""

    kind: ClassVar[str] = "done"
    step: int
    trained_tokens: int


FailureCode = Literal[
    "out_of_memory",
    "disk_full",
    "invalid_training_file",
    "invalid_validation_file",
    "invalid_base_model",
    "grader_failed",
    "invalid_n_examples",
    "server_error",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The trainer gives up; `message` is for the job's `error`."""

    kind: ClassVar[str] = "failed"
    code: FailureCode
    message: str


_KINDS: Mapping[str, type[Event]] = {
    each.kind: each
    for each in (Started, Metrics, Validation, CheckpointSaved, CheckpointRemoved, Message, Paused, Done, Failed)
}


def event(document: JsonObject) -> Event | None:
    """The opposite of `Event.to_json`; None for a kind that is not known here, as a newer trainer may tell."""
    kind = _KINDS.get(document.get("kind", ""))
    if kind is None:
        return None
    known: dict[str, Any] = {f.name: document[f.name] for f in fields(kind) if f.name in document}
    return kind(**known)
