"""Reinforcement by GRPO: the model answers, the server's graders reward, what was rewarded becomes likelier."""

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import LogitsProcessorList
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import unwrap_model_for_generation

from regrade.core.training_job import Message, Validation
from regrade.training.answers import completion, is_json, reasoning_tokens
from regrade.training.arguments import common
from regrade.training.constraint import Constrained, Grammar
from regrade.training.failures import TrainingError
from regrade.training.loading import lora
from regrade.training.plan import Plan
from regrade.training.prepared import Job, Prepared, lengths, read_encoded
from regrade.training.reporting import merged
from regrade.training.rewards import Graders, Reward, summary
from regrade.types.json import JsonObject

_NAMES = {
    "loss": "train_loss",
    "reward_std": "train_reward_std",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "completions/mean_length": "completion_tokens_mean",
    "completions/clipped_ratio": "train_truncated_share",
}
_VALIDATED_AT_ONCE = 64
_LEAST_ANSWER = 8
_UNPARSED = "sample_parse_error"


class Rollouts:
    """What the model answers and what that is worth, in training and in validation."""

    def __init__(
        self,
        job: Job,
        rows: Sequence[JsonObject],
        valid: Sequence[JsonObject],
        valid_prompts: Sequence[str],
    ) -> None:
        spec, base = job.spec, job.base
        if spec.grading is None:
            raise TrainingError("server_error", "The job names no graders to ask for rewards.")
        self._spec = spec
        self._base = base
        self._encoder = job.encoder
        self._teller = job.teller
        self._rows = rows
        self._valid = valid
        self._valid_prompts = valid_prompts
        self._graders = Graders(spec.grading, renewed=lambda: job.teller.folder.spec().grading)
        self._grammar: Grammar | None = None
        if spec.response_format and spec.response_format.get("type") != "text":
            vocabulary = base.model.get_input_embeddings().num_embeddings
            self._grammar = Grammar(
                spec.response_format, base.tokenizer, vocabulary=vocabulary, eos_ids=base.eos_ids
            )
        self._rewards: list[Reward] = []
        self._reasoning: list[int] = []
        self._warned = False
        self._seconds: dict[str, float] = defaultdict(float)
        self._step_began = time.monotonic()

    def answer(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """TRL's hook for sampling: one answer to each prompt, which the trainer has repeated."""
        began = time.monotonic()
        prompt_ids = [self._encoder.tokens(prompt) for prompt in prompts]
        completion_ids = self._sampled(trainer, prompt_ids)
        self._seconds["sampling"] += time.monotonic() - began
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}

    async def reward(
        self, prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], row: Sequence[int], **_: Any
    ) -> list[float]:
        """TRL's hook for rewards: the server's graders are asked for all answers at once."""
        began = time.monotonic()
        answers = [
            self._answer(ids, len(self._encoder.tokens(prompt)))
            for prompt, ids in zip(prompts, completion_ids, strict=True)
        ]
        whole = [n for n, answer in enumerate(answers) if self._grammar is None or is_json(answer)]
        found = [_unparsed() for _ in answers]
        samples = [{"item": self._rows[row[n]]["item"], "sample": answers[n]} for n in whole]
        for n, reward in zip(whole, await self._graders.grade(samples), strict=True):
            found[n] = reward
        self._rewards += found
        self._reasoning += [reasoning_tokens(answer) for answer in answers]
        self._seconds["grading"] += time.monotonic() - began
        return [each.reward for each in found]

    def validate(self, trainer: Any) -> JsonObject:
        """Answer every row of the validation file and hand the answers to the server, which grades them.

        The randomness of training goes on afterwards as if there had been no validation.
        """
        began = time.monotonic()
        accelerator = trainer.accelerator
        mine = [(n, k) for n in range(len(self._valid)) for k in range(self._spec.eval_samples)]
        mine = mine[accelerator.process_index :: accelerator.num_processes]
        found: list[tuple[tuple[int, int], JsonObject]] = []
        with torch.random.fork_rng():
            torch.manual_seed(self._spec.seed)
            for first in range(0, len(mine), _VALIDATED_AT_ONCE):
                part = mine[first : first + _VALIDATED_AT_ONCE]
                prompt_ids = [self._encoder.tokens(self._valid_prompts[n]) for n, _ in part]
                sampled = self._sampled(trainer, prompt_ids)
                answers = [self._answer(ids, len(asked)) for ids, asked in zip(sampled, prompt_ids, strict=True)]
                found += zip(part, answers, strict=True)
        everything = sorted(gather_object(found), key=lambda each: each[0])
        metrics = self._validated([answer for _, answer in everything])
        metrics["timing"] = {"step": {"eval": time.monotonic() - began}}
        if self._teller.tells:
            rows = ({"item": self._valid[n]["item"], "sample": answer} for (n, _), answer in everything)
            step = trainer.state.global_step
            name = self._teller.folder.write_samples(step, rows)
            self._teller.tell(Validation, step=step, rows=name, metrics=metrics)
        self._step_began += time.monotonic() - began
        return metrics

    def translate(self, logs: JsonObject) -> JsonObject:
        """The API's names, with what graders said since the last time; asked in all processes at once."""
        found = {name: logs[key] for key, name in _NAMES.items() if key in logs}
        if "loss" not in logs:
            return logs
        rewards, reasoning = gather_object(self._rewards), gather_object(self._reasoning)
        now = time.monotonic()
        spent = {**self._seconds, "full_iteration": now - self._step_began}
        spent["training"] = spent["full_iteration"] - sum(self._seconds.values())
        found["timing"] = {"step": spent}
        found["reasoning_tokens_mean"] = sum(reasoning) / max(len(reasoning), 1)
        found = merged(found, summary(rewards, "train"))
        self._warn_of_unparsed(rewards)
        self._rewards, self._reasoning, self._step_began = [], [], now
        self._seconds.clear()
        return found

    def _warn_of_unparsed(self, rewards: Sequence[Reward]) -> None:
        """Say once that little can be learned where most answers are cut off."""
        cut = sum(any(each["kind"] == _UNPARSED for each in reward.errors) for reward in rewards)
        if self._warned or cut <= len(rewards) / 2:
            return
        self._warned = True
        self._teller.tell(
            Message,
            level="warn",
            message=f"{cut} of {len(rewards)} answers are cut off before they are whole JSON, and have no reward. "
            "Let answers be longer (max_completion_tokens), or bound the texts and numbers of the schema.",
        )

    def _sampled(self, trainer: Any, prompt_ids: Sequence[Sequence[int]]) -> list[list[int]]:
        """An answer to each prompt, up to and with the token that ends it."""
        pad = self._base.tokenizer.pad_token_id
        width = max(map(len, prompt_ids))
        device = trainer.accelerator.device
        ids = torch.tensor([[pad] * (width - len(each)) + list(each) for each in prompt_ids], device=device)
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompt_ids], device=device)
        constraint = [] if self._grammar is None else [Constrained(self._grammar)]
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model, torch.no_grad():
            written = model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=trainer.generation_config,
                logits_processor=LogitsProcessorList(constraint),
            )
        return [self._ended(answer) for answer in written[:, width:].tolist()]

    def _ended(self, ids: list[int]) -> list[int]:
        ends = (n + 1 for n, token in enumerate(ids) if token in self._base.eos_ids)
        return ids[: next(ends, len(ids))]

    def _answer(self, ids: Sequence[int], prompt_tokens: int) -> JsonObject:
        ended = ids[-1] in self._base.eos_ids
        return completion(
            self._base.tokenizer, ids, prompt_tokens=prompt_tokens, ended=ended, model=self._spec.model_name
        )

    def _validated(self, answers: Sequence[JsonObject]) -> JsonObject:
        size = max(len(answers), 1)
        unparsed = sum(not is_json(answer) for answer in answers) if self._grammar else 0
        return {
            "full_valid_mean_parse_error": unparsed / size,
            "valid_completion_tokens_mean": sum(each["usage"]["completion_tokens"] for each in answers) / size,
            "valid_reasoning_tokens_mean": sum(map(reasoning_tokens, answers)) / size,
        }


