"""Rows as real files have them, and what becomes of each."""

import json

import pytest

from evals import inline_source, wait

BIG = 2**70
CHECK = {
    "type": "string_check",
    "name": "check",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
}


def _nested(depth):
    return b'{"item":{"want":"x","deep":' + b"[" * depth + b"]" * depth + b'},"sample":"x"}'


def _line(item, sample="x"):
    return json.dumps({"item": item, "sample": sample}, ensure_ascii=False).encode()


def _graded(client, criterion, source):
    config = {"type": "custom", "item_schema": {"type": "object"}}
    eval_ = client.evals.create(data_source_config=config, testing_criteria=[criterion])
    run = wait(client, client.evals.runs.create(eval_.id, data_source=source))
    items = client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=100)
    return run, list(items)


def _as_sent(client, run):
    """The data source in the JSON itself: the SDK's types know fewer shapes of samples."""
    return client.get(f"/evals/{run.eval_id}/runs/{run.id}", cast_to=object)["data_source"]


def _grade_file(client, content, criterion=CHECK):
    file = client.files.create(file=("rows.jsonl", content), purpose="evals")
    return _graded(client, criterion, {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})


@pytest.mark.parametrize(
    "content",
    [
        b"\n".join([_line({"want": "x"}), _line({"want": "y"})]),
        b"\n".join([_line({"want": "x"}), _line({"want": "y"}), b""]),
        b"\xef\xbb\xbf" + b"\n".join([_line({"want": "x"}), _line({"want": "y"})]),
        b"\r\n".join([_line({"want": "x"}), _line({"want": "y"}), b""]),
        b"\n\n \t\r\n" + _line({"want": "x"}) + b"\n\n\n" + _line({"want": "y"}) + b"\n \n",
        b"\n".join([b'{"want": "x", "sample": "x"}', b'  {"want": "y", "sample": {"output_text": "x"}}  ']),
        b"\n".join([b'{"item": "text", "want": "x", "sample": "x"}', _line({"want": "y"})]),
    ],
    ids=["bare", "ended", "bom", "crlf", "blank lines", "flat", "an item that is no object"],
)
def test_two_rows_are_two_rows_however_they_are_written(client, content):
    run, items = _grade_file(client, content)
    assert [(item.datasource_item_id, item.status) for item in items] == [(0, "pass"), (1, "fail")]
    assert (run.result_counts.total, run.result_counts.passed, run.result_counts.failed) == (2, 1, 1)
    assert [item.datasource_item["want"] for item in items] == ["x", "y"]


