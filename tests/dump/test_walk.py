"""The walk over a hosted account saves all of it, and knows what it could not have."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from dump.hosted import KEY, HostedApi, account, error
from dump.saving import held, save
from regrade.core.errors import AuthenticationError, ConfigurationError, UnavailableError
from regrade.dump.check import check
from regrade.dump.resources import Scope


@pytest.fixture
def api():
    with HostedApi(account()) as running:
        yield running


def skips(plan):
    return {skip.request.path: skip.status for skip in plan.skipped()}


def test_everything_that_an_account_holds_is_saved(api, tmp_path):
    plan = save(api, tmp_path / "dump")
    counts = {resource: (tally.found, tally.saved, tally.skipped) for resource, tally in plan.tallies().items()}
    assert counts == {
        "evals": (4, 4, 0),
        "eval_runs": (6, 6, 0),
        "output_items": (696, 696, 0),
        "fine_tuning_jobs": (2, 2, 0),
        "fine_tuning_events": (240, 240, 0),
        "fine_tuning_checkpoints": (2, 2, 0),
        "chat_completions": (3, 3, 0),
        "chat_completion_messages": (6, 6, 0),
        "files": (3, 3, 0),
        "file_contents": (3, 3, 0),
    }
    for file_id, content in api.held.contents.items():
        assert (tmp_path / "dump" / "files" / file_id).read_bytes() == content
    assert check(tmp_path / "dump").whole


def test_answers_keep_numbers_and_texts_as_they_came(api, tmp_path):
    save(api, tmp_path / "dump")
    items = [line for line in held(tmp_path / "dump") if line.startswith("output_items")]
    answers = [json.loads(line.split(" ", 1)[1])["answer"] for line in items]
    saved = {item["id"]: item for answer in answers for item in answer["data"]}
    truth = {item["id"]: item for path, rows in api.held.lists.items() if "output_items" in path for item in rows}
    assert saved == truth


def test_nothing_is_asked_twice_and_never_more_than_four_things_at_once(api, tmp_path):
    save(api, tmp_path / "dump")
    assert len(api.requests) == len(set(api.requests))
    assert 1 < api.most_at_once <= 4


def test_a_second_call_on_a_whole_dump_asks_nothing(api, tmp_path):
    save(api, tmp_path / "dump")
    before, asked = held(tmp_path / "dump"), len(api.requests)
    save(api, tmp_path / "dump")
    assert held(tmp_path / "dump") == before
    assert len(api.requests) == asked


@pytest.mark.parametrize("status", [401, 403, 404, 410, 400, 302])
def test_what_is_refused_is_skipped_and_had_by_the_next_call(api, tmp_path, status):
    def refuse(request, number):
        return error(status, "Not for you.") if request.path.endswith(("/messages", "/files/file-train")) else None

    api.fault = refuse
    plan = save(api, tmp_path / "dump")
    assert set(skips(plan).values()) == {status}
    assert len(skips(plan)) == 4
    assert not check(tmp_path / "dump").whole
    api.fault = lambda request, number: None
    assert not save(api, tmp_path / "dump").skipped()
    assert check(tmp_path / "dump").whole


def test_a_list_that_is_refused_as_a_whole_counts_as_one_and_leaves_the_rest(api, tmp_path):
    api.fault = lambda request, number: error(403, "No.") if request.path == "/v1/chat/completions" else None
    plan = save(api, tmp_path / "dump")
    tally = plan.tallies()["chat_completions"]
    assert (tally.found, tally.saved, tally.skipped) == (1, 0, 1)
    assert plan.tallies()["output_items"].saved == 696


def test_output_items_that_are_refused_count_as_many_as_the_run_has(api, tmp_path):
    api.fault = lambda request, number: error(403, "No.") if "after" in request.query else None
    tally = save(api, tmp_path / "dump").tallies()["output_items"]
    assert (tally.found, tally.saved, tally.skipped) == (696, 306, 390)


@pytest.mark.parametrize("failure", ["cut", "drop", 500, 503, 429, "not json"])
def test_one_failure_at_every_request_loses_nothing(api, tmp_path, failure):
    failed = set()

    def fail_once(request, number):
        if request.path_qs in failed:
            return None
        failed.add(request.path_qs)
        if failure == "not json":
            return None if request.path.endswith("/content") else web.Response(text="<html>Sorry</html>")
        return failure if isinstance(failure, str) else error(failure, "Later.", retry_after="0")

    with HostedApi(account(evals=1)) as calm:
        save(calm, tmp_path / "calm")
    with HostedApi(account(evals=1)) as shaky:
        shaky.fault = fail_once
        plan = save(shaky, tmp_path / "shaky")
    assert not plan.skipped()
    assert held(tmp_path / "shaky") == held(tmp_path / "calm")


def test_a_server_error_that_stays_is_skipped(api, tmp_path):
    api.fault = lambda request, number: error(503, "Broken.") if request.path.endswith("/events") else None
    plan = save(api, tmp_path / "dump")
    assert skips(plan) == {f"/fine_tuning/jobs/ftjob-{n}/events": 503 for n in range(2)}
    assert plan.skipped()[0].reason == "503 Broken. (3 attempts)"


def test_a_service_that_fails_at_everything_ends_the_walk(api, tmp_path):
    api.fault = lambda request, number: error(500, "Down.") if number > 5 else None
    with pytest.raises(UnavailableError, match="fails at everything"):
        save(api, tmp_path / "dump")


def test_a_rate_limit_holds_everybody_back_for_as_long_as_it_says(api, tmp_path):
    limited_at, too_early = [], []

    def limit(request, number):
        now = time.monotonic()
        if number == 3:
            limited_at.append(now)
            return error(429, "Slow down.", retry_after_ms="300")
        # What was on its way when the answer came may still arrive.
        if limited_at and 0.1 < now - limited_at[0] < 0.29:
            too_early.append(request.path)
        return None

    api.fault = limit
    assert not save(api, tmp_path / "dump").skipped()
    assert limited_at
    assert not too_early


@pytest.mark.parametrize("asked", ["86400", "Fri, 31 Dec 2099 23:59:59 GMT"])
def test_a_wait_that_is_too_long_ends_the_walk_with_its_length(api, tmp_path, asked):
    api.fault = lambda request, number: error(429, "Another day.", retry_after=asked) if number == 4 else None
    with pytest.raises(UnavailableError, match=r"come back in \d{5,} seconds"):
        save(api, tmp_path / "dump")


def test_a_rate_limit_that_never_ends_ends_the_walk(api, tmp_path):
    api.fault = lambda request, number: error(429, "No.") if request.path.endswith("/events") else None
    with pytest.raises(UnavailableError, match="keeps limiting"):
        save(api, tmp_path / "dump")


def test_a_wrong_key_stops_at_once(api, tmp_path):
    with pytest.raises(AuthenticationError, match="does not accept this key"):
        save(api, tmp_path / "dump", key="sk-wrong-key")
    assert len(api.requests) == 1


def test_a_key_that_ends_on_the_way_stops_the_walk(api, tmp_path):
    api.fault = lambda request, number: error(401, "Expired.") if number >= 6 else None
    with pytest.raises(AuthenticationError):
        save(api, tmp_path / "dump")
    api.fault = lambda request, number: None
    save(api, tmp_path / "dump")
    assert check(tmp_path / "dump").whole


def test_no_network_ends_the_walk_and_the_next_call_goes_on(tmp_path):
    with HostedApi(account()) as api:
        api.fault = lambda request, number: api.interrupt() if number == 9 else None
        with pytest.raises(asyncio.CancelledError):
            save(api, tmp_path / "dump")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        save(api, tmp_path / "dump")
    with HostedApi(account(), port=api.port) as again:
        save(again, tmp_path / "dump")
    assert check(tmp_path / "dump").whole


def test_a_file_that_ends_with_its_connection_is_whole_or_fetched_again(api, tmp_path):
    cut = []

    def end_early(request, number):
        if not request.path.endswith("/file-train/content") or cut:
            return None
        cut.append(request.path)
        return "short"

    api.fault = end_early
    assert not save(api, tmp_path / "dump").skipped()
    assert cut
    assert (tmp_path / "dump" / "files" / "file-train").read_bytes() == api.held.contents["file-train"]


def test_the_key_is_nowhere_in_the_dump(api, tmp_path):
    api.fault = lambda request, number: error(403, f"{KEY} may not.") if request.path.endswith("/events") else None
    plan = save(api, tmp_path / "dump")
    assert "[the key] may not." in plan.skipped()[0].reason
    for path in (tmp_path / "dump").rglob("*"):
        assert KEY not in path.name
        if path.is_file():
            content = path.read_bytes()
            assert KEY.encode() not in content
    assert all(KEY not in line for line in held(tmp_path / "dump"))


def test_only_the_evals_that_are_named_are_saved(api, tmp_path):
    wanted = api.held.lists["/evals"][1]["id"]
    tallies = save(api, tmp_path / "dump", scope=Scope(evals=(wanted,))).tallies()
    assert (tallies["evals"].saved, tallies["eval_runs"].saved, tallies["output_items"].saved) == (1, 2, 232)
    assert tallies["file_contents"].saved == 1
    assert tallies["fine_tuning_jobs"].found == tallies["chat_completions"].found == 0


def test_what_is_older_than_since_is_not_followed(api, tmp_path):
    tallies = save(api, tmp_path / "dump", scope=Scope(since=1_760_000_001)).tallies()
    assert tallies["output_items"].saved == 6  # of the second run of each eval
    assert tallies["fine_tuning_events"].saved == 0
    assert tallies["chat_completion_messages"].saved == 4


def test_smaller_pages_are_asked_for_where_large_ones_are_refused(api, tmp_path):
    api.page_limit = 20
    assert save(api, tmp_path / "dump").tallies()["output_items"].saved == 696


def test_a_list_that_never_ends_is_left(api, tmp_path):
    def circle(request, number):
        if not request.path.endswith("/ftjob-0/events"):
            return None
        return web.json_response({"object": "list", "data": [{"id": "ftevent-1"}], "has_more": True})

    api.fault = circle
    plan = save(api, tmp_path / "dump")
    assert skips(plan) == {"/fine_tuning/jobs/ftjob-0/events": None}


def test_azure_is_asked_in_its_own_way(tmp_path):
    with HostedApi(account(), azure=True) as api:
        plan = save(api, tmp_path / "dump")
    assert not plan.skipped()
    assert all(path.startswith("/openai/v1/") for path in api.requests)


def test_a_dump_of_something_else_is_not_gone_on_with(api, tmp_path):
    save(api, tmp_path / "dump")
    with pytest.raises(ConfigurationError, match="begun with since = null"):
        save(api, tmp_path / "dump", scope=Scope(since=1))


def test_a_folder_with_other_things_in_it_is_left_alone(api, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"thesis\.txt"):
        save(api, tmp_path)


def test_ids_never_leave_the_folder(tmp_path):
    made = account(evals=1)
    run = made.lists[f"/evals/{made.lists['/evals'][0]['id']}/runs"][0]
    run["data_source"]["source"]["id"] = "../../escape"
    with HostedApi(made) as api:
        api.fault = lambda request, number: (
            web.json_response({"id": "../../escape", "bytes": 1})
            if "escape" in request.path_qs and not request.path.endswith("/content")
            else web.Response(body=b"x")
            if "escape" in request.path_qs
            else None
        )
        save(api, tmp_path / "deep" / "er" / "dump")
    assert not list(tmp_path.glob("**/escape"))
    assert len(list((tmp_path / "deep" / "er" / "dump" / "files").iterdir())) == 3
