"""Reading a dump back says whether it is whole, and names what is not."""

import json
import random
import shutil

import pytest

from dump.hosted import HostedApi, account, error
from dump.saving import held, save
from regrade.core.errors import ConfigurationError
from regrade.dump.check import check, sentences
from regrade.dump.plan import DamagedDumpError


@pytest.fixture(scope="module")
def api():
    with HostedApi(account(evals=1)) as running:
        yield running


@pytest.fixture(scope="module")
def saved(api, tmp_path_factory):
    out = tmp_path_factory.mktemp("saved") / "dump"
    save(api, out)
    return out


@pytest.fixture
def dump(saved, tmp_path):
    """A whole dump that a test may harm."""
    return shutil.copytree(saved, tmp_path / "dump")


def test_a_folder_without_a_dump_is_said_to_have_none(tmp_path):
    with pytest.raises(ConfigurationError, match="There is no dump in"):
        check(tmp_path)


def test_no_changed_byte_of_the_data_goes_unnoticed(dump):
    before = held(dump)
    chance = random.Random(7)
    for path in sorted(dump.glob("*.jsonl.gz")):
        whole = path.read_bytes()
        for _ in range(6):
            at = chance.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
            # A gzip header has bits that mean nothing; where one of them flips, the content is what it was.
            if check(dump).whole:
                assert held(dump) == before
        path.write_bytes(whole)


def test_a_line_that_is_taken_out_is_noticed(dump):
    path = dump / "output_items.jsonl.gz"
    cursor = json.loads((dump / "cursor.json").read_bytes())
    second = path.read_bytes().index(b"\x1f\x8b\x08", 10)
    path.write_bytes(path.read_bytes()[second:])
    cursor["lengths"][path.name] -= second
    (dump / "cursor.json").write_text(json.dumps(cursor))
    report = check(dump)
    assert not report.whole
    assert "does not follow on the one before" in report.problems[0]


def test_a_data_file_that_lost_its_end_is_damage_and_is_not_gone_on_with(api, dump):
    path = dump / "output_items.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-40])
    assert "output_items" in check(dump).problems[0]
    with pytest.raises(DamagedDumpError, match="no call can go on"):
        save(api, dump)


def test_a_cursor_that_is_gone_is_damage_and_costs_no_data(api, dump):
    before = held(dump)
    (dump / "cursor.json").unlink()
    assert "cursor.json" in check(dump).problems[0]
    with pytest.raises(DamagedDumpError):
        save(api, dump)
    assert held(dump) == before


@pytest.mark.parametrize("content", [None, b"other bytes"])
def test_a_file_that_is_gone_or_changed_is_named(dump, content):
    path = dump / "files" / "file-train"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    problems = check(dump).problems
    assert len(problems) == 1
    assert "file-train" in problems[0]


def test_counts_that_the_data_does_not_bear_out_are_named(dump):
    manifest = json.loads((dump / "manifest.json").read_bytes())
    manifest["counts"]["evals"]["saved"] += 1
    (dump / "manifest.json").write_text(json.dumps(manifest))
    assert check(dump).problems == ["The manifest counts 3 saved evals, the data has 2."]


def test_an_object_that_a_list_gave_twice_is_named(tmp_path):
    made = account(evals=1)
    events = made.lists["/fine_tuning/jobs/ftjob-0/events"]
    events[110] = dict(events[5])
    with HostedApi(made) as api:
        save(api, tmp_path / "dump")
    assert check(tmp_path / "dump").problems == [
        "ftevent-ftjob-0-5 stands twice in /fine_tuning/jobs/ftjob-0/events."
    ]


def test_what_was_skipped_is_said_to_be_missing_with_its_reason(tmp_path):
    with HostedApi(account(evals=1)) as api:
        api.fault = lambda request, number: error(410, "Gone.") if request.path.endswith("/events") else None
        save(api, tmp_path / "dump")
    report = check(tmp_path / "dump")
    assert not report.whole
    assert not report.problems
    assert "/fine_tuning/jobs/ftjob-0/events: 410 Gone." in sentences(report)