BAD_LINES = [
    # line, what its message says
    (b'{"item": {"want": NaN}, "sample": "x"}', "not valid JSON"),
    (b'{"item": {"want": -Infinity}, "sample": "x"}', "not valid JSON"),
    (b'{"item": {"want": 1e999}, "sample": "x"}', "not valid JSON"),
    (b'{"item": {"want": "\xff\xfe"}, "sample": "x"}', "not valid JSON"),
    (b'{"item": {"want": "x"', "not valid JSON"),
    (b'{"item": {"want": "\\ud800"}, "sample": "x"}', "not valid JSON"),
    (b'{"item": {"want": "\\ud800", "big": 123456789012345678901234}, "sample": "x"}', "not valid JSON"),
    (b"[1, 2]", "must be a JSON object"),
    (b'"text"', "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (_nested(200), "nested more than"),
    (_nested(100_000), "JSON"),
    (b'{"item": {"want": "x"}, "sample": [1]}', "'sample'"),
]


def test_a_row_that_cannot_be_read_is_an_errored_item_that_names_its_line_and_the_others_are_graded(client):
    lines = [_line({"want": "x"}), *(line for line, _ in BAD_LINES), _line({"want": "x"})]
    run, items = _grade_file(client, b"\n".join(lines))
    assert run.status == "completed"
    assert (run.result_counts.passed, run.result_counts.errored) == (2, len(BAD_LINES))
    assert [item.datasource_item_id for item in items] == list(range(len(lines)))
    for item, (_, reason) in zip(items[1:-1], BAD_LINES, strict=True):
        assert item.status == "error"
        assert item.results == []
        assert f"Line {item.datasource_item_id + 1}" in item.sample.error.message
        assert reason in item.sample.error.message


def test_numbers_and_texts_come_back_unchanged(client):
    item = {
        "want": "x",
        "big": BIG,
        "negative": -BIG,
        "largest": 2**64,
        "float": 1.0,
        "tiny": 5e-324,
        "zero": -0.0,
        "text": 'Zoë \u2028 \U0001f9ea \x00 \\n " </script>',
        "": None,
    }
    flat = json.dumps({**item, "sample": "x"}).encode()
    _, from_file = _grade_file(client, b"\n".join([_line(item), flat]))
    source = inline_source([{"item": item, "sample": "x"}, {**item, "sample": "x"}])
    run, inline = _graded(client, CHECK, source)
    assert _as_sent(client, run) == source
    for graded in (*from_file, *inline):
        assert graded.status == "pass"
        assert json.dumps(graded.datasource_item) == json.dumps(item)


def test_a_row_of_a_megabyte_is_a_row(client):
    long = "ß" * 1_000_000
    run, [item] = _grade_file(client, _line({"want": long}, {"output_text": long}))
    assert run.result_counts.passed == 1
    assert item.datasource_item["want"] == item.sample.output[0].content == long


CHAT = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "length"}]}
RESPONSE = {
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
    ],
    "usage": {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1},
    },
}
SAMPLES = [
    ({**CHAT, "model": "m", "usage": None}, "m", "length"),
    ({**CHAT, "model": "m", "system_fingerprint": None, "service_tier": "x"}, "m", "length"),
    (CHAT, "", "length"),
    ({"output_text": "x"}, "", ""),
    ({"output_text": "x", "model": "m", "finish_reason": "stop"}, "m", "stop"),
    (RESPONSE, "m", "stop"),
    ("x", "", ""),
]


@pytest.mark.parametrize("how", ["file", "inline"])
def test_a_recorded_sample_is_read_in_every_shape_and_shown_in_one(client, how):
    rows = [{"item": {"want": "x"}, "sample": sample} for sample, _, _ in SAMPLES]
    if how == "file":
        _, items = _grade_file(client, b"\n".join(json.dumps(row).encode() for row in rows))
    else:
        _, items = _graded(client, CHECK, inline_source(rows))
    for item, (_, model, finish_reason) in zip(items, SAMPLES, strict=True):
        assert item.status == "pass"
        sample = item.sample.to_dict()
        assert sample["output"] == [{"role": "assistant", "content": "x"}]
        assert (sample["model"], sample["finish_reason"]) == (model, finish_reason)
        assert set(sample) >= {
            *("input", "output", "finish_reason", "model", "usage", "error", "temperature", "top_p", "seed"),
            *("max_completion_tokens", "max_completions_tokens"),
        }
    assert items[5].sample.usage.to_dict() == {
        "total_tokens": 5,
        "completion_tokens": 2,
        "prompt_tokens": 3,
        "cached_tokens": 1,
    }


def test_a_row_without_a_sample_has_an_empty_one(client):
    item_check = {**CHECK, "input": "{{item.want}}"}
    _, [item] = _grade_file(client, b'{"item": {"want": "x"}}', item_check)
    assert (item.status, item.sample.output, item.sample.error) == ("pass", [], None)


def test_any_key_of_a_sample_can_be_named(client):
    check = {
        **CHECK,
        "input": "{{sample.mine.deep[1]}} {{sample.choices[0].finish_reason}}",
        "reference": "2 length",
    }
    _, [item] = _grade_file(client, _line({}, {**CHAT, "mine": {"deep": [1, 2]}}), check)
    assert item.status == "pass"
