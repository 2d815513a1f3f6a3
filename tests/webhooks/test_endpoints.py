"""Webhook endpoints through the SDK, as it is."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from regrade import outside, settings
from regrade.services.webhook_endpoints import MOST_ENDPOINTS
from servers import serving
from stranger import stranger

ENDS = ["eval.run.succeeded", "fine_tuning.job.failed"]


def create(client, **given):
    return client.webhooks.create(
        **{"name": "ends", "url": "https://example.com/hook", "event_types": ENDS, **given}
    )


def test_an_endpoint_is_made_read_changed_and_deleted(client):
    made = create(client)
    assert made.signing_secret.startswith("whsec_")
    assert (made.object, made.name, made.url, made.event_types) == (
        "webhook_endpoint",
        "ends",
        "https://example.com/hook",
        ENDS,
    )
    read = client.webhooks.retrieve(made.id)
    assert read.to_dict() == {key: value for key, value in made.to_dict().items() if key != "signing_secret"}
    assert made.signing_secret.rstrip("=").endswith(read.signing_secret_hint.removeprefix("whsec_..."))
    changed = client.webhooks.update(made.id, name="all", event_types=["eval.run.canceled"] * 2)
    assert (changed.name, changed.url, changed.event_types) == ("all", made.url, ["eval.run.canceled"])
    assert client.webhooks.retrieve(made.id) == changed
    assert client.webhooks.delete(made.id).to_dict() == {
        "id": made.id,
        "object": "webhook_endpoint.deleted",
        "deleted": True,
    }
    for call in (
        client.webhooks.retrieve,
        client.webhooks.delete,
        client.webhooks.rotate_secret,
        client.webhooks.update,
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            call(made.id)
        assert caught.value.param == "webhook_endpoint_id"


def test_endpoints_are_listed_newest_first_page_by_page(client):
    made = [create(client, name=str(number)).id for number in range(5)]
    assert [endpoint.id for endpoint in client.webhooks.list(limit=2)] == made[::-1]
    page = client.webhooks.list(limit=2)
    assert (page.has_more, page.first_id, page.last_id) == (True, made[4], made[3])
    client.webhooks.delete(made[3])
    assert [endpoint.id for endpoint in client.webhooks.list(after=made[3])] == made[2::-1]
    with pytest.raises(openai.BadRequestError) as caught:
        client.webhooks.list(after="we_none")
    assert caught.value.param == "after"


def test_the_types_of_events_are_those_that_are_sent(client):
    assert client.webhooks.event_types.list().data == [
        "eval.run.succeeded",
        "eval.run.failed",
        "eval.run.canceled",
        "fine_tuning.job.succeeded",
        "fine_tuning.job.failed",
        "fine_tuning.job.cancelled",
    ]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"event_types": []}, "event_types"),
        ({"event_types": "eval.run.failed"}, "event_types"),
        ({"event_types": ["eval.run.failed", "batch.completed"]}, "event_types[1]"),
        ({"url": ""}, "url"),
        ({"url": 5}, "url"),
        ({"url": "example.com"}, "url"),
        ({"url": "https://10.0.0.1/hook"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/hook"}, "url"),
        ({"url": "https://localhost/hook"}, "url"),
        ({"url": "https://user:word@example.com/hook"}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
    ],
)
def test_what_is_wrong_is_named(client, given, param):
    made = create(client)
    for call in (lambda: create(client, **given), lambda: client.webhooks.update(made.id, **given)):
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert caught.value.param == param
    assert len(client.webhooks.list().data) == 1


@pytest.mark.parametrize("name", ["name", "url", "event_types"])
def test_what_is_missing_is_named(client, name):
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, **{name: openai.omit})
    assert (caught.value.param, caught.value.code) == (name, "missing_required_parameter")


def test_without_the_operators_word_urls_are_https_and_public(tmp_path):
    with serving(tmp_path / "data", "--workers", "0") as strict, strict.client() as client:
        for url in ("http://example.com/", "https://127.0.0.1/"):
            with pytest.raises(openai.BadRequestError, match="operator"):
                create(client, url=url)


def test_a_project_has_endpoints_of_its_own_and_so_many_at_most(tmp_path):
    data_dir = tmp_path / "data"
    with outside.open_keys(settings.load({"data_dir": str(data_dir)}, environ={})) as keys:
        red, blue = (keys.create(name, "", admin=False)[1] for name in ("red", "blue"))
    with serving(data_dir, "--workers", "0") as server, server.client(red) as mine, server.client(blue) as yours:
        made = create(mine)
        for call in (yours.webhooks.retrieve, yours.webhooks.delete, yours.webhooks.rotate_secret):
            with pytest.raises(openai.NotFoundError):
                call(made.id)
        assert yours.webhooks.list().data == []
        for _ in range(MOST_ENDPOINTS - 1):
            create(mine)
        with pytest.raises(openai.BadRequestError, match=f"at most {MOST_ENDPOINTS}"):
            create(mine)
        create(yours)


def test_a_repeated_create_or_rotation_answers_what_the_first_did(told, client):
    body = {"name": "once", "url": "https://example.com/", "event_types": ENDS}
    repeat = {"x-stainless-retry-count": "1"}
    with httpx2.Client(base_url=f"{told.url}/v1") as http:
        made = http.post("/webhook_endpoints", json=body).json()
        assert http.post("/webhook_endpoints", json=body, headers=repeat).json() == made
        path = f"/webhook_endpoints/{made['id']}/rotate_secret"
        rotated = http.post(path).json()
        assert rotated["signing_secret"] != made["signing_secret"]
        assert http.post(path, headers=repeat).json() == rotated
        assert http.post(path).json()["signing_secret"] != rotated["signing_secret"]
    assert len(client.webhooks.list().data) == 1


def test_a_rotation_ends_the_old_secret_or_lets_it_live_for_a_day(client):
    with stranger() as there:
        made = create(client, url=there.url)

        def signed_by(secrets):
            client.webhooks.test(made.id, event_type="eval.run.failed")
            got = there.received[-1]
            opened = []
            for secret in secrets:
                try:
                    client.webhooks.verify_signature(got.body, got.headers, secret=secret)
                    opened.append(secret)
                except openai.InvalidWebhookSignatureError:
                    pass
            assert len(got.headers["webhook-signature"].split()) == len(opened)
            return opened

        first = made.signing_secret
        second = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True).signing_secret
        third = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True).signing_secret
        assert signed_by([first, second, third]) == [first, second, third]
        fourth = client.webhooks.rotate_secret(made.id).signing_secret
        assert signed_by([first, second, third, fourth]) == [fourth]


@pytest.mark.parametrize(
    ("status", "event_type"),
    [(200, "eval.run.canceled"), (500, "fine_tuning.job.cancelled"), (307, "eval.run.failed")],
)
def test_a_test_sends_a_sample_and_says_what_came_back(client, status, event_type):
    with stranger(status) as there:
        made = create(client, url=there.url)
        result = client.webhooks.test(made.id, event_type=event_type)
        (got,) = there.received
    assert result.to_dict() == {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": made.id,
        "event_type": event_type,
        "status_code": status,
        "success": True,
    }
    assert client.webhooks.unwrap(got.body, got.headers, secret=made.signing_secret).type == event_type


def test_a_test_that_nobody_answers_is_an_error_that_says_why(client):
    with stranger() as there:
        made = create(client, url=there.url)
    with pytest.raises(openai.BadRequestError, match="cannot be reached") as caught:
        client.webhooks.test(made.id, event_type="eval.run.failed")
    assert caught.value.code == "webhook_unreachable"
    with pytest.raises(openai.BadRequestError) as caught:
        client.webhooks.test(made.id, event_type="video.completed")
    assert caught.value.param == "event_type"


def test_so_many_tests_at_once_and_no_more(client):
    def hang(handler):
        released.wait(60)

    released = threading.Event()
    with stranger(hang) as there, ThreadPoolExecutor(8) as testers:
        made = create(client, url=there.url)
        try:
            for _ in range(8):
                testers.submit(client.webhooks.test, made.id, event_type="eval.run.failed")
            there.wait(8)
            with pytest.raises(openai.InternalServerError, match="Try again") as caught:
                client.webhooks.test(made.id, event_type="eval.run.failed")
        finally:
            released.set()
    assert caught.value.status_code == 503


def test_azure_has_the_same_below_dashboard_and_calls_it_by_its_own_name(told, client):
    body = {"name": "azure", "url": "https://example.com/", "event_types": ENDS}
    with httpx2.Client(base_url=f"{told.url}/openai/v1/dashboard") as http:
        made = http.post("/webhook_endpoints", json=body).json()
        path = f"/webhook_endpoints/{made['id']}"
        assert made["object"] == http.get(path).json()["object"] == "webhook.endpoint"
        assert http.get("/webhook_endpoints").json()["data"] == [http.post(path, json={}).json()]
        assert http.post(f"{path}/rotate_secret").json()["signing_secret"]
        assert len(http.get("/webhook_event_types").json()["data"]) == 6
        error = http.post("/webhook_endpoints", json={**body, "url": 1}).json()["error"]
        assert (error["param"], error["type"]) == ("url", "error")
        assert client.webhooks.retrieve(made["id"]).object == "webhook_endpoint"
        assert http.delete(path).json() == {"id": made["id"], "object": "webhook.endpoint.deleted", "deleted": True}


def test_secrets_are_never_logged(told, client):
    with stranger(500) as there:
        made = create(client, url=f"{there.url}?token=geheim")
        client.webhooks.test(made.id, event_type="eval.run.failed")
        rotated = client.webhooks.rotate_secret(made.id)
    log = "".join(told.errors)
    for secret in (made.signing_secret, rotated.signing_secret, "geheim"):
        assert secret not in log
