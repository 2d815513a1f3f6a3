"""What the pages say."""

import html
import re
from html.parser import HTMLParser

import pytest

from regrade.core.results import Tally
from regrade.web.watching import Watched
from web.sites import HandClock, Row

SIMILAR = {"name": "similar", "type": "text_similarity", "pass_threshold": 0.5}
EXACT = {"name": "exact", "type": "string_check"}


class Words(HTMLParser):
    """The text that a reader of a page sees."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        self.found.append(data)


def words(response) -> str:
    parser = Words()
    parser.feed(response.text)
    return " ".join(" ".join(parser.found).split())


def link(response, rel) -> str | None:
    found = re.search(rf'<a[^>]* rel="{rel}" href="([^"]*)"', response.text)
    return html.unescape(found[1]) if found else None


def indexes(response) -> list[int]:
    return [int(index) for index in re.findall(r'<td class="number"><a href="[^"]*">(\d+)</a>', response.text)]


def test_a_report_says_how_the_run_went(site):
    eval_ = site.add_eval([EXACT, SIMILAR])
    run = site.add_run(
        eval_,
        [Row([1.0, 0.9]), Row([1.0, 0.75]), Row([0.0, 0.25]), Row([1.0, "Row 3 has no 'reference'."])],
        name="Nightly",
    )
    said = words(site.get(site.path(run)))
    assert "Evals / Capitals Nightly Completed" in said
    assert "Pass rate 50.0 % 95% CI 15.0 \N{EN DASH} 85.0 Wilson, n = 4" in said
    assert "Passed 2 ✕ Failed 1 ! Errored 1 Rows 4" in said
    assert "exact string_check 75.0 % 3 1 0 0.750" in said
    assert "similar text_similarity 50.0 % 2 1 1 0.633" in said
    assert "1 of 4 rows could not be graded. One of the reasons: Row 3 has no 'reference'." in said
    assert '"schema": { "type": "object" }' in said


def test_a_report_describes_its_charts(site):
    eval_ = site.add_eval([SIMILAR])
    run = site.add_run(eval_, [Row([0.9]), Row([0.3])])
    labels = re.findall(r'aria-label="([^"]*)"', site.get(site.path(run)).text)
    assert "1 passed, 1 failed, 0 errored, of 2 rows" in labels
    assert "Pass rate 50.0 %, 95 % interval 9.5 to 90.5 %, 2 rows" in labels
    assert "Scores of 2 rows, from 0.3 to 0.9; 1 of them below the threshold 0.5" in labels


def test_a_line_shows_item_output_and_every_score(site):
    eval_ = site.add_eval([EXACT, SIMILAR])
    run = site.add_run(eval_, [Row([0.0, 0.25], {"question": "Where?", "n": 7}, "Lyon,\nI think")])
    said = words(site.get(site.path(run)))
    assert "0 ✕ fail question Where? n 7 Lyon, I think ✕ exact: failed 0.250 similar: failed" in said


def test_a_run_that_failed_says_why(site):
    run = site.add_run(site.add_eval(), started=False)
    site.world.runs.fail(run, {"code": "file_missing", "message": "The file file-1 is gone."}, now=run.created_at)
    said = words(site.get(site.path(run)))
    assert "first Failed" in said
    assert "This run failed. The file file-1 is gone." in said


def test_a_run_without_a_name_goes_by_its_id(site):
    run = site.add_run(site.add_eval(name=""), name="")
    assert f"/ {run.eval_id} {run.id} Completed" in words(site.get(site.path(run)))


def test_paging_forward_and_back_shows_every_item_once(site):
    run = site.add_run(site.add_eval(), [Row([1.0])] * 250)
    page, pages = site.get(site.path(run)), []
    assert link(page, "prev") is None
    while True:
        pages.append(indexes(page))
        if link(page, "next") is None:
            break
        page = site.get(site.path(run) + link(page, "next"))
    assert [index for each in pages for index in each] == list(range(250))
    back = [indexes(page)]
    while link(page, "prev"):
        page = site.get(site.path(run) + link(page, "prev"))
        back.append(indexes(page))
    assert back == pages[::-1]


def test_a_filter_stays_on_every_page_and_item(site):
    run = site.add_run(site.add_eval(), [Row([float(index % 2)]) for index in range(120)])
    page = site.get(site.path(run) + "?status=fail")
    more = site.get(site.path(run) + link(page, "next"))
    assert indexes(page) + indexes(more) == list(range(0, 120, 2))
    item = site.get(f"{site.path(run, 2)}?status=fail")
    assert link(item, "prev") == f"{site.path(run, 0)}?status=fail"
    assert link(item, "next") == f"{site.path(run, 4)}?status=fail"


def test_a_filter_that_no_item_meets_says_so(site):
    run = site.add_run(site.add_eval(), [Row([1.0])])
    assert "No row ended like this." in words(site.get(site.path(run) + "?status=error"))


def test_an_item_shows_messages_scores_errors_and_its_json(site):
    eval_ = site.add_eval([EXACT, SIMILAR])
    run = site.add_run(eval_, [Row([1.0, "No 'reference' in the item."], {"tags": ["a", "b"]}, "Paris\n  it is")])
    page = site.get(site.path(run, 0))
    said = words(page)
    assert "Item 0 Errored" in said
    assert "recorded stop 1,200 tokens" in said
    assert 'tags [ "a", "b" ]' in said
    assert "user Answer in one word." in said
    assert "assistant Paris it is" in said
    assert "Paris\n  it is" in page.text
    assert "✓ exact string_check 1" in said
    assert "! similar text_similarity 0.000 No 'reference' in the item." in said
    assert '"object": "eval.run.output_item"' in said


def test_an_item_can_be_kept_as_the_api_answers_it(site):
    run = site.add_run(site.add_eval(), [Row([1.0])])
    kept = site.get(site.path(run, 0) + "/json")
    assert kept.headers["content-type"] == "application/json"
    assert kept.headers["content-disposition"].startswith("attachment")
    api = f"/v1/evals/{run.eval_id}/runs/{run.id}/output_items/{site.path(run, 0).rpartition('/')[2]}"
    assert kept.content == site.get(api).content


def test_an_eval_pages_through_its_runs_newest_first(site):
    eval_ = site.add_eval()
    runs = [site.add_run(eval_, name=f"run {number}") for number in range(25)]
    first = site.get(f"/evals/{eval_.id}")
    second = site.get(f"/evals/{eval_.id}" + link(first, "next"))
    listed = re.findall(r"/runs/(evalrun_\w+)", first.text + second.text)
    assert listed == [run.id for run in reversed(runs)]
    assert link(second, "next") is None


def test_home_shows_each_eval_with_its_last_run(own_site):
    eval_ = own_site.add_eval()
    own_site.add_run(eval_, [Row([1.0])], name="older")
    own_site.add_run(eval_, [Row([1.0]), Row([0.0])], name="newer")
    said = words(own_site.get("/"))
    assert "Capitals Completed newer 50.0 % 2" in said
    assert "older" not in said


def test_home_of_an_empty_server_has_a_program_that_is_valid(own_site):
    snippet = html.unescape(re.search(r"<pre[^>]*>(.*?)</pre>", own_site.get("/").text, re.DOTALL)[1])
    assert f'base_url="{own_site.url}/v1"' in snippet
    compile(snippet, "snippet", "exec")


@pytest.mark.parametrize(
    "path",
    [
        "/evals/eval_x",
        "/evals/eval_x/runs/evalrun_x",
        "/evals/{eval}/runs/evalrun_x",
        "/evals/{eval}/runs/{run}/items/outputitem_x",
        "/evals/{eval}/runs/{run}/items/outputitem_x/json",
        "/evals/<script>/runs/%22onload=",
    ],
)
def test_what_does_not_exist_is_a_page_that_says_so(site, path):
    run = site.add_run(site.add_eval())
    page = site.get(path.format(eval=run.eval_id, run=run.id))
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Not found" in words(page)
    assert "<script>" not in page.text


@pytest.mark.parametrize("query", ["status=nope", "after=outputitem_x", "before=outputitem_x"])
def test_a_link_with_a_wrong_parameter_says_what_is_wrong(site, query):
    run = site.add_run(site.add_eval())
    page = site.get(f"{site.path(run)}?{query}")
    assert page.status_code == 400
    assert "This link is not valid" in words(page)


def test_the_hosted_address_of_a_report_leads_to_it(site):
    run = site.add_run(site.add_eval())
    hosted = site.get(f"/evaluations/{run.eval_id}?project_id=proj_x&run_id={run.id}")
    assert hosted.headers["location"] == site.path(run)
    assert site.get(f"/evaluations/{run.eval_id}").headers["location"] == f"/evals/{run.eval_id}"


def test_no_page_has_inline_code_or_style_and_every_page_forbids_both(site):
    run = site.add_run(site.add_eval(), [Row([1.0])])
    for path in ("/", f"/evals/{run.eval_id}", site.path(run), site.path(run, 0), "/evals/eval_x"):
        page = site.get(path)
        assert re.search(r"<style|<[^>]*\s(?:style|on\w+)=|<script(?![^>]* src=\"/static/)", page.text) is None
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"


def test_static_files_may_be_kept_for_ever_since_their_names_change(site):
    page = site.get("/").text
    [style] = re.findall(r'href="(/static/regrade\.[0-9a-f]{16}\.css)"', page)
    found = site.get(style)
    assert found.headers["content-type"] == "text/css; charset=utf-8"
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert site.get("/static/regrade.0000000000000000.css").status_code == 404


def test_a_running_run_is_followed_and_an_ended_one_is_not(site):
    eval_ = site.add_eval()
    running = site.add_run(eval_, [Row([1.0])] * 3, more=7)
    page = site.get(site.path(running))
    assert re.search(r'<script type="module" src="/static/live\.[0-9a-f]{16}\.mjs">', page.text)
    said = words(page)
    assert "first Running" in said
    assert "Rows 3 of 10" in said
    assert "About 30 percent of the rows are graded." in said
    ended = site.get(site.path(site.add_run(eval_, [Row([1.0])])))
    assert "<script" not in ended.text


def test_a_fragment_is_the_part_of_the_page_that_moves(site):
    run = site.add_run(site.add_eval(), [Row([1.0])] * 3, more=7)
    path = f"{site.path(run)}?status=pass"
    # One of the two is of the same second as the page, which says how long the run has taken.
    before, page, after = (site.get(path + more).text for more in ("&fragment=summary", "", "&fragment=summary"))
    assert 'id="live-summary" data-live data-running="yes"' in before
    assert "<html" not in before
    assert '<td class="text' not in before
    assert before.strip() in page or after.strip() in page


def test_a_queued_run_shows_that_nothing_is_graded_yet(site):
    said = words(site.get(site.path(site.add_run(site.add_eval(), started=False))))
    assert "first Queued" in said
    assert "No row is graded yet." in said
    assert "No row has ended like this yet." in said


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{ 7*191919 }} \u200b\u202e"


def test_whatever_was_written_is_shown_as_text(site):
    eval_ = site.add_eval([{"name": HOSTILE, "type": "string_check"}], name=HOSTILE)
    run = site.add_run(eval_, [Row([1.0], {HOSTILE: HOSTILE}, HOSTILE), Row([HOSTILE])], name=HOSTILE)
    for path in ("/", f"/evals/{eval_.id}", site.path(run), site.path(run, 0), site.path(run, 1)):
        page = site.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert str(7 * 191919) not in page
        assert html.escape('"><script>alert(1)</script>', quote=False).replace('"', "&#34;") in page


def test_a_very_long_output_is_cut_in_the_list_and_whole_on_its_page(site):
    long = "word " * 20_000
    run = site.add_run(site.add_eval(), [Row([1.0], {"text": long}, long)])
    assert len(site.get(site.path(run)).text) < 30_000
    assert long in site.get(site.path(run, 0)).text


def test_pages_that_watch_a_run_share_one_reading_a_second(site):
    eval_ = site.add_eval()
    run = site.add_run(eval_, [Row([1.0])] * 3, more=7)
    clock = HandClock()
    watched = Watched(site.services.runs, clock)
    assert watched.tally(run).passed == 3
    site.write(eval_, run, site.world.chunks.claim(run, 1, "worker_1"), [Row([1.0])] * 2, done=False)
    assert watched.tally(run).passed == 3
    clock.time += 1
    assert watched.tally(run).passed == 5


def test_what_models_were_asked_is_shown(site):
    eval_ = site.add_eval()
    run = site.add_run(eval_, more=2)
    claim = site.world.chunks.claim(run, 0, "worker_1")
    tally = Tally.from_json(claim.tally)
    tally.usage.add("<b>gpt</b>", {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234})
    site.world.chunks.flush(claim, [], tally, done=False)
    said = words(site.get(site.path(run)))
    assert "Model Calls Input tokens Cached Output tokens <b>gpt</b> 1 1,200 0 34" in said


def test_a_run_that_waits_for_an_endpoint_says_for_which_and_how_long(site):
    run = site.add_run(site.add_eval(), more=2)
    claim = site.world.chunks.claim(run, 0, "worker_1")
    since = site.world.clock.now() - 90
    site.world.chunks.flush(claim, [], Tally.from_json(claim.tally), done=False, waiting={"office": since})
    said = words(site.get(site.path(run)))
    assert "The run waits for the endpoint office . It has been down for 1 min 3" in said
