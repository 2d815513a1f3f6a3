"""What the server leaves behind: files for its owner alone, and a log that nobody else can write in."""

import logging
import os
import stat
from contextlib import closing

import httpx2
import pytest

from evals import CONFIG, EXACT, file_source, upload, wait
from regrade import logs, outside, settings
from servers import serving


@pytest.fixture(scope="module")
def made_before(tmp_path_factory):
    """A server on a folder that was there before, for everybody to read, under the usual mask."""
    data_dir = tmp_path_factory.mktemp("open") / "data"
    data_dir.mkdir(mode=0o755)
    mask = os.umask(0o022)
    try:
        with serving(data_dir) as server:
            yield server
    finally:
        os.umask(mask)


def test_nobody_else_can_read_what_a_server_keeps(made_before):
    with made_before.client() as client:
        made = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        rows = upload(client, [{"item": {"answer": "1", "reference": "1"}}])
        wait(client, client.evals.runs.create(made.id, data_source=file_source(rows)))
    kept = [path for path in made_before.data_dir.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert [path.name for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_nobody_else_can_read_keys_that_came_before_the_server(tmp_path):
    mask = os.umask(0o022)
    try:
        world = outside.open_outside(settings.load({"data_dir": str(tmp_path)}, environ={}))
        with closing(world):
            assert not stat.S_IMODE((tmp_path / "regrade.sqlite3").stat().st_mode) & 0o077
    finally:
        os.umask(mask)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\x1b[2K\r", "\x85"])
def test_no_text_of_a_client_passes_for_a_line_of_the_log(end):
    forged = f"x{end}2026-01-01 00:00:00,000 INFO regrade: all is well"
    record = logging.LogRecord("regrade", logging.ERROR, __file__, 1, "%s failed", (forged,), None)
    first, *others = logs.TextLines("%(levelname)s %(message)s").format(record).splitlines()
    assert first.startswith("ERROR x")
    assert all(line.startswith("    ") for line in others)


def test_forms_that_are_none_leave_no_trace(made_before):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    before = len(made_before.errors)
    answer = httpx2.post(f"{made_before.url}/v1/files", content=b"--y not a form", headers=headers)
    assert answer.status_code == 400
    assert not any("multipart" in line for line in made_before.errors[before:])
