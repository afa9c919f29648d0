"""Delimited texts come back byte for byte, with fields behind their last column."""

import csv
import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadsheets import TextForm, append_fields
from workbooks import AddedColumn, AddedRow

COLUMNS = (AddedColumn("Verdict", 10, "tone"), AddedColumn("IMEI 2", 17, "digits"), AddedColumn("Note", 60))


def appended(text: str, codec: str = "utf-8", mark: bytes = b"", **form: object) -> bytes:
    given = {"encoding": "utf-8", "delimiter": ",", "quoted": True, "header_row": 1} | form
    rows = [
        AddedRow(2, ("Pass", "0353370080000000", "é; “x”"), "pass"),
        AddedRow(3, ("Fail", "", '=1+1 "now", now'), "fail"),
        AddedRow(5, (datetime(2026, 11, 3, 4, 5), "", "-"), ""),
    ]
    return b"".join(append_fields(mark + text.encode(codec), TextForm(**given), COLUMNS, rows))  # type: ignore[arg-type]


def test_a_western_semicolon_text_keeps_its_bytes_and_its_line_ends() -> None:
    text = 'Händler;IMEI\r\n"M""üller;\r\nSöhne";1\r\nx;2;3\r\n\r\nlast;5'
    expected = (
        "Händler;IMEI;;Verdict;IMEI 2;Note\r\n"
        '"M""üller;\r\nSöhne";1;;Pass;0353370080000000;"é; “x”"\r\n'
        'x;2;3;Fail;;"\'=1+1 ""now"", now"\r\n'
        "\r\n"
        "last;5;;2026-11-03 04:05;;'-"
    )
    assert appended(text, "cp1252", encoding="cp1252", delimiter=";") == expected.encode("cp1252")


@pytest.mark.parametrize(
    ("codec", "mark", "encoding"),
    [
        ("utf-8", b"\xef\xbb\xbf", "utf-8-sig"),
        ("utf-16-le", b"\xff\xfe", "utf-16"),
        ("utf-16-be", b"\xfe\xff", "utf-16"),
        ("utf-16-le", b"", "utf-16-le"),
    ],
)
def test_marks_and_wide_encodings_come_back(codec: str, mark: bytes, encoding: str) -> None:
    expected = 'A,B,Verdict,IMEI 2,Note\n1,"2\r",Pass,0353370080000000,é; “x”\n'
    assert appended('A,B\n1,"2\r"\n', codec, mark, encoding=encoding) == mark + expected.encode(codec)


def test_bytes_that_no_encoding_knows_come_back() -> None:
    given = b"A,B\n\x81\x9d,2\n"
    rows = [AddedRow(2, ("Pass", "", ""), "")]
    out = b"".join(append_fields(given, TextForm("cp1252", ",", True, 1), COLUMNS, rows))
    assert out == b"A,B,Verdict,IMEI 2,Note\n\x81\x9d,2,Pass,,\n"


def test_added_fields_are_quoted_where_every_field_is() -> None:
    assert appended('"A"\t"B"\n"1"\t"2"\n', delimiter="\t") == (
        '"A"\t"B"\t"Verdict"\t"IMEI 2"\t"Note"\n"1"\t"2"\t"Pass"\t"0353370080000000"\t"é; “x”"\n'.encode()
    )


def test_quotes_that_are_plain_signs_hide_no_delimiter() -> None:
    out = appended('A,B\n5" screen,2\n"x,3\n', quoted=False)
    assert out.decode().splitlines()[1:] == ['5" screen,2,Pass,0353370080000000,é; “x”', '"x,3,Fail,,\'=1+1 "now"  now']


def test_columns_of_an_earlier_download_are_replaced() -> None:
    once = appended('A,"B,C"\n1,"2,\n2"\nx,y\n')
    assert appended(once.decode()) == once
    assert once.count(b"Verdict") == 1


@given(st.binary(max_size=200), st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-16-be", "utf-8-sig", "gb18030"]))
def test_without_rows_every_byte_comes_back(data: bytes, encoding: str) -> None:
    for mark in (b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        form = TextForm(encoding, ";", True, 0)
        written = b"".join(append_fields(mark + data, form, COLUMNS, ()))
        readable = (mark + data).decode(encoding, "replace")
        assert written == mark + data or "\ufffd" in readable


@given(st.text('a1;"\r\n', max_size=60))
def test_fields_are_added_to_their_rows_and_nothing_else_is_read_differently(text: str) -> None:
    before = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
    rows = [AddedRow(number, ("Pass", "1", 'x;"\n'), "") for number in range(1, len(before) + 1)]
    out = b"".join(append_fields(text.encode(), TextForm("utf-8", ";", True, 0), COLUMNS, rows)).decode()
    after = list(csv.reader(io.StringIO(out, newline=""), delimiter=";"))
    width = max(map(len, before), default=0)
    expected = [[*row, *[""] * (width - len(row)), "Pass", "1", 'x;"\n'] if row else [] for row in before]
    assert [[cell.rstrip() for cell in row] for row in after] == [[cell.rstrip() for cell in row] for row in expected]


def test_a_text_without_titles_gets_none() -> None:
    assert appended("a,1\nb,2\n", header_row=0) == "a,1\nb,2,Pass,0353370080000000,é; “x”\n".encode()
