"""Runs: check one against its eval, start it, read how far it is, end it."""

import logging
from collections.abc import Iterable, Iterator, Sequence

from regrade.core import metadata
from regrade.core.entities import Creation, Eval, Page, PageRequest, Run, RunStatus
from regrade.core.errors import InvalidError, NotFoundError, StateError
from regrade.core.ids import own_blob, secrets_blob
from regrade.core.item_schema import MAX_WORK, compile_item_schema
from regrade.core.jsontext import dumps
from regrade.core.parsing import parse, unknown_fields
from regrade.core.results import Tally
from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.store import EvalStore, RunStore
from regrade.ports.system import Clock, Ids
from regrade.services.run_definitions import CONTENT, RunDefinitions
from regrade.sources.jsonl import unwrap
from regrade.types.json import JsonObject
from regrade.types.runs import CreateRun, FileContentSource
from regrade.types.runs import Run as RunAnswer

logger = logging.getLogger(__name__)


class Runs:
    """What the endpoints under /evals/{eval_id}/runs mean."""

    def __init__(
        self,
        *,
        evals: EvalStore,
        runs: RunStore,
        definitions: RunDefinitions,
        blobs: Blobs,
        engine: Engine,
        ids: Ids,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._evals = evals
        self._runs = runs
        self._definitions = definitions
        self._blobs = blobs
        self._engine = engine
        self._ids = ids
        self._clock = clock
        self._public_url = public_url

    def create(self, project: str, eval_id: str, document: JsonObject, creation: Creation | None) -> "RunView":
        """Check a new run against its eval, store it queued, and ask for it to be executed."""
        eval_ = self._eval(project, eval_id)
        request = parse(CreateRun, document)
        given = metadata.checked(request.metadata)
        definition = self._definitions.check(project, eval_, request, document)
        run_id = self._ids.new("run")
        inline = isinstance(request.data_source.source, FileContentSource)
        blob = definition.file_blob
        if inline:
            blob = self._keep_inline(eval_, run_id, document["data_source"]["source"][CONTENT])
        if definition.secrets:
            self._keep(secrets_blob(run_id), [dumps(definition.secrets)])
        run = self._runs.add(
            Run(
                id=run_id,
                eval_id=eval_id,
                project=project,
                name=request.name or "",
                status="queued",
                model=definition.model,
                created_at=self._clock.now(),
                data_source=definition.data_source,
                source_blob=blob,
                inline=inline,
                has_secrets=bool(definition.secrets),
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
        key = own_blob(run_id)
        self._keep(key, ((b"\n" if index else b"") + dumps(row) for index, row in enumerate(rows)))
        return key

    def _keep(self, key: str, pieces: Iterable[bytes]) -> None:
        writer = self._blobs.writer(key)
        try:
            for piece in pieces:
                writer.write(piece)
            writer.commit()
        finally:
            writer.abort()

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
            **({"waiting": run.waiting} if run.waiting else {}),
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
