"""Rows of exports of orders, the provider's and ours: titles, delimiters and texts are read as they were written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_rows import FIRST
from imported_rows import TITLES, line, rows_of

from spreadsheets.order_rows import plain, read_orders, says_the_same
from spreadsheets.writing import guarded
from workbooks.kinds import UnreadableFileError


def test_titles_may_stand_below_others_and_a_twelfth_column_holds_notes() -> None:
    top = f"Advanced Export,,\r\n,,\r\n{TITLES},NOTES"
    [row] = rows_of(line() + ",for Bob", titles=top)
    assert row.number == 4
    assert row.values["notes"] == "for Bob"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_found(delimiter: str) -> None:
    text = f"{TITLES}\n{line()}".replace(",", delimiter)
    assert [row.values["imei"] for row in read_orders(text.encode())] == [FIRST]


@pytest.mark.parametrize("data", [b"IMEI\n353370080089458\n", b"a,b\n1,2\n", b"%PDF-1.7", b""])
def test_a_file_that_is_no_export_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        list(read_orders(data))


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_survives_the_guard_against_formulas(text: str) -> None:
    assert says_the_same(text, plain(guarded(text.replace("\0", ""))))


def test_a_row_whose_finding_is_a_long_text_is_not_understood() -> None:
    """An index of a database server could not take it, and then no row of the file would be imported."""
    text = f"IMEI NO.,STATUS,SERVICE,CARRIER\n{FIRST},Completed,1,{'x' * 401}\n{FIRST},Completed,1,T-Mobile\n"
    long, short = read_orders(text.encode())
    assert long.failure == f"'{'x' * 40}' … is too long for the column carrier."
    assert short.values["carrier"] == "T-Mobile"
