"""The child that appends columns is followed to its end: whatever it does, the parent gets a file or a sentence."""

import tempfile

import openpyxl
import pytest
from added_columns import COLUMNS, add
from golden_sheets import saved, two_imei_columns

from workbooks import Addition, add_columns


def test_an_exception_of_the_progress_ends_the_child() -> None:
    """An exception of the progress ends the work at once, and the next workbook gets its turn."""

    def stop(rows: int) -> None:
        raise InterruptedError

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Phones")
    for number in range(3000):
        sheet.append([number])
    addition = Addition("Phones", 0, COLUMNS, (), {})
    with tempfile.TemporaryFile() as out, pytest.raises(InterruptedError):
        add_columns(saved(book), addition, out, stop)
    add(two_imei_columns(), "Phones", 1, 2)