class _OnRollouts(GRPOTrainer):  # type: ignore[misc]  # trl has no types
    rollouts: Rollouts

    def evaluate(self, *_: Any, **__: Any) -> JsonObject:
        """Validate by sampling alone: there is no loss to measure."""
        metrics = self.rollouts.validate(self)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def prepare(job: Job) -> Prepared:
    """Make the rows into prompts. Raises TrainingError where one leaves no room for an answer."""
    rows = read_encoded(job, job.folder.train_file, dict)
    valid = read_encoded(job, job.folder.valid_file, dict)
    prompts = read_encoded(job, job.folder.train_file, job.encoder.prompt)
    others = read_encoded(job, job.folder.valid_file, job.encoder.prompt)
    tokens, longest = lengths([job.encoder.tokens(prompt) for prompt in prompts])
    _, other = lengths([job.encoder.tokens(prompt) for prompt in others])
    room = job.base.context - max(longest, other)
    if room < _LEAST_ANSWER:
        raise TrainingError(
            "invalid_training_file",
            f"The longest prompt has {max(longest, other):,} tokens and the model sees {job.base.context:,}, which "
            "leaves no room for an answer.",
        )
    room = min(job.spec.max_completion_tokens, room)
    rollouts = Rollouts(job, rows, valid, others)
    return Prepared(
        make=lambda plan: (_trainer(job, plan, rollouts, prompts, room), rollouts.translate),
        rows=len(rows),
        valid_rows=len(valid),
        tokens=tokens,
        rows_cut=0,
        longest=longest + room,
    )


def _trainer(job: Job, plan: Plan, rollouts: Rollouts, prompts: Sequence[str], room: int) -> Any:
    spec = job.spec
    arguments = GRPOConfig(
        **common(spec, plan, job.folder)
        | {"num_train_epochs": 1, "lr_scheduler_type": "constant_with_warmup", "shuffle_dataset": False},
        num_generations=plan.generations,
        max_completion_length=room,
        temperature=1.0,
        beta=0.0,
    )
    order = order_of(len(prompts), plan, epochs=spec.n_epochs, seed=spec.seed)

    async def reward(**given: Any) -> list[float]:
        return await rollouts.reward(**given)

    made = _OnRollouts(
        model=job.base.model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": [prompts[n] for n in order], "row": order}),
        processing_class=job.base.tokenizer,
        peft_config=lora(spec),
        rollout_func=rollouts.answer,
    )
    made.rollouts = rollouts
    return made


def order_of(rows: int, plan: Plan, *, epochs: int, seed: int) -> list[int]:
    """All epochs in one list, each shuffled anew and filled up to whole batches from its own beginning.

    One list, as TRL's sampler would not know after a restart which of its shuffles comes next.
    """
    order: list[int] = []
    size = plan.steps_an_epoch * plan.batch_size
    for epoch in range(epochs):
        shuffled = torch.randperm(rows, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        order += list(itertools.islice(itertools.cycle(shuffled), size))
    return order


def _unparsed() -> Reward:
    error = {"name": "", "kind": _UNPARSED, "message": "The answer is not whole JSON."}
    return Reward(reward=0.0, errors=[error])
