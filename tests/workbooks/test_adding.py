"""Columns are appended to a workbook in a child process: everything else comes back, and nothing breaks the parent."""

import io
import tempfile
import zipfile
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import fromstring

import openpyxl
import pytest
import xlsxwriter
from golden_sheets import differences, invoice, saved, stock_list, two_imei_columns
from openpyxl.utils import column_index_from_string
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from workbooks import AddedColumn, AddedRow, Addition, UnreadableFileError, add_columns

#: Reading what openpyxl does not know is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported")

COLUMNS = (
    AddedColumn("Verdict", 10, "tone"),
    AddedColumn("Checked on", 17, "moment"),
    AddedColumn("Order id", 14, "digits"),
    AddedColumn("Note", 60),
)
MOMENT = datetime(2026, 11, 3, 4, 5, 6)
VALUES = ("Pass", MOMENT, "0015", "=1+1")


def add(data: bytes, sheet: str, header_row: int, *rows: int, note: str = "") -> tuple[bytes, tuple[str, ...]]:
    """Add a result to these rows; return the workbook, and the sentences about what it lacks."""
    given = [AddedRow(row, VALUES, "pass") for row in rows]
    tones = {"pass": ("E1F3E9", "14683F")}
    addition = Addition(sheet, header_row, COLUMNS, given, tones, [note] if note else [])
    with tempfile.TemporaryFile() as out:
        sentences = add_columns(data, addition, out, lambda rows: None)
        out.seek(0)
        return out.read(), sentences


def opened(data: bytes, **more: Any) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(data), **more)


@pytest.mark.parametrize(
    ("make", "sheet", "header_row", "width"),
    [(stock_list, "Stock Nov", 4, 8), (two_imei_columns, "Phones", 1, 4), (invoice, "Lines", 5, 8)],
)
def test_a_workbook_comes_back_cell_for_cell_with_columns_behind_its_last(
    make: Callable[[], bytes], sheet: str, header_row: int, width: int
) -> None:
    before = make()
    after, sentences = add(before, sheet, header_row, header_row + 1, header_row + 3)
    assert differences(before, after, width) == []
    assert sentences == ()
    found: Any = opened(after)[sheet]
    titles, first, blank = (found[row][width : width + 5] for row in (header_row, header_row + 1, header_row + 2))
    assert [cell.value for cell in titles] == ["Verdict", "Checked on", "Order id", "Note"]
    assert [cell.value for cell in first[:1] + first[2:]] == ["Pass", "0015", "=1+1"]
    assert [cell.data_type for cell in first] == ["s", "d", "s", "s"]
    assert abs((first[1].value - MOMENT).total_seconds()) < 0.01
    assert (first[0].fill.fgColor.rgb, first[0].font.color.rgb) == ("FFE1F3E9", "FF14683F")
    assert [cell.value for cell in blank] == [None] * 4
    neighbour = next(cell for cell in reversed(found[header_row][:width]) if cell.value is not None)
    assert titles[0].style_id == neighbour.style_id


#: The order in which Excel takes the elements of a sheet (ECMA-376, part 1, 18.3.1.99); in another it is damaged.
ELEMENTS = (
    *("sheetPr", "dimension", "sheetViews", "sheetFormatPr", "cols", "sheetData", "sheetProtection", "autoFilter"),
    *("mergeCells", "conditionalFormatting", "dataValidations", "hyperlinks", "printOptions", "pageMargins"),
    *("pageSetup", "headerFooter", "rowBreaks", "colBreaks", "ignoredErrors", "drawing", "legacyDrawing", "tableParts"),
    "extLst",
)


@pytest.mark.parametrize(
    ("make", "sheet", "header_row"),
    [(stock_list, "Stock Nov", 4), (two_imei_columns, "Phones", 1), (invoice, "Lines", 5)],
)
def test_the_parts_of_a_sheet_are_in_the_order_of_excel(make: Callable[[], bytes], sheet: str, header_row: int) -> None:
    """Elements are in their order, cells and columns in theirs, and no two ranges of columns overlap."""
    after, _ = add(make(), sheet, header_row, header_row + 1, 40)
    place = opened(after).sheetnames.index(sheet) + 1
    root = fromstring(zipfile.ZipFile(io.BytesIO(after)).read(f"xl/worksheets/sheet{place}.xml"))
    names = [element.tag.rpartition("}")[2] for element in root]
    assert names == sorted(names, key=ELEMENTS.index)
    columns = [(int(each.get("min", "")), int(each.get("max", ""))) for each in root.iterfind("{*}cols/{*}col")]
    assert all(before[1] < after[0] for before, after in pairwise(columns))
    rows = [int(row.get("r", "")) for row in root.iterfind("{*}sheetData/{*}row")]
    assert rows == sorted(set(rows))
    for row in root.iterfind("{*}sheetData/{*}row"):
        places = [column_index_from_string(cell.get("r", "").rstrip("0123456789")) for cell in row]
        assert places == sorted(set(places))


