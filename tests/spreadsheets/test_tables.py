"""The table with the wanted titles, in a file of any kind."""

import pytest
from sample_files import workbook

from spreadsheets.tables import TOP_ROWS, find_table
from workbooks import UnreadableFileError

HEADER = ["Order", "IMEI"]
LINES = [["Export of today"], HEADER, ["1", "353370080000001"], ["2", "353370080000019"]]


def cells_of(data: bytes) -> list[list[object]] | None:
    found = find_table(data, lambda cells: {"imei": 1} if list(cells) == HEADER else {})
    return None if found is None else [list(row[1]) for row in found]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_header_of_a_text_is_found_below_other_lines(delimiter: str, encoding: str) -> None:
    text = "\r\n".join(delimiter.join(line) for line in LINES).encode(encoding)
    assert cells_of(text) == LINES


def test_the_sheet_is_the_one_with_the_header() -> None:
    book = workbook({"Notes": [["IMEI"], ["x"]], "Orders": LINES})
    assert cells_of(book) == LINES


def test_without_the_header_there_is_no_table_and_no_file_is_no_table() -> None:
    assert cells_of(b"IMEI,Order\r\n353370080000001,1") is None
    with pytest.raises(UnreadableFileError):
        cells_of(b"%PDF-1.7")


def test_a_quote_that_is_never_closed_above_the_header_hides_no_row() -> None:
    """It would make one cell of all rows, which is longer than a cell may be."""
    lines = [['"Export of today'], HEADER, *([str(number), "353370080000001"] for number in range(9000))]
    assert cells_of("\n".join(",".join(line) for line in lines).encode()) == lines


def test_a_header_that_is_too_far_down_and_a_workbook_without_one_are_no_table() -> None:
    above = [["x"]] * (TOP_ROWS - 1)
    assert cells_of(workbook({"Orders": [*above, *LINES[1:]]})) == [*above, *LINES[1:]]
    assert cells_of(workbook({"Orders": [*above, ["x"], *LINES[1:]]})) is None
    assert cells_of(b"x\n" * TOP_ROWS + b"Order,IMEI\n") is None


def test_a_hidden_sheet_counts_where_no_visible_one_has_the_header() -> None:
    more = [HEADER, ["3", "353370080000027"]]
    assert cells_of(workbook({"Old": LINES, "New": more}, hidden_sheets=["Old"])) == more
    assert cells_of(workbook({"Old": LINES, "New": [["x"]]}, hidden_sheets=["Old"])) == LINES
