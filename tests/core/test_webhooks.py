"""Signatures as the SDK verifies them, and ids that are the same for the same end."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import InvalidWebhookSignatureError, OpenAI

from regrade.core.webhooks import (
    EVENT_TYPES,
    SigningSecret,
    delivery_id,
    event_of,
    hint,
    new_secret,
    signed_headers,
)

CLIENT = OpenAI(api_key="unused")
SECRETS = st.text("abcXYZ019-_", min_size=43, max_size=43).map(new_secret)


@given(SECRETS, st.text(max_size=100).map(str.encode), st.sampled_from(EVENT_TYPES))
def test_the_sdk_takes_what_is_signed(secret, extra, event_type):
    _, body = event_of(event_type, "evalrun_" + extra.hex(), created_at=5)
    headers = signed_headers([secret], "wh_1", body, now=int(time.time()))
    event = CLIENT.webhooks.unwrap(body, headers, secret=secret.text)
    assert (event.type, event.data.id, event.object) == (event_type, "evalrun_" + extra.hex(), "event")


@given(SECRETS, SECRETS, st.text(max_size=100).map(str.encode))
def test_the_sdk_refuses_other_secrets_bodies_ids_and_times(secret, other, body):
    now = int(time.time())
    headers = signed_headers([secret], "wh_1", body, now=now)
    forged = [
        (body + b" ", headers),
        (body, headers | {"webhook-id": "wh_2"}),
        (body, headers | {"webhook-timestamp": str(now - 1)}),
        (body, signed_headers([secret], "wh_1", body, now=now - 301)),
    ]
    if other != secret:
        forged.append((body, signed_headers([other], "wh_1", body, now=now)))
    for each_body, each_headers in forged:
        with pytest.raises(InvalidWebhookSignatureError):
            CLIENT.webhooks.verify_signature(each_body, each_headers, secret=secret.text)


def test_while_an_old_secret_lives_both_open_the_same_delivery():
    new, old = new_secret("n" * 43), new_secret("o" * 43)
    now = int(time.time())
    both = signed_headers([new, SigningSecret(text=old.text, expires_at=now + 1)], "wh_1", b"{}", now=now)
    for secret in (new, old):
        CLIENT.webhooks.verify_signature(b"{}", both, secret=secret.text)
    later = signed_headers([new, SigningSecret(text=old.text, expires_at=now)], "wh_1", b"{}", now=now)
    assert later["webhook-signature"] == both["webhook-signature"].split()[0]


def test_the_end_of_an_object_is_one_event_and_one_delivery_an_endpoint():
    event_id, body = event_of("eval.run.failed", "evalrun_1", created_at=5)
    assert (event_id, body) == event_of("eval.run.failed", "evalrun_1", created_at=5)
    others = {
        event_of(*other, created_at=5)[0]
        for other in [("eval.run.failed", "r"), ("eval.run.succeeded", "evalrun_1")]
    }
    assert len({event_id, *others}) == 3
    assert len({delivery_id(event_id, endpoint) for endpoint in ("we_1", "we_2")}) == 2


def test_a_secret_shows_itself_to_nobody_by_accident():
    secret = new_secret("s" * 43)
    assert secret.text.removeprefix("whsec_") not in repr(secret)
    assert len(hint(secret)) < 15