DV_LIST = b"""<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"
 xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"><x14:dataValidations count="1"
 xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><x14:dataValidation type="list" xr:uid="{00}"
 xmlns:xr="http://schemas.microsoft.com/office/spreadsheetml/2014/revision"><x14:formula1><xm:f>Prices!$A$2:$A$9</xm:f>
</x14:formula1><xm:sqref>B5:B9</xm:sqref></x14:dataValidation></x14:dataValidations></ext>
<ext uri="{A8765BA9}"/></extLst>
</worksheet>"""


def test_lists_on_other_sheets_and_sparklines_stay_and_what_is_newer_is_named() -> None:
    with zipfile.ZipFile(io.BytesIO(stock_list())) as archive:
        part = archive.read("xl/worksheets/sheet1.xml").replace(b"</worksheet>", DV_LIST)
    after, sentences = add(rezipped(stock_list(), xl__worksheets__sheet1_dot_xml=part), "Stock Nov", 4, 5)
    kept = zipfile.ZipFile(io.BytesIO(after)).read("xl/worksheets/sheet1.xml")
    (validation,) = fromstring(kept).iterfind("{*}extLst/{*}ext/{*}dataValidations/{*}dataValidation")
    assert [each.text for each in validation.iter()][2:] == ["Prices!$A$2:$A$9", "B5:B9"]
    assert validation.attrib == {"type": "list"}
    assert sentences == ("Newer features of Excel are left out: unknown ones.",)
    cover = zipfile.ZipFile(io.BytesIO(add(invoice(), "Lines", 5, 6)[0])).read("xl/worksheets/sheet1.xml")
    assert b"Cover!A5:C5" in cover


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


def rezipped(data: bytes, **parts: bytes) -> bytes:
    """Return a workbook with parts added or replaced; "__" in a name stands for "/"."""
    out = io.BytesIO()
    named = {name.replace("__", "/").replace("_dot_", "."): content for name, content in parts.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as made:
        for name in archive.namelist():
            made.writestr(name, named.pop(name, archive.read(name)))
        for name, content in named.items():
            made.writestr(name, content)
    return out.getvalue()


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
    return rezipped(file.getvalue(), xl__externalLinks__externalLink1_dot_xml=b"<externalLink/>")


def test_macros_and_links_are_left_out_with_a_sentence_and_their_last_values_stay() -> None:
    after, sentences = add(rezipped(linked(), xl__vbaProject_dot_bin=b"macro"), "Stock", 1, 2, note="Ours.")
    assert sentences == (
        "The workbook's macros are left out.",
        "Links to other workbooks are left out. 2 formulas that read them have their last values instead.",
    )
    assert [cell.value for cell in opened(after)["Stock"][2]][1:4] == [12.5, "Dubai", "=B2*2"]
    assert [row[0].value for row in opened(after)["My sheet notes"]] == ["Ours.", *sentences]
    assert not dict(opened(after).defined_names)
    assert not [name for name in zipfile.ZipFile(io.BytesIO(after)).namelist() if "external" in name or "vba" in name]


#: XML whose entities would unfold to 10 GB.
LAUGHS = b"<!DOCTYPE a [<!ENTITY a0 'aaaaaaaaaa'>%s]><a>&a9;</a>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
)


def bomb() -> bytes:
    """A workbook whose archive promises 500 MB of XML."""
    file = io.BytesIO(rezipped(two_imei_columns()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("xl/comments9.xml", b"<a/>")
        archive.infolist()[-1].file_size = 500_000_000
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            lambda: rezipped(two_imei_columns(), xl__styles_dot_xml=b"<styleSheet><fonts>"),
            "cannot change this workbook",
        ),
        (lambda: b"PK\x03\x04 broken", "damaged"),
        (bomb, "larger than it may be"),
        (lambda: rezipped(stock_list(), xl__comments1_dot_xml=LAUGHS), "cannot change this workbook"),
    ],
)
def test_a_workbook_that_cannot_be_changed_gets_a_sentence(data: Callable[[], bytes], sentence: str) -> None:
    with pytest.raises(UnreadableFileError, match=sentence):
        add(data(), "Phones", 1, 2)


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
