"""What the marks of an XLS workbook say: formulas without a value, and hidden rows."""

import struct

import pytest
from read_tables import FIVE, FORMULA_XLS, bent

from spreadsheets import Choice
from spreadsheets.cells import NO_VALUE
from spreadsheets.reading import read_file
from workbooks.biff import read_marks


@pytest.mark.parametrize("result", [b"\3\0\0\0\0\0\xff\xff", bytes(8), b"\0\0\0\0\0\0\xff\xff"])
def test_a_formula_of_an_xls_sheet_without_a_value_is_reported_by_row(result: bytes) -> None:
    data = FORMULA_XLS.read_bytes()
    place = data.index(b"\3\0\0\0\0\0\xff\xff")
    intake = read_file(data[:place] + result + data[place + 8 :])
    assert len(intake.ready) == 7
    assert [(bad.row, bad.reason) for bad in intake.rejected] == [(9, NO_VALUE)]


def test_a_formula_of_an_xls_sheet_with_a_value_is_that_value() -> None:
    data = FORMULA_XLS.read_bytes()
    place = data.index(b"\3\0\0\0\0\0\xff\xff")
    intake = read_file(data[:place] + struct.pack("<d", float(FIVE[0])) + data[place + 8 :])
    assert not intake.rejected
    assert (intake.ready[7].imei, intake.ready[7].row) == (FIVE[0], 9)


def test_a_hidden_row_of_an_xls_sheet_is_known() -> None:
    data = bytearray(FORMULA_XLS.read_bytes())
    place = data.index(b"\x08\x02\x10\0\3\0")  # the record of the fourth row
    data[place + 16] |= 0x20
    intake = read_file(bytes(data))
    assert any("Hidden or filtered rows also hold 1 IMEI" in warning for warning in intake.warnings)
    assert [bad.row for bad in read_file(bytes(data), Choice(hidden_rows=False)).rejected] == [4, 9]


@pytest.mark.parametrize("seed", range(20))
def test_the_search_for_marks_survives_any_bytes(seed: int) -> None:
    read_marks(bent(FORMULA_XLS.read_bytes(), seed))
    read_marks(FORMULA_XLS.read_bytes()[: seed * 200])
