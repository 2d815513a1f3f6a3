"""The pages of fine-tuning jobs: all of them, and one with the curve of its loss or reward."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from regrade.core.entities import FineTuningJob, JobStatus, PageRequest
from regrade.core.fine_tuning import ENDED, block_of
from regrade.ports.system import Clock
from regrade.services.fine_tuning import FineTuning
from regrade.services.keys import Keys
from regrade.types.json import JsonObject
from regrade.web import words
from regrade.web.charts import Chart
from regrade.web.curves import Curve, curves
from regrade.web.render import Renderer

_LIST_ROWS = 20
_EVENTS = 30
_CHECKPOINTS = 20

STATUS_WORDS: dict[JobStatus, str] = {
    "validating_files": "Validating files",
    "queued": "Queued",
    "running": "Running",
    "paused": "Paused",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
# The chips of runs, whose states look alike.
_CHIPS: dict[JobStatus, str] = {
    "validating_files": "queued",
    "queued": "queued",
    "running": "in_progress",
    "paused": "queued",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}
_LOSS = (
    Curve(word="training loss", name="train_loss", kind="first"),
    Curve(word="validation loss", name="valid_loss", kind="second"),
)
_REWARD = (
    Curve(word="training reward", name="train_mean_reward", kind="first"),
    Curve(word="validation reward", name="full_valid_mean_reward", kind="second"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What the page of a job shows."""

    job: FineTuningJob
    title: str
    status: str
    chip: str
    live: bool
    step: int
    total: int
    left: str | None
    duration: str
    figure: float | None
    """The last loss, or reward."""
    figure_word: str
    valid: float | None
    chart: Chart | None
    legend: list[tuple[str, str]]
    hyperparameters: JsonObject
    spoken: str


class TuningPages:
    """One method a page; each gets the request and the project that its visitor may see."""

    def __init__(self, fine_tuning: FineTuning, keys: Keys, clock: Clock, renderer: Renderer) -> None:
        self._fine_tuning = fine_tuning
        self._keys = keys
        self._clock = clock
        self._renderer = renderer

    def jobs(self, request: Request, project: str) -> Response:
        """The jobs, newest first."""
        after = request.query_params.get("after")
        page = self._fine_tuning.page(project, PageRequest(limit=_LIST_ROWS, after=after))
        rows = [(job, STATUS_WORDS[job.status], _CHIPS[job.status]) for job in page.data]
        later = "?" + urlencode({"after": page.data[-1].id}) if page.has_more else None
        links = {"first": "?" if after else None, "earlier": None, "later": later}
        return self._page("tuning_jobs.html", jobs=rows, links=links)

    def job(self, request: Request, project: str) -> Response:
        """One job; with `?fragment=summary` only the part that moves."""
        job = self._fine_tuning.find(project, request.path_params["job_id"])
        report = _report(job, list(self._fine_tuning.metrics(job)), self._clock.now())
        events = self._fine_tuning.events(project, job.id, PageRequest(limit=_EVENTS)).data
        checkpoints = self._fine_tuning.checkpoints(project, job.id, PageRequest(limit=_CHECKPOINTS)).data
        seen: dict[str, Any] = {"report": report, "events": events, "checkpoints": checkpoints}
        if request.query_params.get("fragment") == "summary":
            return self._renderer.page("_tuning_moving.html", **seen)
        return self._page("tuning_job.html", **seen)

    def _page(self, template: str, **values: Any) -> Response:
        return self._renderer.page(template, keyed=not self._keys.open(), **values)


def _report(job: FineTuningJob, steps: list[JsonObject], now: int) -> JobReport:
    wanted = _REWARD if job.method["type"] == "reinforcement" else _LOSS
    step, total = job.progress.get("step", 0), job.progress.get("total_steps", 0)
    live = job.status not in (*ENDED, "paused")
    last = steps[-1] if steps else {}
    valid = next((each[wanted[1].name] for each in reversed(steps) if each.get(wanted[1].name) is not None), None)
    elapsed = None if job.started_at is None else (job.finished_at or now) - job.started_at
    left = None if job.estimated_finish is None else words.duration(max(job.estimated_finish - now, 0))
    return JobReport(
        job=job,
        title=job.suffix or job.id,
        status=STATUS_WORDS[job.status],
        chip=_CHIPS[job.status],
        live=live,
        step=step,
        total=total,
        left=left if live else None,
        duration=words.duration(elapsed),
        figure=last.get(wanted[0].name),
        figure_word=wanted[0].word.capitalize(),
        valid=valid,
        chart=curves(steps, max(total, 1), wanted),
        legend=[(curve.word, curve.kind) for curve in wanted],
        hyperparameters=block_of(job.method)["hyperparameters"],
        spoken=f"This job is {STATUS_WORDS[job.status].lower()}."
        if not (live and total)
        else f"About {step * 10 // total * 10} percent of the steps are done.",
    )
