"""The pages in a real browser, under the policy that they are served with."""

import http.server
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from web.sites import Row

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]

EXACT = {"name": "exact", "type": "string_check"}
SIMILAR = {"name": "similar", "type": "text_similarity", "pass_threshold": 0.5}


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def page(context):
    """A page, and everything that it complained about in `page.complaints`."""
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))

    def shown(dialog):
        page.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    page.on("dialog", shown)
    return page


ATTACKS = [
    "<script>window.pwned = 1; alert(1)</script>",
    '"onmouseover="window.pwned=1" autofocus onfocus="window.pwned=1" x="',
    "'><img src=x onerror='window.pwned=1'><svg onload=window.pwned=1>",
    "</title></pre></textarea></script><script>window.pwned=1</script><style>*{display:none}</style>",
    "javascript:window.pwned=1 {{ 7*7 }} ${7*7} <!-- ]]> &lt;script&gt;",
    "\u202egnp.exe \u0000\u0007\ufeff\u2028 \U0001f600 Z\u0361\u0362\u0363",
]


def test_what_models_and_strangers_write_runs_nothing(site, page):
    names = [{"name": attack, "type": "string_check"} for attack in ATTACKS[:4]]
    eval_ = site.add_eval(names, name=ATTACKS[2])
    rows = [Row([1.0, 0.0, 1.0, attack], {attack: attack, "n": [attack]}, attack) for attack in ATTACKS]
    rows.append(Row([1.0] * 4, {"long": "<b>" * 33_000}, "<script>" * 12_500))
    run = site.add_run(eval_, rows, name=ATTACKS[0], more=1)
    paths = ["/", f"/evals/{eval_.id}", site.path(run), *(site.path(run, index) for index in range(len(rows)))]
    for path in paths:
        page.goto(site.url + path)
        for target in page.locator("td a, dd, h1, th").all()[:12]:
            target.hover()
        expect(page.locator("main")).to_be_visible()
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, main style, main [onmouseover], main [onfocus]").count() == 0
        assert page.locator("a[href^='javascript:']").count() == 0
    page.goto(site.url + site.path(run))
    expect(page.locator("h1")).to_have_text(ATTACKS[0])
    with page.expect_response(re.compile("fragment=summary")):  # the live part is as careful as the page
        pass
    expect(page.locator("h1")).to_have_text(ATTACKS[0])
    assert page.complaints == []


def test_a_running_report_moves_and_comes_to_rest(site, page):
    eval_ = site.add_eval([EXACT, SIMILAR])
    run = site.add_run(eval_, [Row([1.0, 0.9])] * 3, more=2)
    page.goto(site.url + site.path(run))
    expect(page.locator(".chip")).to_have_text("Running")
    expect(page.get_by_text("3 of 5")).to_be_visible()
    expect(page.locator(".items tbody tr")).to_have_count(3)
    page.get_by_text("Testing criteria").click()
    with page.expect_response(re.compile("fragment=summary")):
        pass
    expect(page.locator("details[open]")).to_have_count(1)
    site.grade(eval_, run, [Row([0.0, 0.2])] * 2, k=1)
    expect(page.locator(".chip")).to_have_text("Completed")
    expect(page.locator(".figure")).to_have_text("60.0%")
    expect(page.locator(".items tbody tr")).to_have_count(5)
    assert page.locator("script").count() == 0
    assert page.complaints == []


def test_the_figures_of_a_running_report_move_without_a_reload(site, page):
    eval_ = site.add_eval()
    run = site.add_run(eval_, [], more=4)
    page.goto(site.url + site.path(run))
    page.evaluate("window.before = true")
    claim = site.world.chunks.claim(run, 0, "worker_1")
    site.write(eval_, run, claim, [Row([1.0])] * 2, done=False)
    expect(page.locator("#live-spoken")).to_have_text("About 50 percent of the rows are graded.")
    expect(page.locator("#live-filters")).to_contain_text("Passed 2")
    assert page.evaluate("window.before") is True
    assert page.complaints == []


def test_items_are_reached_and_paged_by_links_without_scripts(site, chromium):
    run = site.add_run(site.add_eval(), [Row([float(index % 2)]) for index in range(120)])
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(site.url + site.path(run))
        page.get_by_role("link", name="Failed 60").click()
        page.get_by_role("link", name="Next").click()
        page.locator(".items").get_by_role("link", name="100", exact=True).click()
        expect(page.locator("h1")).to_have_text("Item 100")
        page.get_by_role("link", name="Next").click()
        expect(page.locator("h1")).to_have_text("Item 102")


def test_pages_fit_a_phone(site, page):
    eval_ = site.add_eval([EXACT, SIMILAR], name="W" * 90)
    long = "unbreakable" * 40
    run = site.add_run(eval_, [Row([1.0, 0.3], {long: long}, long), Row([long, 1.0])], name=long)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in ("/", f"/evals/{eval_.id}", site.path(run), site.path(run, 0), site.path(run, 1)):
        page.goto(site.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def log_in(page, secret):
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Log in").click()


def test_a_visitor_logs_in_sees_the_page_asked_for_and_logs_out(own_site, secret, page):
    run = own_site.add_run(own_site.add_eval(), [Row([1.0])], name="ours")
    page.goto(own_site.url + own_site.path(run))
    log_in(page, "sk-regrade-wrong")
    expect(page.get_by_role("alert")).to_contain_text("This server has no such key.")
    log_in(page, secret)
    expect(page.locator("h1")).to_have_text("ours")
    assert page.url == own_site.url + own_site.path(run)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert [said for said in page.complaints if "401" not in said] == []


@pytest.fixture
def elsewhere():
    """Another site: a page with a link, under the name `localhost`, which is not the site of 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        target = ""

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<link rel="icon" href="data:,"><a href="{self.target}">report</a>'.encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Handler, f"http://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_has_logged_in_follows_links_of_other_sites_without_being_asked_again(
    own_site, secret, page, elsewhere
):
    handler, address = elsewhere
    run = own_site.add_run(own_site.add_eval(), [Row([1.0])], name="ours")
    handler.target = own_site.url + own_site.path(run)
    page.goto(address)
    page.get_by_role("link", name="report").click()
    log_in(page, secret)
    expect(page.locator("h1")).to_have_text("ours")
    page.goto(address)
    page.get_by_role("link", name="report").click()
    expect(page.locator("h1")).to_have_text("ours")
