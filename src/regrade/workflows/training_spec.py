"""A fine-tuning job as its trainer is told of it."""

from collections.abc import Callable
from dataclasses import replace

from regrade.core.entities import FineTuningJob
from regrade.core.errors import RegradeError
from regrade.core.fine_tuning import block_of, chat_format, model_name
from regrade.core.local_models import BaseModel, Weights
from regrade.core.training_job import Grading, Spec, Tuning, Wandb
from regrade.types.json import JsonObject
from regrade.workflows.training_story import Story
from regrade.workflows.tuning_ports import TuningPorts

_SMALL_BYTES = 1 << 30
"""Weights up to this size are trained whole, unless the operator says otherwise; larger ones get an adapter."""


class Briefing:
    """What is known of a job beside its row, and what its trainers are told."""

    def __init__(
        self,
        ports: TuningPorts,
        *,
        slots: int,
        grading_url: Callable[[str], str],
        new_token: Callable[[], tuple[str, str]],
    ) -> None:
        self._jobs = ports.jobs
        self._tuned = ports.tuned
        self._trainers = ports.trainers
        self._models = ports.models
        self._ids = ports.ids
        self._clock = ports.clock
        self._slots = slots
        self._grading_url = grading_url
        self._new_token = new_token
        self._told_address: dict[str, str] = {}

    def story(self, job: FineTuningJob) -> Story:
        """The story of the job, which goes on from what was told."""
        base = self._base(job)
        price = base.training.get("price") if base else None
        return Story(self._ids, self._clock, self._jobs.metrics(job), price)

    def weights(self, job: FineTuningJob) -> Weights:
        """What the job goes on from: the operator's base model, or what an earlier job made of it."""
        tuned = self._tuned.get(self._models.target(job.model))
        if tuned is not None:
            return self._trainers.weights(tuned)
        base = self._base(job)
        if base is None:
            raise RegradeError(
                f"The model '{job.model}' is no base model of this server any more.", code="invalid_base_model"
            )
        return base.weights

    def spec(self, job: FineTuningJob) -> tuple[Spec, str | None]:
        """What a trainer is to do, and the hash of the token that it gets for rewards."""
        grading, hashed = None, None
        if job.eval_id is not None:
            token, hashed = self._new_token()
            grading = Grading(url=self._grading_url(job.id), token=token)
        weights = self.weights(job)
        return spec_of(job, self._base(job), weights, size=self._trainers.size(weights), grading=grading), hashed

    def renew_address(self, job: FineTuningJob) -> None:
        """Tell the trainer where rewards come from now, in case the server was started again elsewhere."""
        if job.eval_id is None or self._grading_url(job.id) == self._told_address.get(job.id):
            return
        spec = self._trainers.prepared(job.id)
        self._told_address[job.id] = url = self._grading_url(job.id)
        if spec.grading is not None and spec.grading.url != url:
            self._trainers.prepare(replace(spec, grading=replace(spec.grading, url=url)))

    def free_slot(self, job: FineTuningJob) -> int:
        """The first slot of this machine that no other job's trainer has."""
        others = [each.trainer or {} for each in self._jobs.unfinished() if each.id != job.id]
        taken = {trainer["slot"] for trainer in others if trainer.get("machine") == self._trainers.machine}
        return next((slot for slot in range(self._slots) if slot not in taken), 0)

    def _base(self, job: FineTuningJob) -> BaseModel | None:
        return next((base for base in self._models.base_models() if base.name == job.base), None)


def spec_of(
    job: FineTuningJob, base: BaseModel | None, weights: Weights, *, size: int | None, grading: Grading | None
) -> Spec:
    """What a trainer is to do. `size` is the bytes of the weights, None where they are not here yet."""
    block = block_of(job.method)
    numbers = block["hyperparameters"]
    options = base.training if base else {}
    tuning: Tuning = options.get("tuning") or ("full" if size is not None and size <= _SMALL_BYTES else "lora")
    effort = numbers.get("reasoning_effort")
    optional: JsonObject = {
        name: options[name]
        for name in ("learning_rate", "lora_rank", "rows_at_once", "max_length", "max_completion_tokens")
        if name in options
    }
    optional |= {name: numbers[name] for name in ("beta", "compute_multiplier", "eval_samples") if name in numbers}
    return Spec(
        job_id=job.id,
        method=job.method["type"],
        base_model=job.model,
        base_path=weights.path,
        base_adapter=weights.adapter,
        model_name=model_name(job),
        training_file=job.training_file,
        validation_file=job.validation_file,
        seed=job.seed,
        n_epochs=numbers["n_epochs"],
        batch_size=numbers["batch_size"],
        learning_rate_multiplier=numbers["learning_rate_multiplier"],
        eval_interval=numbers.get("eval_interval") or job.progress["eval_interval"],
        reasoning_effort=None if effort == "default" else effort,
        tuning=tuning,
        response_format=chat_format(block.get("response_format")),
        grading=grading,
        wandb=_wandb(job),
        **optional,
    )


def _wandb(job: FineTuningJob) -> Wandb | None:
    found = next((each["wandb"] for each in job.integrations if each["type"] == "wandb"), None)
    if found is None:
        return None
    return Wandb(
        project=found["project"],
        name=found.get("name") or job.id,
        run_id=found["run_id"],
        entity=found.get("entity"),
        tags=("openai/finetune", f"openai/{job.base}", f"openai/{job.id}", *found.get("tags", ())),
    )
