"""Fine-tuning jobs, their events and checkpoints, and who may use what they made."""

from typing import Annotated, Any, Literal

from pydantic import Field

from regrade.types.graders import Grader
from regrade.types.json import JsonObject
from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Metadata, Received

Auto = Literal["auto"]
BatchSize = Annotated[int, Field(ge=1, le=256)]
Multiplier = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Epochs = Annotated[int, Field(ge=1, le=50)]
Beta = Annotated[float, Field(gt=0, le=2)]
ComputeMultiplier = Annotated[float, Field(ge=1e-5, le=10)]
AtLeastOne = Annotated[int, Field(ge=1)]


class SupervisedHyperparameters(Received):
    """What is `auto` is chosen once the files are known."""

    batch_size: BatchSize | Auto | None = None
    learning_rate_multiplier: Multiplier | Auto | None = None
    n_epochs: Epochs | Auto | None = None


class DpoHyperparameters(SupervisedHyperparameters):
    """Direct preference optimization has the weight of staying close to the base beside those."""

    beta: Beta | Auto | None = None


class ReinforcementHyperparameters(SupervisedHyperparameters):
    """Reinforcement has how much is sampled, and how often it is evaluated, beside those."""

    compute_multiplier: ComputeMultiplier | Auto | None = None
    eval_interval: AtLeastOne | Auto | None = None
    eval_samples: AtLeastOne | Auto | None = None
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = None


class SupervisedMethod(Received):
    """Learn the assistant's messages."""

    hyperparameters: SupervisedHyperparameters | None = None


class DpoMethod(Received):
    """Learn which of two answers is preferred."""

    hyperparameters: DpoHyperparameters | None = None


class ReinforcementMethod(Received):
    """Learn what a grader rewards."""

    grader: Grader
    hyperparameters: ReinforcementHyperparameters | None = None
    response_format: JsonObject | None = None


class FineTuningMethod(Received):
    """The method and its block; blocks of other methods are kept and have no meaning."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: JsonObject | None = None
    dpo: JsonObject | None = None
    reinforcement: JsonObject | None = None


class WandbSettings(Received):
    """Where Weights & Biases shows the job."""

    project: Annotated[str, Field(min_length=1)]
    name: str | None = None
    entity: str | None = None
    tags: list[str] | None = None


class WandbIntegration(Received):
    """Metrics also go to Weights & Biases."""

    type: Literal["wandb"]
    wandb: WandbSettings


class CreateFineTuningJob(Received):
    """The body of POST /fine_tuning/jobs."""

    model: Annotated[str, Field(min_length=1)]
    training_file: Annotated[str, Field(min_length=1)]
    validation_file: Annotated[str, Field(min_length=1)] | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    method: FineTuningMethod | None = None
    hyperparameters: SupervisedHyperparameters | None = None
    integrations: Annotated[list[WandbIntegration], Field(max_length=5)] | None = None
    metadata: Metadata | None = None


class FineTuningError(Answered):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class FineTuningJob(Answered):
    """A fine-tuning job."""

    object: Literal["fine_tuning.job"]
    id: str
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None
    error: FineTuningError | None
    seed: int
    estimated_finish: int | None
    integrations: list[JsonObject]
    method: JsonObject
    hyperparameters: JsonObject
    metadata: Metadata | None
    user_provided_suffix: str | None
    usage_metrics: JsonObject | None
    shared_with_openai: bool
    eval_id: Annotated[str | None, Field(description="The eval whose runs validate a reinforcement job.")]


class FineTuningJobList(Answered):
    """One page of jobs, newest first."""

    object: Literal["list"]
    data: list[FineTuningJob]
    has_more: bool


class FineTuningJobEvent(Answered):
    """Something that happened to a job, or one step's metrics."""

    object: Literal["fine_tuning.job.event"]
    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: JsonObject


class FineTuningJobEventList(Answered):
    """One page of events, newest first."""

    object: Literal["list"]
    data: list[FineTuningJobEvent]
    has_more: bool


class FineTuningJobCheckpoint(Answered):
    """A step whose weights can be used as a model."""

    object: Literal["fine_tuning.job.checkpoint"]
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, Any]


class FineTuningJobCheckpointList(CursorList[FineTuningJobCheckpoint]):
    """One page of checkpoints, the highest step first."""


class CreateCheckpointPermissions(Received):
    """The body of POST /fine_tuning/checkpoints/{checkpoint}/permissions."""

    project_ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1)]


class CheckpointPermission(Answered):
    """A project that may use a tuned model of another."""

    object: Literal["checkpoint.permission"]
    id: str
    created_at: int
    project_id: str


class CheckpointPermissionList(CursorList[CheckpointPermission]):
    """One page of permissions."""


class CheckpointPermissionDeleted(Answered):
    """A permission that is gone."""

    object: Literal["checkpoint.permission"]
    id: str
    deleted: bool


class GradedSample(Received):
    """An answer of the model in training, and the row that it answers."""

    item: JsonObject
    sample: JsonObject


class SampleReward(Answered):
    """What the job's grader says of one sample."""

    reward: float
    scores: dict[str, float]
    errors: list[JsonObject]
    seconds: float
    usage: list[list[Any]]


class SampleRewards(Answered):
    """The rewards, in the order of the samples."""

    data: list[SampleReward]
