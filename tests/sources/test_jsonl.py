"""Rows of a file: the chunks hold every row once, whatever lies between rows, and say where each row is."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.sources import jsonl

LIMIT = 30
LINES = st.lists(
    st.sampled_from([b'{"a": 1}', b"", b"  \t", b"x" * (LIMIT - 1), b"z" * (LIMIT + 1), b"z" * 100]), max_size=60
)


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    """Chunks of a few rows, so that small files have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_SEGMENT_ROWS", 2)
        patch.setattr(jsonl, "_SEGMENT_LINES", 5)
        patch.setattr(jsonl, "_MIN_CHUNK_ROWS", 4)
        yield


def chunks_of(text: bytes):
    return jsonl.cut(io.BytesIO(text), run_number=1, max_row_bytes=LIMIT)


@given(lines=LINES, ending=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans(), mark=st.booleans())
def test_the_chunks_hold_every_row_once_with_its_line(lines, ending, last, mark):
    text = ending.join(lines) + (ending if last else b"")
    expected = [
        (number, None if len(line) > LIMIT else line) for number, line in enumerate(lines, 1) if line.strip()
    ]
    source = io.BytesIO(b"\xef\xbb\xbf" * mark + text)
    chunks = chunks_of(source.getvalue())
    found = [line for chunk in chunks for line in jsonl.read(source, chunk, max_row_bytes=LIMIT)]
    assert [line.row for line in found] == list(range(len(expected)))
    assert [(line.number, line.text and line.text.strip()) for line in found] == expected
    assert [chunk.k for chunk in chunks] == list(range(len(chunks)))
    assert sum(chunk.rows for chunk in chunks) == len(expected)


def test_a_long_stretch_of_blank_lines_is_in_no_chunk():
    first, second = chunks_of(b"{}\n" + b"\n" * 1000 + b"{}\n")
    assert second.start - first.stop > 980
    assert (first.first_line, second.first_line) == (1, 1001)


def test_a_file_that_nobody_wants_any_more_is_not_read_to_its_end():
    answers = iter([True, True, False])
    source = io.BytesIO(b"{}\n" * 1000)
    chunks = jsonl.cut(source, run_number=1, max_row_bytes=LIMIT, wanted=lambda: next(answers))
    assert chunks is None
    assert source.tell() < 100


def test_a_chunk_in_halves_has_the_same_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 0}\n\n{"n": 1}\n   \n{"n": 2}\n{"n": 3}')
    with path.open("rb") as source:
        [chunk] = jsonl.cut(source, run_number=1, max_row_bytes=100)
        whole = list(jsonl.read(source, chunk, max_row_bytes=100))
        for row in (1, 2, 3):
            parts = jsonl.halves(source, chunk, row, max_row_bytes=100)
            assert [part.rows for part in parts] == [row, 4 - row]
            assert [line for part in parts for line in jsonl.read(source, part, max_row_bytes=100)] == whole
