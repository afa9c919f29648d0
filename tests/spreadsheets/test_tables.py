"""The table with the wanted titles, in a file of any kind."""

import pytest
from sample_files import workbook

from spreadsheets.tables import find_table
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
