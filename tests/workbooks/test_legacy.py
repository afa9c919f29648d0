"""Old workbooks, XLS and XLSB, are read as others are."""

import pytest
from old_workbooks import ods, xlsb
from read_tables import FIVE, STOCK, TABLE

from spreadsheets.reading import read_file
from workbooks.kinds import FileKind


def test_an_old_excel_workbook_is_read_with_numbers_text_and_hidden_sheet() -> None:
    intake = read_file(STOCK)
    assert intake.kind is FileKind.XLS
    assert [ready.row for ready in intake.ready] == [3, 4, 5, 6, 7]
    assert all(ready.imei.startswith("3533700") for ready in intake.ready)
    assert (intake.chosen.sheet, intake.chosen.column, intake.chosen.header_row) == ("Stock", 1, 2)
    assert [(sheet.name, sheet.hidden) for sheet in intake.sheets] == [("Stock", False), ("Old", True)]


@pytest.mark.parametrize(("data", "kind"), [(ods(TABLE), FileKind.ODS), (xlsb(TABLE), FileKind.XLSB)])
def test_other_old_workbooks_are_read(data: bytes, kind: FileKind) -> None:
    intake = read_file(data)
    assert intake.kind is kind
    assert [ready.imei for ready in intake.ready] == FIVE
    assert [ready.row for ready in intake.ready] == [3, 4, 5, 6, 7]
