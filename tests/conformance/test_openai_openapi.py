"""Answers are what OpenAI's published OpenAPI document says, but for the deviations named in `published`."""

import os
import re
from pathlib import Path

import httpx2
import pytest

from conformance import conversation, published

NOT_JSON = "downloadFile"
"""Served as the bytes that they are; the document calls them a JSON string (contract 6.1)."""
NEVER_SUCCEED = {"retrieveModel", "deleteModel"}
"""There are no models without model endpoints: these only answer errors."""
ERROR = {"$ref": "#/components/schemas/ErrorResponse"}
"""For every error: the document shows the error itself in places, without the object around it (contract 1.3)."""


@pytest.fixture(scope="module")
def document():
    path = os.environ.get("REGRADE_OPENAI_OPENAPI")
    if not path:
        pytest.skip("REGRADE_OPENAI_OPENAPI names no copy of OpenAI's OpenAPI document")
    return published.read(Path(path))


@pytest.fixture(scope="module")
def heard(document, server):
    """Every exchange of the conversation with its operation in the document."""
    operations = [
        (method, published.pattern(path), operation)
        for (method, path), operation in published.operations(document).items()
    ]

    def operation_of(exchange):
        path = re.sub("/runs/([^/]+)/cancel$", r"/runs/\1", exchange.path)  # newer than the document (contract 0.1)
        [found] = [
            operation
            for method, pattern, operation in operations
            if method == exchange.method and pattern.fullmatch(path)
        ]
        return found

    with httpx2.Client(base_url=server.url) as http:
        return [(exchange, operation_of(exchange)) for exchange in conversation.hold(http)]


def _faults(document, heard):
    """What is wrong with each answer, with the request that it answers."""
    validators = {}
    for exchange, operation in heard:
        kind = (operation["operationId"], exchange.status)
        if exchange.status < 400 and operation["operationId"] == NOT_JSON:
            continue
        if kind not in validators:
            validators[kind] = published.validator(document, _schema(operation, exchange.status))
        for fault in validators[kind].iter_errors(exchange.body):
            where = "/".join(map(str, fault.instance_path))
            yield f"{exchange.method} {exchange.path}: {where}: {fault.message[:300]}"


def _schema(operation, status):
    if status >= 400:
        return ERROR
    return operation["responses"][str(status)]["content"]["application/json"]["schema"]


def test_every_answer_conforms_but_for_the_deviations(document, heard):
    assert not list(_faults(published.with_deviations(document, published.DEVIATIONS), heard))


@pytest.mark.parametrize("index", range(len(published.DEVIATIONS)), ids=lambda i: published.DEVIATIONS[i].place)
def test_every_deviation_is_needed(document, heard, index):
    others = [each for each in published.DEVIATIONS if each is not published.DEVIATIONS[index]]
    assert any(_faults(published.with_deviations(document, others), heard))


def test_every_operation_was_answered_as_the_document_foresees(document, heard):
    succeeded = {operation["operationId"] for exchange, operation in heard if exchange.status < 400}
    published_ids = {operation["operationId"] for operation in published.operations(document).values()}
    assert succeeded == published_ids - NEVER_SUCCEED


def test_runs_and_items_were_heard_in_every_state(heard):
    bodies = [exchange.body for exchange, _ in heard if isinstance(exchange.body, dict)]
    states = {(body.get("object"), body.get("status")) for body in bodies}
    for status in ("queued", "completed", "failed", "canceled"):
        assert ("eval.run", status) in states
    for status in ("pass", "fail", "error"):
        assert ("eval.run.output_item", status) in states


def test_files_are_served_as_they_are(heard):
    [exchange] = [exchange for exchange, operation in heard if operation["operationId"] == NOT_JSON]
    assert (exchange.content_type, exchange.body) == ("application/octet-stream", b"{}")


def test_every_published_operation_exists_under_every_prefix(document, server):
    with httpx2.Client(base_url=server.url) as http:
        for method, path in published.operations(document):
            for prefix in ("/v1", "/openai/v1", "/openai"):
                answer = http.request(method, prefix + re.sub(r"{\w+}", "x", path))
                if answer.status_code >= 400:
                    assert not answer.json()["error"]["message"].startswith(("Invalid URL", "Invalid method")), (
                        method,
                        path,
                    )
