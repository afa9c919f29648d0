"""Columns are appended to a workbook: dates, earlier downloads, and what cannot come back."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from added_columns import MOMENT, add, opened
from golden_sheets import saved, stock_list, two_imei_columns
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from sample_files import repacked

from workbooks import UnreadableFileError

#: Reading what openpyxl does not know is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported")


def test_dates_are_right_in_the_calendar_that_begins_in_1904() -> None:
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    book.worksheets[0].title = "Old"
    after, _ = add(saved(book), "Old", 1, 2)
    found: Any = opened(after)["Old"]["B2"].value
    assert abs((found - MOMENT).total_seconds()) < 0.01


def test_an_earlier_download_is_filled_in_again() -> None:
    """Its columns and its sheet of notices are replaced, also where somebody added a column behind them."""
    once, _ = add(two_imei_columns(), "Phones", 1, 2, 3, note="2 of 2 pending.")
    book = opened(once)
    book["Phones"]["I1"] = "Paid"
    twice, _ = add(saved(book), "Phones", 1, 4, note="1 of 2 pending.")
    sheet = opened(twice)["Phones"]
    assert [cell.value for cell in sheet[1]][4:] == ["Verdict", "Checked on", "Order id", "Note", "Paid"]
    assert [sheet.cell(row, 5).value for row in (2, 3, 4)] == [None, None, "Pass"]
    assert opened(twice).sheetnames == ["Phones", "My sheet notes"]
    assert opened(twice)["My sheet notes"]["A1"].value == "1 of 2 pending."


def linked() -> bytes:
    """A workbook whose formulas and names read another workbook."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Stock")
        sheet.write_row(0, 0, ["IMEI", "Price", "Shop"])
        sheet.write_formula("B2", "=[1]Prices!$A$1*2", None, 12.5)
        sheet.write_formula("C2", "='[1]Shop list'!A1&\"x\"", None, "Dubai")
        sheet.write_formula("D2", "=B2*2", None, 25)
        book.define_name("Rate", "=[1]Prices!$A$1")
    return repacked(file.getvalue(), {"xl/externalLinks/externalLink1.xml": b"<externalLink/>"})


def test_macros_and_links_are_left_out_with_a_sentence_and_their_last_values_stay() -> None:
    after, sentences = add(repacked(linked(), {"xl/vbaProject.bin": b"macro"}), "Stock", 1, 2, note="Ours.")
    assert sentences == (
        "The workbook's macros are left out.",
        "Links to other workbooks are left out. 2 formulas that read them have their last values instead.",
    )
    assert [cell.value for cell in opened(after)["Stock"][2]][1:4] == [12.5, "Dubai", "=B2*2"]
    assert [row[0].value for row in opened(after)["My sheet notes"]] == ["Ours.", *sentences]
    assert not dict(opened(after).defined_names)
    assert not [name for name in zipfile.ZipFile(io.BytesIO(after)).namelist() if "external" in name or "vba" in name]


def test_what_openpyxl_cannot_keep_is_named() -> None:
    """A mark in a drawing counts wherever it is, also on the border of two blocks that are read."""
    drawing = b"<a>" + b"x" * (256 * 1024 - 7) + b"<x:pic>"
    names = ("ctrlProps/ctrlProp1.xml", "charts/chart1.xml", "threadedComments/threadedComment1.xml")
    more = {f"xl/{name}": b"<a/>" for name in names} | {"xl/drawings/drawing9.xml": drawing}
    _, sentences = add(repacked(two_imei_columns(), more), "Phones", 1, 2)
    assert sentences == (
        "Pictures and shapes are left out.",
        "Buttons and embedded objects are left out.",
        "Charts are kept, but may look different.",
        "Threads of comments come back as notes.",
    )


#: XML whose entities would unfold to 10 GB.
LAUGHS = b"<!DOCTYPE a [<!ENTITY a0 'aaaaaaaaaa'>%s]><a>&a9;</a>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
)


def bomb() -> bytes:
    """A workbook whose archive promises 500 MB of XML."""
    file = io.BytesIO(two_imei_columns())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("xl/comments9.xml", b"<a/>")
        archive.infolist()[-1].file_size = 500_000_000
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            lambda: repacked(two_imei_columns(), {"xl/styles.xml": b"<styleSheet><fonts>"}),
            "cannot change this workbook",
        ),
        (lambda: b"PK\x03\x04 broken", "damaged"),
        (bomb, "larger than it may be"),
        (lambda: repacked(stock_list(), {"xl/comments1.xml": LAUGHS}), "cannot change this workbook"),
    ],
)
def test_a_workbook_that_cannot_be_changed_gets_a_sentence(data: Callable[[], bytes], sentence: str) -> None:
    with pytest.raises(UnreadableFileError, match=sentence):
        add(data(), "Phones", 1, 2)
