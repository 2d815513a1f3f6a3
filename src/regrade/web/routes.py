"""The pages: what is asked for, from the services, into a template."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from regrade.core.entities import PageRequest, Run
from regrade.core.errors import InvalidError, NotFoundError
from regrade.core.results import ItemStatus
from regrade.ports.system import Clock
from regrade.services.evals import Evals
from regrade.services.fine_tuning import FineTuning
from regrade.services.keys import Keys
from regrade.services.output_items import OutputItems
from regrade.services.runs import Runs
from regrade.types.json import JsonObject
from regrade.web import items as item_pages
from regrade.web import report as reports
from regrade.web.paging import Order, window
from regrade.web.render import Renderer
from regrade.web.session import Sessions
from regrade.web.tuning import TuningPages
from regrade.web.watching import Watched

_LIST_ROWS = 20
_ITEM_ROWS = 50

Page = Callable[[Request, str], Response]


def build(
    runs: Runs, evals: Evals, output_items: OutputItems, fine_tuning: FineTuning, keys: Keys, clock: Clock
) -> Sequence[BaseRoute]:
    """The routes of all pages, for the root of the server."""
    renderer = Renderer()
    sessions = Sessions(keys, clock, renderer)
    pages = Pages(runs, evals, output_items, keys, clock, renderer)
    tuning = TuningPages(fine_tuning, keys, clock, renderer)
    visited = partial(_visited, sessions, renderer)
    run = "/evals/{eval_id}/runs/{run_id}"
    return [
        Route("/", visited(pages.home)),
        Route("/evals", visited(pages.home)),
        Route("/evals/{eval_id}", visited(pages.eval)),
        Route(run, visited(pages.run)),
        Route(run + "/items/{item_id}", visited(pages.item)),
        Route(run + "/items/{item_id}/json", visited(pages.item_json)),
        Route("/fine_tuning", visited(tuning.jobs)),
        Route("/fine_tuning/{job_id}", visited(tuning.job)),
        Route("/evaluations/{eval_id}", hosted_address),
        Route("/login", sessions.form),
        Route("/login", sessions.log_in, methods=["POST"]),
        Route("/logout", sessions.log_out, methods=["POST"]),
        Route("/static/{name}", renderer.static.serve),
    ]


def _visited(sessions: Sessions, renderer: Renderer, page: Page) -> Callable[[Request], Response]:
    """A page for those who have logged in; what does not exist for them becomes a page of its own."""

    def answer(request: Request) -> Response:
        project = sessions.project(request)
        if project is None:
            return sessions.ask(request)
        try:
            return page(request, project)
        except NotFoundError as error:
            return renderer.page("problem.html", 404, title="Not found", message=error.message)
        except InvalidError as error:
            return renderer.page("problem.html", 400, title="This link is not valid", message=error.message)

    return answer


def hosted_address(request: Request) -> Response:
    """GET /evaluations/{eval_id}?run_id=: where the hosted service had its reports."""
    path = f"/evals/{quote(request.path_params['eval_id'], safe='')}"
    run_id = request.query_params.get("run_id")
    return RedirectResponse(f"{path}/runs/{quote(run_id, safe='')}" if run_id else path)


class Pages:
    """One method a page; each gets the request and the project that its visitor may see."""

    def __init__(
        self, runs: Runs, evals: Evals, output_items: OutputItems, keys: Keys, clock: Clock, renderer: Renderer
    ) -> None:
        self._runs = runs
        self._evals = evals
        self._output_items = output_items
        self._keys = keys
        self._clock = clock
        self._renderer = renderer
        self._watched = Watched(runs, clock)

    def home(self, request: Request, project: str) -> Response:
        """The evals, newest first."""

        def fetch(order: Order, cursor: str | None) -> tuple[list[JsonObject], bool]:
            page = PageRequest(limit=_LIST_ROWS, after=cursor, order=order)
            found = self._evals.list(project, page, order_by="created_at")
            return found.data, found.has_more

        found = window(fetch, "desc", **_cursors(request))
        return self._page(
            "home.html",
            evals=[(eval_, self._last_run(project, eval_["id"])) for eval_ in found.rows],
            links=_links(request, found.rows, lambda eval_: eval_["id"], earlier=found.earlier, later=found.later),
            api_url=f"{str(request.base_url).rstrip('/')}/v1",
        )

    def eval(self, request: Request, project: str) -> Response:
        """One eval and its runs, newest first."""
        eval_ = self._evals.get(project, request.path_params["eval_id"])

        def fetch(order: Order, cursor: str | None) -> tuple[list[Run], bool]:
            page = PageRequest(limit=_LIST_ROWS, after=cursor, order=order)
            found = self._runs.list(project, eval_["id"], page, None)
            return [view.run for view in found.data], found.has_more

        found = window(fetch, "desc", **_cursors(request))
        return self._page(
            "eval.html",
            eval=eval_,
            runs=[_brief(run) for run in found.rows],
            links=_links(request, found.rows, lambda run: run.id, earlier=found.earlier, later=found.later),
        )

    def run(self, request: Request, project: str) -> Response:
        """The report of a run; with `?fragment=summary` only the part that moves."""
        run = self._runs.find(project, request.path_params["eval_id"], request.path_params["run_id"])
        eval_ = self._evals.get(project, run.eval_id)
        only = _status(request)
        seen: dict[str, Any] = {
            "eval": eval_,
            "report": reports.report(run, eval_, self._watched.tally(run), self._clock.now()),
            "only": only,
        }
        if request.query_params.get("fragment") == "summary":
            return self._renderer.page("_moving.html", **seen)

        def fetch(order: Order, cursor: str | None) -> tuple[list[bytes], bool]:
            found = self._output_items.list(
                project, run.eval_id, run.id, after=cursor, limit=_ITEM_ROWS, order=order, status=only
            )
            return found.data, found.has_more

        found = window(fetch, "asc", **_cursors(request))
        lines = [item_pages.line(body, eval_["testing_criteria"]) for body in found.rows]
        return self._page(
            "run.html",
            **seen,
            lines=lines,
            links=_links(request, lines, lambda line: line.id, earlier=found.earlier, later=found.later),
        )

    def item(self, request: Request, project: str) -> Response:
        """One output item, with its neighbours of the same status where the list was filtered."""
        run = self._runs.find(project, request.path_params["eval_id"], request.path_params["run_id"])
        eval_ = self._evals.get(project, run.eval_id)
        item_id = request.path_params["item_id"]
        body = self._output_items.get(project, run.eval_id, run.id, item_id)
        only = _status(request)
        neighbours = [
            self._output_items.list(
                project, run.eval_id, run.id, after=item_id, limit=1, order=order, status=only
            ).first_id
            for order in ("desc", "asc")
        ]
        return self._page(
            "item.html",
            eval=eval_,
            run=run,
            title=reports.title(run),
            item=item_pages.item_report(body, eval_["testing_criteria"]),
            neighbours=neighbours,
            only=only,
        )

    def item_json(self, request: Request, project: str) -> Response:
        """One output item as the API answers it, for keeping; browsers never show it as a page."""
        item_id = request.path_params["item_id"]
        body = self._output_items.get(
            project, request.path_params["eval_id"], request.path_params["run_id"], item_id
        )
        headers = {"content-disposition": f'attachment; filename="{item_id}.json"', "cache-control": "no-store"}
        return Response(body, 200, headers, "application/json")

    def _page(self, template: str, **values: Any) -> Response:
        return self._renderer.page(template, keyed=not self._keys.open(), **values)

    def _last_run(self, project: str, eval_id: str) -> JsonObject | None:
        latest = self._runs.list(project, eval_id, PageRequest(limit=1, order="desc"), None).data
        return _brief(latest[0].run) if latest else None


def _brief(run: Run) -> JsonObject:
    """What lists show of a run."""
    counts = run.counts
    return {
        "run": run,
        "title": reports.title(run),
        "status": reports.STATUS_WORDS[run.status],
        "rate": reports.Rate(passed=counts.passed, total=counts.total),
    }


def _status(request: Request) -> ItemStatus | None:
    match request.query_params.get("status") or None:
        case None | "pass" | "fail" | "error" as status:
            return status
        case unknown:
            raise InvalidError(
                f"Items can be filtered by pass, fail and error, not by '{unknown}'.", param="status"
            )


def _cursors(request: Request) -> dict[str, str | None]:
    return {"after": request.query_params.get("after"), "before": request.query_params.get("before")}


def _links(
    request: Request,
    rows: Sequence[object],
    id_of: Callable[..., str],
    *,
    earlier: bool,
    later: bool,
) -> JsonObject:
    """Addresses of the pages on both sides, keeping every other parameter."""
    kept = {name: value for name, value in request.query_params.items() if name == "status"}

    def link(name: str, row: object) -> str:
        return "?" + urlencode({**kept, name: id_of(row)})

    return {
        "first": "?" + urlencode(kept) if earlier else None,
        "earlier": link("before", rows[0]) if earlier and rows else None,
        "later": link("after", rows[-1]) if later and rows else None,
    }
