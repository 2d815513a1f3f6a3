"""Rewards of a reinforcement job's samples, by the same graders as evals."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Sequence
from threading import Lock

from regrade.core import samples
from regrade.core.entities import FineTuningJob
from regrade.core.errors import AuthenticationError, InvalidError, NotFoundError, RowError
from regrade.core.fine_tuning import block_of
from regrade.core.parsing import parse
from regrade.graders.build import build
from regrade.graders.outcome import errored
from regrade.ports.fine_tuning import FineTuningStore
from regrade.ports.grading import Grade, Grader, Row
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import PythonPrograms, Sandbox
from regrade.types.fine_tuning import GradedSample
from regrade.types.json import JsonObject, JsonValue

MAX_SAMPLES = 10_000
_AT_ONCE = 256
_JOBS_KEPT = 4


class Rewards:
    """What POST /regrade/fine_tuning/jobs/{id}/grade means: for the trainer of that job alone."""

    def __init__(self, store: FineTuningStore, models: ModelPort, sandbox: Sandbox) -> None:
        """`models` and `sandbox` answer in whichever event loop they are asked."""
        self._store = store
        self._models = models
        self._sandbox = sandbox
        self._compiled: dict[str, tuple[Grader, PythonPrograms]] = {}
        self._compiling = Lock()

    def check(self, job_id: str, token: str) -> None:
        """Raises AuthenticationError where the token is not this job's."""
        job = self._store.find(job_id)
        known = job.token_hash if job else None
        if known is None or not hmac.compare_digest(known, token_hash(token)):
            raise AuthenticationError("This token is not the one of a job that is being trained.")

    def grade(self, job_id: str, document: JsonValue) -> list[JsonObject]:
        """Grade many samples at the same time."""
        if not isinstance(document, list) or len(document) > MAX_SAMPLES:
            raise InvalidError(f"Send a list of at most {MAX_SAMPLES} objects with 'item' and 'sample'.")
        rows = [parse(GradedSample, each, at=f"[{index}]") for index, each in enumerate(document)]
        job = self._store.find(job_id)
        if job is None:
            raise NotFoundError(f"Could not find fine-tuning job: {job_id}")
        name = block_of(job.method)["grader"]["name"]
        graded = asyncio.run(_grade_all(self._grader(job), rows))
        return [_answer(name, grade, seconds) for grade, seconds in graded]

    def _grader(self, job: FineTuningJob) -> Grader:
        """The job's grader, kept with its processes for the next call; those of the last few jobs are."""
        with self._compiling:
            known = self._compiled.pop(job.id, None)
            if known is None:
                while len(self._compiled) >= _JOBS_KEPT:
                    _, programs = self._compiled.pop(next(iter(self._compiled)))
                    asyncio.run(programs.close())
                programs = self._sandbox.open()
                known = build(block_of(job.method)["grader"], self._models, programs, job.project), programs
            self._compiled[job.id] = known
            return known[0]


def token_hash(token: str) -> str:
    """What is kept of a job's token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def _grade_all(grader: Grader, rows: Sequence[GradedSample]) -> list[tuple[Grade, float]]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(row: GradedSample) -> tuple[Grade, float]:
        async with room:
            started = time.perf_counter()
            try:
                grade = await grader.grade(Row(row.item, samples.namespace(row.sample)))
            except RowError as error:  # a sample that cannot be read
                grade = errored(error)
            return grade, time.perf_counter() - started

    return list(await asyncio.gather(*map(one, rows)))


def _answer(name: str, grade: Grade, seconds: float) -> JsonObject:
    errors = [*([grade.error] if grade.error else []), *(grade.sub_errors or [])]
    return {
        "reward": 0.0 if grade.error else grade.score,
        "scores": grade.sub_scores or {name: grade.score},
        "errors": [{"name": name, "kind": error.kind, "message": error.message} for error in errors],
        "seconds": seconds,
        "usage": [[model, usage] for model, usage in grade.usage or ()],
    }
