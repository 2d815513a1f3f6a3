"""One row through an eval: from a line of the source to an output item, ready to be stored and served."""

from collections.abc import Sequence
from dataclasses import dataclass

from regrade.core import samples
from regrade.core.entities import Eval, FinishedItem, Run
from regrade.core.errors import RowError
from regrade.core.ids import output_item_id
from regrade.core.item_schema import compile_item_schema
from regrade.core.jsontext import dumps
from regrade.core.log_context import ROW
from regrade.core.results import ItemStatus, Tally
from regrade.graders.build import build
from regrade.graders.outcome import grade_all, grade_rows
from regrade.ports.grading import Grade, Grader, Row
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import PythonPrograms
from regrade.ports.system import Clock
from regrade.sources import jsonl
from regrade.types.json import JsonObject, JsonValue
from regrade.workflows.sampling import Sampler


class CompiledEval:
    """An eval's schema and graders, compiled once for a run and used for every row of it."""

    def __init__(self, eval_: Eval, models: ModelPort, programs: PythonPrograms) -> None:
        self.schema = compile_item_schema(eval_.data_source_config)
        self.names = [criterion["id"] for criterion in eval_.testing_criteria]
        self.graders = [build(criterion, models, programs, eval_.project) for criterion in eval_.testing_criteria]

    @property
    def asks_models(self) -> bool:
        """Whether any of its graders does."""
        return any(grader.asks_models for grader in self.graders)

    @property
    def waits(self) -> bool:
        """Whether any of its graders does."""
        return any(grader.waits for grader in self.graders)


@dataclass(slots=True)
class _Read:
    """A row that can be graded."""

    row: Row
    sample: JsonObject
    """As it is answered."""


