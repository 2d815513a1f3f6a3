"""Rewards from the server's graders: asked for many at once, and given up on when grading keeps failing."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import aiohttp

from regrade.core.jsontext import JsonTextError, dumps, loads
from regrade.core.training_job import Grading
from regrade.training.failures import TrainingError
from regrade.types.json import JsonObject

SAMPLES_A_CALL = 16
_CALLS_AT_ONCE = 32
_PATIENCE_S = 900.0
_LONGEST_PAUSE_S = 30.0
_CALL_S = 600.0
_FAILED_STEPS = 3
_TOO_MANY = 0.5
_REFUSED = range(400, 500)
_BUSY = (408, 425, 429)


@dataclass(slots=True)
class Reward:
    """What the graders say of one sample."""

    reward: float
    scores: dict[str, float] = field(default_factory=dict)
    errors: list[JsonObject] = field(default_factory=list)
    seconds: float | None = None
    usage: list[tuple[str, JsonObject]] = field(default_factory=list)


class Graders:
    """The route of the server that grades for this job."""

    def __init__(
        self, grading: Grading, *, renewed: Callable[[], Grading | None], patience_s: float = _PATIENCE_S
    ) -> None:
        """`renewed` is asked where the server cannot be reached: it may answer elsewhere since it was restarted."""
        self._grading = grading
        self._renewed = renewed
        self._patience_s = patience_s
        self._failed_steps = 0

    async def grade(self, samples: Sequence[JsonObject]) -> list[Reward]:
        """A reward for each `{"item", "sample"}`, in order.

        Raises TrainingError where the server refuses, cannot be reached for long, or most grading fails step
        after step.
        """
        parts = [samples[n : n + SAMPLES_A_CALL] for n in range(0, len(samples), SAMPLES_A_CALL)]
        room = asyncio.Semaphore(_CALLS_AT_ONCE)
        headers = {"authorization": f"Bearer {self._grading.token}", "content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=_CALL_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:

            async def graded(part: Sequence[JsonObject]) -> list[Reward]:
                async with room:
                    return await self._graded(session, part)

            found = [reward for part in await asyncio.gather(*map(graded, parts)) for reward in part]
        self._watch(found)
        return found

    async def _graded(self, session: aiohttp.ClientSession, part: Sequence[JsonObject]) -> list[Reward]:
        waited, pause = 0.0, 0.5
        while True:
            try:
                async with session.post(self._grading.url, data=dumps(part)) as response:
                    body = await response.read()
                    if response.ok:
                        return _rewards(body, len(part))
                    problem = f"it answered {response.status} {_words(body)}"
                    final = response.status in _REFUSED and response.status not in _BUSY
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem, final = f"it cannot be reached ({error})", False
            if final or waited >= self._patience_s:
                raise TrainingError("grader_failed", f"The server gave no rewards: {problem}.")
            await asyncio.sleep(pause)
            self._grading = self._renewed() or self._grading
            waited, pause = waited + pause, min(pause * 2, _LONGEST_PAUSE_S)

    def _watch(self, found: Sequence[Reward]) -> None:
        """Fail the job once most grades failed in three steps on end: rewards would mean nothing."""
        failed = [reward for reward in found if reward.errors]
        self._failed_steps = self._failed_steps + 1 if len(failed) > _TOO_MANY * len(found) else 0
        if self._failed_steps >= _FAILED_STEPS:
            last = failed[-1].errors[-1]
            raise TrainingError(
                "grader_failed",
                f"The graders failed for most samples in {_FAILED_STEPS} steps on end. The last error was "
                f"{last.get('kind', 'unknown')}: {last.get('message', '')}",
            )


def summary(rewards: Sequence[Reward], prefix: str) -> JsonObject:
    """A step's rewards as in the hosted metrics event; `prefix` is `train` or `valid`."""
    size = max(len(rewards), 1)
    mean = sum(each.reward for each in rewards) / size
    names = sorted({name for each in rewards for name in each.scores})
    scores = [
        {"name": name, f"{prefix}_reward_mean": sum(each.scores.get(name, 0.0) for each in rewards) / size}
        for name in names
    ]
    found: JsonObject = {
        f"{prefix}_mean_reward": mean,
        f"{prefix}_reward_mean": mean,
        "scores": {"graders": scores, f"{prefix}_reward_mean": mean},
        "errors": {"graders": _errors(rewards, prefix)},
        "mean_unresponsive_rewards": _share(rewards, "unresponsive_reward_error"),
    }
    usage = _usage(rewards, prefix)
    if usage:
        found["model_graders_token_usage"] = usage
    times = [each.seconds for each in rewards if each.seconds is not None]
    if times:
        latency = {f"{prefix}_execution_latency_mean": sum(times) / len(times)}
        found["timing"] = {"graders": [latency]}
    return found


def _errors(rewards: Sequence[Reward], prefix: str) -> list[JsonObject]:
    counts: Counter[tuple[str, str]] = Counter()
    for reward in rewards:
        counts.update({(str(each.get("name", "")), str(each.get("kind", "other_error"))) for each in reward.errors})
    by_name: dict[str, JsonObject] = defaultdict(dict)
    for (name, kind), count in sorted(counts.items()):
        by_name[name] |= {f"{prefix}_{kind}_mean": count / len(rewards), f"{prefix}_{kind}_count": count}
    return [{"name": name, **found} for name, found in by_name.items()]


def _share(rewards: Sequence[Reward], kind: str) -> float:
    return sum(any(each.get("kind") == kind for each in reward.errors) for reward in rewards) / max(len(rewards), 1)


def _usage(rewards: Iterable[Reward], prefix: str) -> JsonObject:
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for reward in rewards:
        for model, usage in reward.usage:
            for key in ("prompt_tokens", "completion_tokens"):
                totals[model][f"{prefix}_{key}"] += int(usage.get(key) or 0)
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
            totals[model][f"{prefix}_cached_tokens"] += int(cached or 0)
    return {model: dict(found) for model, found in totals.items()}


def _rewards(body: bytes, size: int) -> list[Reward]:
    try:
        data = loads(body)["data"]
        found = [
            Reward(
                reward=float(entry["reward"]),
                scores=entry.get("scores") or {},
                errors=entry.get("errors") or [],
                seconds=entry.get("seconds"),
                usage=[(model, usage) for model, usage in entry.get("usage") or []],
            )
            for entry in data
        ]
    except (JsonTextError, KeyError, TypeError, ValueError) as error:
        raise TrainingError("grader_failed", "The server's answer does not hold rewards.") from error
    if len(found) != size:
        raise TrainingError("grader_failed", f"The server gave {len(found)} rewards for {size} samples.")
    return found


def _words(body: bytes) -> str:
    try:
        return str(loads(body)["error"]["message"])
    except (JsonTextError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
