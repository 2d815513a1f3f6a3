"""The log as JSON: one object a line, with the ids of what it is about."""

import json
import logging
import sys

from evals import CONFIG, EXACT, wait
from regrade import logs
from regrade.core import log_context
from regrade.core.ids import output_item_index


def record(message, *arguments, error=None):
    return logging.LogRecord("regrade.x", logging.WARNING, __file__, 1, message, arguments, error)


def test_a_record_has_the_ids_that_are_known_where_it_is_made():
    token = log_context.REQUEST.set("req_1")
    try:
        with log_context.working_for("evalrun_" + "0" * 32, 4):
            log_context.ROW.set(17)
            entry = json.loads(logs.JsonLines().format(record("row %d", 17)))
        after = json.loads(logs.JsonLines().format(record("done")))
    finally:
        log_context.REQUEST.reset(token)
    assert (entry["message"], entry["level"], entry["logger"]) == ("row 17", "warning", "regrade.x")
    assert (entry["request_id"], entry["run_id"], entry["chunk"]) == ("req_1", "evalrun_" + "0" * 32, 4)
    assert output_item_index("evalrun_" + "0" * 32, entry["item_id"]) == 17
    assert not {"run_id", "chunk", "item_id"} & set(after)


def test_a_traceback_is_a_field_and_every_record_one_line():
    try:
        raise ValueError("two\nlines\x85three\u2028four")
    except ValueError:
        text = logs.JsonLines().format(record("it\nfailed", error=sys.exc_info()))
    assert "\n" not in text
    entry = json.loads(text)
    assert entry["message"] == "it\nfailed"
    assert entry["error"].startswith("Traceback")


def test_a_server_writes_nothing_but_json_and_says_which_run_failed(watched):
    with watched.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        rows = client.files.create(file=("rows.jsonl", b"\n\n"), purpose="evals")
        run = client.evals.runs.create(
            eval_.id, data_source={"type": "jsonl", "source": {"type": "file_id", "id": rows.id}}
        )
        assert wait(client, run).status == "failed"
    entries = [json.loads(line) for line in watched.errors]
    [said] = [entry for entry in entries if entry.get("run_id") == run.id]
    assert said["level"] == "warning"
    assert "no rows" in said["message"]
