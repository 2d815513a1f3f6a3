"""What the page on webhooks shows works as it is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evals import CONFIG, EXACT, inline_source, row, wait
from regrade import settings
from stranger import Stranger

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def free_port():
    gone = Stranger()
    gone.close()
    return gone.port


def test_an_endpoint_made_as_shown_tells_the_receiver_that_is_shown(told, client, free_port, capsys):
    subscribe, receiver = blocks("python")
    subscribe = subscribe.replace("http://127.0.0.1:8000", told.url)
    scope = {}
    try:
        exec(subscribe.replace("https://example.com/hook", f"http://127.0.0.1:{free_port}/hook"), scope)
    finally:
        scope["client"].close()
    secret = capsys.readouterr().out.strip()
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", receiver.replace("9000", str(free_port))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OPENAI_WEBHOOK_SECRET": secret},
    )
    try:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        source = inline_source([row(0, right=True)])
        run = wait(client, client.evals.runs.create(eval_.id, data_source=source))
        assert process.stdout.readline() == f"eval.run.succeeded {run.id}\n"
    finally:
        process.kill()
        process.communicate()


def test_the_settings_are_as_shown(tmp_path):
    (text,) = blocks("toml")
    path = tmp_path / "regrade.toml"
    path.write_text(text)
    found = settings.load({"config": str(path)}, environ={})
    assert (found.webhook_private_networks, found.webhook_http) == ("hooks.internal,10.1.0.0/16", True)


def test_every_type_of_event_is_shown(client):
    table = PAGE.split("## Events")[1].split("```")[0]
    for event_type in client.webhooks.event_types.list().data:
        assert event_type in table or f"`.{event_type.rpartition('.')[2]}`" in table
