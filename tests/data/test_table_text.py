"""The text of lists: every encoding and line end that a spreadsheet writes, and faults named by row."""

from pathlib import Path

import pytest

from lowshot.data.table_text import LONGEST_FIELD, read_rows
from lowshot.errors import RequestError

ROWS = [["voice", "face"], ["é.wav", "b, c.jpg"], ['say "a".wav', "d.jpg"]]
TEXT = 'voice,face\né.wav,"b, c.jpg"\n"say ""a"".wav",d.jpg\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-with-mark", "utf-16-be-with-mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_change_nothing(tmp_path: Path, encoding: str, end: str) -> None:
    text = TEXT.replace("\n", end)
    marked = encoding.endswith("-with-mark")
    data = ("\ufeff" * marked + text).encode(encoding.removesuffix("-with-mark"))
    (tmp_path / "list.csv").write_bytes(data)
    rows = read_rows(tmp_path / "list.csv")
    assert rows.fields == ROWS
    assert rows.line.tolist() == [1, 2, 3]
    assert rows.separator == ","


@pytest.mark.parametrize(
    ("text", "separator", "fields", "lines"),
    [
        ("a b \r\n\r\n c  d\r\n", " ", [["a", "b"], ["c", "d"]], [1, 3]),
        ("VoxCeleb1 ID\twav\nid1\ta b\n", "\t", [["VoxCeleb1 ID", "wav"], ["id1", "a b"]], [1, 2]),
        ('a,b\n"1\n2",3\n\n4,5', ",", [["a", "b"], ["1\n2", "3"], ["4", "5"]], [1, 2, 5]),
        ("\n\na,b\n", ",", [["a", "b"]], [3]),
    ],
)
def test_rows_know_their_lines(
    tmp_path: Path, text: str, separator: str, fields: list[list[str]], lines: list[int]
) -> None:
    (tmp_path / "list").write_bytes(text.encode())
    rows = read_rows(tmp_path / "list")
    assert (rows.separator, rows.fields, rows.line.tolist()) == (separator, fields, lines)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n1,2,3\n", r"row 3: 3 fields, but the first row has 2"),
        (b"a,b\n1,2\n1\n", r"row 3: 1 fields, but the first row has 2"),
        (b"a b\n\nc\n", r"row 3: 1 fields, but the first row has 2"),
        (b'a,b\n1,2\n"1,2\n3,4\n', r"row 3: a quote is never closed"),
        (b'a,b\n1,2\n"1"x,2\n', r"row 3: not CSV"),
        (b"a,b\n1," + b"x" * (LONGEST_FIELD + 1) + b"\n", rf"row 2: a field of more than {LONGEST_FIELD} characters"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", r"row 2: a field of more than 131072 characters"),
        (b'a,b\n1,"' + b"x,y\n" * 100_000, r"row 2: a field of more than"),
        (b"a " + b"x" * (LONGEST_FIELD + 1) + b"\n", r"row 1: a field of more than"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"row 1: holds a zero byte"),
        (b"a,b\n1,2\n\xff\xfe,3\n", r"row 3: not text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16") + b"x", r"row 3: not text in UTF-16"),
        (b"RIFF\0\0\0\0WAVE", r"row 1: holds a zero byte"),
        (b"", r"no trials"),
        (b"\xef\xbb\xbf\r\n \n", r"no trials"),
    ],
)
def test_what_is_no_table_is_refused_by_its_row(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(RequestError, match=rf"list\.csv.*{message}") as caught:
        read_rows(tmp_path / "list.csv")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nowhere\.csv: no such trial list"):
        read_rows(tmp_path / "nowhere.csv")
