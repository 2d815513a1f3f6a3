import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.cli import rows
from regrade.core.errors import InvalidError

ROWS = '{"n": 0}\n\n  \n{"n": 1}\r\n{"n": 2}'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROWS.encode())
    return path


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (1, 1), (3, 3), (9, 3)])
def test_rows_are_counted_cut_and_checked_alike(file, limit, count):
    assert rows.count(file, limit) == rows.check(file, limit) == count
    with rows.first(file, limit) as part:
        parsed = [json.loads(line) for line in part.read().splitlines() if line.strip()]
    assert parsed == [{"n": n} for n in range(count)]


def test_without_a_limit_the_file_itself_is_sent(file):
    with rows.first(file, None) as whole:
        assert whole.read() == ROWS.encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"n": NaN}', "Line 2 of .*: This is not valid JSON"), ("[1]", "Line 2 of .* is not a JSON object")],
)
def test_the_first_bad_line_is_named(file, line, message):
    file.write_text(f'{{"n": 0}}\n{line}\n')
    with pytest.raises(InvalidError, match=message):
        rows.check(file)
    assert rows.check(file, 1) == 1


def test_a_byte_order_mark_is_no_mistake(file):
    file.write_bytes(b"\xef\xbb\xbf" + ROWS.encode())
    assert rows.check(file) == 3


@given(st.lists(st.sampled_from(["{}", "", " ", "\t"])), st.integers(1, 5))
def test_the_count_is_the_number_of_lines_that_are_not_blank(tmp_path_factory, lines, limit):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("\n".join(lines))
    assert rows.count(path) == lines.count("{}")
    assert rows.count(path, limit) == min(limit, lines.count("{}"))
