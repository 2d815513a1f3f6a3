"""Runs: check one against its eval, start it, read how far it is, end it."""

import logging
from collections.abc import Iterator, Sequence

from regrade.core import metadata
from regrade.core.entities import Creation, Eval, Page, PageRequest, Run, RunStatus
from regrade.core.errors import InvalidError, NotFoundError, StateError
from regrade.core.item_schema import MAX_WORK, compile_item_schema
from regrade.core.jsontext import dumps
from regrade.core.parsing import parse, unknown_fields
from regrade.core.results import Tally
from regrade.graders.build import missing
from regrade.ports import Blobs, Clock, Engine, EvalStore, FileStore, Ids, RunStore
from regrade.sources.jsonl import unwrap
from regrade.types.json import JsonObject
from regrade.types.runs import CreateRun, FileContentSource, FileIdSource, JsonlDataSource
from regrade.types.runs import Run as RunAnswer

logger = logging.getLogger(__name__)

_SOURCE_PURPOSES = ("evals", "fine-tune", "user_data")
_CONTENT = "content"


class Runs:
    """What the endpoints under /evals/{eval_id}/runs mean."""

    def __init__(
        self,
        *,
        evals: EvalStore,
        runs: RunStore,
        files: FileStore,
        blobs: Blobs,
        engine: Engine,
        ids: Ids,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._evals = evals
        self._runs = runs
        self._files = files
        self._blobs = blobs
        self._engine = engine
        self._ids = ids
        self._clock = clock
        self._public_url = public_url

    def create(self, project: str, eval_id: str, document: JsonObject, creation: Creation | None) -> "RunView":
        """Check a new run against its eval, store it queued, and ask for it to be executed."""
        eval_ = self._eval(project, eval_id)
        request = parse(CreateRun, document)
        refuse_what_needs_more(eval_, request)
        run_id = self._ids.new("run")
        source = request.data_source.source
        inline = isinstance(source, FileContentSource)
        given = metadata.checked(request.metadata)
        if isinstance(source, FileContentSource):
            blob = self._keep_inline(eval_, run_id, document["data_source"]["source"][_CONTENT])
        elif isinstance(source, FileIdSource):
            blob = self._file_blob(project, source.id)
        else:
            raise InvalidError(
                f"A source of type '{source.type}' cannot be read here.", param="data_source.source.type"
            )
        run = self._runs.add(
            Run(
                id=run_id,
                eval_id=eval_id,
                project=project,
                name=request.name or "",
                status="queued",
                model=getattr(request.data_source, "model", None),
                created_at=self._clock.now(),
                data_source=_without_content(document["data_source"]),
                source_blob=blob,
                inline=inline,
                metadata=given,
                extra=unknown_fields(request, RunAnswer),
            ),
            creation,
        )
        self._start(run)
        return self._view(run)

    def get(self, project: str, eval_id: str, run_id: str) -> "RunView":
        """The run as it is now. Raises NotFoundError."""
        return self._view(self.find(project, eval_id, run_id))

    def find(self, project: str, eval_id: str, run_id: str) -> Run:
        """The run itself, for what reads more of it. Raises NotFoundError."""
        run = self._runs.get(project, eval_id, run_id)
        if run is None:
            self._eval(project, eval_id)
            raise NotFoundError(f"No run found with id '{run_id}' in eval '{eval_id}'.", param="run_id")
        return run

    def list(self, project: str, eval_id: str, page: PageRequest, status: RunStatus | None) -> "Page[RunView]":
        """One page of an eval's runs."""
        self._eval(project, eval_id)
        found = self._runs.page(project, eval_id, page, status=status)
        return Page(data=[self._view(run) for run in found.data], has_more=found.has_more)

    def cancel(self, project: str, eval_id: str, run_id: str) -> "RunView":
        """End the run now and keep what is graded; a canceled run stays as it is."""
        run = self.find(project, eval_id, run_id)
        self._runs.cancel(run, now=self._clock.now())
        run = self.find(project, eval_id, run_id)
        if run.status != "canceled":
            raise StateError(f"Run '{run_id}' is {run.status} and cannot be canceled any more.")
        return self._view(run)

    def delete(self, project: str, eval_id: str, run_id: str) -> JsonObject:
        """Delete the run and, in the background, its items."""
        self._runs.delete(self.find(project, eval_id, run_id), now=self._clock.now())
        return {"object": "eval.run.deleted", "deleted": True, "run_id": run_id}

    def tally(self, run: Run) -> Tally:
        """The run's aggregates by criterion, as committed by now."""
        return self._runs.tally(run)

    def report_url(self, run: Run) -> str:
        """Where a browser shows the run."""
        return f"{self._public_url}/evals/{run.eval_id}/runs/{run.id}"

    def _eval(self, project: str, eval_id: str) -> Eval:
        eval_ = self._evals.get(project, eval_id)
        if eval_ is None:
            raise NotFoundError(f"No eval found with id '{eval_id}'.", param="eval_id")
        return eval_

    def _file_blob(self, project: str, file_id: str) -> str:
        param = "data_source.source.id"
        file = self._files.get(project, file_id, now=self._clock.now())
        if file is None or file.blob is None:
            raise InvalidError(f"No such File object: {file_id}.", param=param)
        if file.purpose not in _SOURCE_PURPOSES:
            raise InvalidError(
                f"File '{file_id}' has the purpose '{file.purpose}'; a run reads files with one of these: "
                f"{', '.join(_SOURCE_PURPOSES)}.",
                param=param,
                code="invalid_file_purpose",
            )
        return file.blob

    def _keep_inline(self, eval_: Eval, run_id: str, rows: Sequence[JsonObject]) -> str:
        """Check inline rows and keep them as a blob with one row a line; the answer is made from it."""
        schema = compile_item_schema(eval_.data_source_config)
        work = 0
        for index, row in enumerate(rows):
            item, _ = unwrap(row)
            work += schema.work(item)
            if work > MAX_WORK:
                raise InvalidError(
                    "These rows are too many, or too large, to be checked by the eval's item schema within a"
                    " request. Upload them as a file: a run checks it row by row.",
                    param="data_source.source.content",
                )
            wrapped = ".item" if isinstance(row.get("item"), dict) else ""
            problem = schema.problem(item, f"data_source.source.content[{index}]{wrapped}")
            if problem is not None:
                path, reason = problem
                raise InvalidError(f"'{path}' does not match the eval's item schema: {reason}.", param=path)
        key = f"runs/{run_id}"
        writer = self._blobs.writer(key)
        try:
            for index, row in enumerate(rows):
                writer.write((b"\n" if index else b"") + dumps(row))
            writer.commit()
        finally:
            writer.abort()
        return key

    def _start(self, run: Run) -> None:
        try:
            self._engine.start_run(run.id)
        except Exception:  # the run is stored: upkeep asks again within seconds
            logger.exception("Run %s is queued but could not be handed to the engine yet", run.id)

    def _view(self, run: Run) -> "RunView":
        return RunView(run, self.report_url(run), self._blobs)


class RunView:
    """A run as answered. Inline content is not parsed: it goes from the blob into the answer, piece by piece."""

    def __init__(self, run: Run, report_url: str, blobs: Blobs) -> None:
        self.id = run.id
        self.run = run
        self.streamed = run.inline
        self._report_url = report_url
        self._blobs = blobs

    def document(self) -> JsonObject:
        """The run but for its inline content. `data_source` comes last, so that content can end the text."""
        run = self.run
        ended = run.status in ("completed", "failed", "canceled")
        return {
            "object": "eval.run",
            "id": run.id,
            "eval_id": run.eval_id,
            "status": run.status,
            "model": run.model,
            "name": run.name,
            "created_at": run.created_at,
            "report_url": self._report_url,
            "result_counts": {
                "total": run.counts.total,
                "errored": run.counts.errored,
                "failed": run.counts.failed,
                "passed": run.counts.passed,
            },
            "per_model_usage": run.usage,
            "per_testing_criteria_results": [
                {
                    "testing_criteria": name,
                    "passed": tally.passed,
                    "failed": tally.failed,
                    "errored": tally.errored,
                }
                for name, tally in run.criteria.items()
            ]
            if ended
            else [],
            "error": run.error,
            "metadata": run.metadata,
            **run.extra,
            "data_source": run.data_source,
        }

    def pieces(self) -> Iterator[bytes]:
        """The JSON text, in pieces."""
        text = dumps(self.document())
        if not self.run.inline or self.run.source_blob is None:
            yield text
            return
        # The stored source has no content; its text ends the document, so content is put before the last braces.
        end = b"}}}"
        yield text.removesuffix(end) + b',"content":['
        for piece in self._blobs.pieces(self.run.source_blob):
            yield piece.replace(b"\n", b",")  # JSON text has no newlines of its own
        yield b"]" + end


def refuse_what_needs_more(eval_: Eval, request: CreateRun) -> None:
    """Refuse what this server has no means for, saying what is missing. Raises InvalidError."""
    data_source = request.data_source
    if not isinstance(data_source, JsonlDataSource):
        raise InvalidError(
            f"A data source of type '{data_source.type}' asks a model for samples, and this server has no model "
            "endpoints. Record the samples in the rows and use a data source of type 'jsonl'.",
            param="data_source.type",
        )
    for index, criterion in enumerate(eval_.testing_criteria):
        lacking = missing(criterion)
        if lacking is not None:
            raise InvalidError(lacking, param=f"testing_criteria[{index}]")


def _without_content(data_source: JsonObject) -> JsonObject:
    """The data source to store and echo; `source` last, so that inline content can be written behind it."""
    source = {key: value for key, value in data_source["source"].items() if key != _CONTENT}
    return {**{key: value for key, value in data_source.items() if key != "source"}, "source": source}