class RowGrading:
    """Grades the rows of one run and adds them up in `tally`; with a sampler, asks its model for the samples."""

    def __init__(
        self,
        compiled: CompiledEval,
        run: Run,
        tally: Tally,
        clock: Clock,
        max_row_bytes: int,
        sampler: Sampler | None = None,
    ) -> None:
        self._compiled = compiled
        self._run = run
        self._clock = clock
        self._max_row_bytes = max_row_bytes
        self._sampler = sampler
        self.tally = tally

    @property
    def asks_models(self) -> bool:
        """Whether rows wait for models, which may take seconds."""
        return self._sampler is not None or self._compiled.asks_models

    @property
    def waits(self) -> bool:
        """Whether rows wait for anything, so that many are better graded at once."""
        return self._sampler is not None or self._compiled.waits

    async def finish(self, line: jsonl.Line) -> FinishedItem:
        """The output item of one line. A row that cannot be graded becomes an errored item, never an exception."""
        ROW.set(line.row)
        read = self._read(line)
        if not isinstance(read, _Read):
            return read
        if self._sampler is not None:
            try:
                drawn = await self._sampler.draw(read.row.item, line.row)
            except RowError as error:
                return self._invalid(line.row, read.row.item, error)
            read.row.sample, read.sample = drawn.namespace, drawn.sample
            if drawn.model is not None:
                self.tally.usage.add(drawn.model, drawn.usage)
            if drawn.failed:
                return self._without_grades(line.row, read.row.item, read.sample)
        grades = await grade_all(self._compiled.graders, read.row)
        return self._item(line.row, read.row.item, read.sample, grades)

    async def finish_all(self, lines: Sequence[jsonl.Line]) -> list[FinishedItem]:
        """As `finish`, for lines that bring their samples; graders get the rows together."""
        read = [self._read(line) for line in lines]
        rows = [each.row for each in read if isinstance(each, _Read)]
        grades = iter(await grade_rows(self._compiled.graders, rows))
        return [
            self._item(line.row, each.row.item, each.sample, next(grades)) if isinstance(each, _Read) else each
            for line, each in zip(lines, read, strict=True)
        ]

    def _read(self, line: jsonl.Line) -> "_Read | FinishedItem":
        """The row with the sample that it brings, if any; where it cannot be read, its errored item."""
        item: JsonObject = {}
        try:
            item, recorded = jsonl.parse(line, max_row_bytes=self._max_row_bytes)
            reason = self._compiled.schema.check(item, text_bytes=len(line.text or b""))
            if reason is not None:
                raise RowError(f"Line {line.number}: {reason}")
            if self._sampler is not None:
                return _Read(Row(item, {}), {})
            namespace, sample = _recorded_sample(line, recorded)
        except RowError as error:
            return self._invalid(line.row, item, error)
        return _Read(Row(item, namespace), sample)

    def _invalid(self, index: int, item: JsonObject, error: RowError) -> FinishedItem:
        told = {"code": error.code or "invalid_row", "message": error.message}
        return self._without_grades(index, item, {**samples.answered(None), "error": told})

    def killer(self, row: int, deaths: int) -> FinishedItem:
        """The item of a row that no worker survives. It is not even read again: that may be what kills."""
        message = (
            f"{deaths} workers died while they worked on this row, the last of them on it alone, so it is not "
            "tried again. The workers' log, or the system's, may say what they died of."
        )
        sample = {**samples.answered(None), "error": {"code": "worker_lost", "message": message}}
        return self._without_grades(row, {}, sample)

    def _item(self, index: int, item: JsonObject, sample: JsonObject, grades: Sequence[Grade]) -> FinishedItem:
        status: ItemStatus = "pass"
        scores: list[float | None] = []
        for name, grade in zip(self._compiled.names, grades, strict=True):
            score = None if grade.error else grade.score
            scores.append(score)
            self.tally.criteria[name].add(score, passed=grade.passed)
            for model, usage in grade.usage or ():
                self.tally.usage.add(model, usage)
            if grade.error:
                status = "error"
                self.tally.first_error = self.tally.first_error or grade.error.message
            elif not grade.passed and status == "pass":
                status = "fail"
        results = list(map(_result, self._compiled.names, self._compiled.graders, grades))
        return self._finished(index, status, scores, item, sample, results)

    def _without_grades(self, index: int, item: JsonObject, sample: JsonObject) -> FinishedItem:
        """The item of a row that never reached the graders; its sample says why."""
        for name in self._compiled.names:
            self.tally.criteria[name].add(None, passed=False)
        self.tally.first_error = self.tally.first_error or sample["error"]["message"]
        return self._finished(index, "error", [None] * len(self._compiled.names), item, sample, [])

    def _finished(
        self,
        index: int,
        status: ItemStatus,
        scores: list[float | None],
        item: JsonObject,
        sample: JsonObject,
        results: list[JsonObject],
    ) -> FinishedItem:
        self.tally.add(status)
        now = self._clock.now()
        body = dumps(
            {
                "object": "eval.run.output_item",
                "id": output_item_id(self._run.id, index),
                "run_id": self._run.id,
                "eval_id": self._run.eval_id,
                "created_at": now,
                "status": status,
                "datasource_item_id": index,
                "datasource_item": item,
                "results": results,
                "sample": sample,
            }
        )
        return FinishedItem(index, status, now, dumps(scores), body)


def _recorded_sample(line: jsonl.Line, recorded: JsonValue) -> tuple[JsonObject, JsonObject]:
    """The recording as templates see it and as it is answered. Raises RowError, which names the line."""
    try:
        return samples.namespace(recorded), samples.answered(recorded)
    except RowError as error:
        raise RowError(f"Line {line.number}: {error.message}") from error


def _result(name: str, grader: Grader, grade: Grade) -> JsonObject:
    """One entry of an output item's `results`."""
    result: JsonObject = {
        "name": name,
        "type": grader.type,
        "passed": grade.passed,
        "score": grade.score,
        "sample": grade.sample,
    }
    if grade.sub_scores is not None:
        result["sub_scores"] = grade.sub_scores
    if grade.sub_errors:
        result["sub_errors"] = [{"code": each.kind, "message": each.message} for each in grade.sub_errors]
    if grade.extra:
        result.update(grade.extra)
    if grade.error:
        result["error"] = {"code": grade.error.kind, "message": grade.error.message}
    return result
