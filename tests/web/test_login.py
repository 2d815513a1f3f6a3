"""Who may see which pages."""

from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regrade.web.session import WrongKeys, own_path
from web.sites import HandClock, Row


@pytest.fixture
def browser(own_site):
    """A client that keeps cookies, as browsers do."""
    with httpx2.Client(base_url=own_site.url, headers={"origin": own_site.url}) as client:
        yield client


def log_in(browser, secret, **fields):
    return browser.post("/login", data={"key": secret, **fields})


def test_without_keys_nobody_is_asked(site):
    assert site.get("/").status_code == 200


def test_a_page_asks_for_a_key_and_then_leads_back(own_site, secret, browser):
    run = own_site.add_run(own_site.add_eval(), [Row([1.0])])
    wanted = own_site.path(run) + "?status=pass"
    asked = browser.get(wanted)
    assert asked.status_code == 303
    form = browser.get(asked.headers["location"])
    assert f'value="{wanted}"' in form.text
    entered = log_in(browser, secret, next=wanted)
    assert (entered.status_code, entered.headers["location"]) == (303, wanted)
    assert browser.get(wanted).status_code == 200
    assert browser.get("/login").headers["location"] == "/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(secret, browser):
    cookie = log_in(browser, secret).headers["set-cookie"].lower()
    assert cookie.startswith("regrade_session=")
    for attribute in ("; httponly", "; samesite=strict", "; path=/", "; max-age=2592000"):
        assert attribute in cookie
    assert "; secure" not in cookie
    assert secret.lower() not in cookie


def test_the_cookie_stays_on_tls_where_the_browser_speaks_it(own_site, secret):
    origin = own_site.url.replace("http:", "https:")
    entered = httpx2.post(own_site.url + "/login", data={"key": secret}, headers={"origin": origin})
    assert "; secure" in entered.headers["set-cookie"].lower()


def test_a_wrong_key_gets_the_form_again(secret, browser):
    refused = log_in(browser, "sk-regrade-wrong", next="/evals/eval_x")
    assert refused.status_code == 401
    assert "This server has no such key." in refused.text
    assert 'value="/evals/eval_x"' in refused.text
    assert "set-cookie" not in refused.headers


def test_a_strange_form_is_a_wrong_key(own_site, secret):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"", b"key", b"key=%ff%fe", b"\xff", b"key=" + b"x" * 100_000, b"&" * 5000):
        assert httpx2.post(own_site.url + "/login", content=body, headers=headers).status_code == 401


def test_many_wrong_keys_have_to_wait(secret, browser):
    answers = [log_in(browser, f"wrong {number}").status_code for number in range(WrongKeys.LIMIT + 1)]
    assert answers == [401] * WrongKeys.LIMIT + [429]
    assert log_in(browser, secret).status_code == 429


def test_wrong_keys_are_forgiven_after_a_minute_and_counted_by_address():
    clock = HandClock()
    wrong = WrongKeys(clock)
    for _ in range(WrongKeys.LIMIT):
        assert wrong.may_try("10.0.0.1")
        wrong.add("10.0.0.1")
    assert not wrong.may_try("10.0.0.1")
    assert wrong.may_try("10.0.0.2")
    clock.time += WrongKeys.SECONDS
    assert wrong.may_try("10.0.0.1")


def test_another_projects_pages_do_not_exist(own_site, secret, browser):
    theirs = own_site.add_run(own_site.add_eval(project="other", name="Theirs"), [Row([1.0])])
    own_site.add_eval(name="Ours")
    log_in(browser, secret)
    home = browser.get("/").text
    assert "Ours" in home
    assert "Theirs" not in home
    for path in (
        f"/evals/{theirs.eval_id}",
        own_site.path(theirs),
        own_site.path(theirs, 0),
        own_site.path(theirs, 0) + "/json",
    ):
        assert browser.get(path).status_code == 404


def test_logging_out_ends_the_session_and_not_only_the_cookie(secret, browser):
    log_in(browser, secret)
    token = browser.cookies["regrade_session"]
    assert browser.get("/").status_code == 200
    assert browser.post("/logout").status_code == 303
    assert "regrade_session" not in browser.cookies
    browser.cookies.set("regrade_session", token)
    assert browser.get("/").status_code == 303


def test_a_revoked_key_has_no_sessions(own_site, secret, browser):
    log_in(browser, secret)
    [key] = own_site.services.keys.list()
    own_site.services.keys.revoke(key.id)
    assert browser.get("/").status_code == 303


def test_other_sites_can_neither_log_in_nor_out(own_site, secret):
    for path in ("/login", "/logout"):
        forged = httpx2.post(own_site.url + path, data={"key": secret}, headers={"origin": "https://evil.example"})
        assert forged.status_code == 403
        assert "set-cookie" not in forged.headers


def test_a_link_of_another_site_is_followed_once_more_by_our_own_page(own_site, secret):
    again = own_site.get(
        "/evals/eval_x?after=y", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    )
    assert again.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in again.text
    own = own_site.get("/evals/eval_x?after=y", headers={"sec-fetch-site": "same-origin"})
    assert own.headers["location"] == "/login?next=%2Fevals%2Feval_x%3Fafter%3Dy"


HERE = "http://here.example/login"


@given(st.text(alphabet=st.sampled_from("/\\ab:@.?#%\t\n\r é"), max_size=12) | st.text())
@example("//evil.example")
@example("/\\evil.example")
@example("/\t/evil.example")
@example("/\n\\evil.example")
@example("https://evil.example")
@example("javascript:alert(1)")
@example("/ok\r\nset-cookie: a=b")
def test_nobody_is_sent_elsewhere(path):
    led = own_path(path)
    # Browsers strip these and read backslashes as slashes before they resolve a link.
    seen = led.replace("\t", "").replace("\n", "").replace("\r", "").strip().replace("\\", "/")
    assert urlsplit(urljoin(HERE, seen))[:2] == ("http", "here.example")
    assert led.isprintable()


@pytest.mark.parametrize("path", ["/", "/evals/eval_1?status=fail&after=x", "/a%20b#c"])
def test_own_paths_are_kept(path):
    assert own_path(path) == path
