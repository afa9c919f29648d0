"""Cells come back as they came, and the parts of a sheet are where Excel looks for them."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import openpyxl
import pytest
from added_columns import MOMENT, add, opened
from golden_sheets import differences, invoice, saved, stock_list, two_imei_columns
from openpyxl.utils import column_index_from_string
from sample_files import repacked

from workbooks.fidelity import REPORTED, Formula, cell_xml, plain_text

ROOT = Path(__file__).parents[2]
#: Reading what openpyxl does not know is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported")


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


def formula(text: str, kind: str, result: str) -> Formula:
    """A formula with its stored result."""
    found = Formula(text)
    found.stored = (kind, result)
    return found


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
    after, sentences = add(repacked(stock_list(), {"xl/worksheets/sheet1.xml": part}), "Stock Nov", 4, 5)
    kept = zipfile.ZipFile(io.BytesIO(after)).read("xl/worksheets/sheet1.xml")
    (validation,) = fromstring(kept).iterfind("{*}extLst/{*}ext/{*}dataValidations/{*}dataValidation")
    assert [each.text for each in validation.iter()][2:] == ["Prices!$A$2:$A$9", "B5:B9"]
    assert validation.attrib == {"type": "list"}
    assert sentences == ("Newer features of Excel are left out: unknown ones.",)
    cover = zipfile.ZipFile(io.BytesIO(add(invoice(), "Lines", 5, 6)[0])).read("xl/worksheets/sheet1.xml")
    assert b"Cover!A5:C5" in cover


#: Adds a text to rows 2 and 4 of column B, where rows to the fifth lose what they hold; stderr gets the progress.
PROGRAM = """
import io, sys
from workbooks.fidelity import AddedCells, cell_xml, load, save

class Column(AddedCells):
    first = last = 2

    def rows(self):
        return [2, 4]

    def replaces(self, row):
        return row <= 5

    def xml(self, row):
        return cell_xml(f"B{row}", 0, "s", f"row {row}") if row in self.rows() else ""

def report(rows):
    print(rows, file=sys.stderr)

book = load(io.BytesIO(sys.stdin.buffer.read()), False, report)
save(book, sys.stdout.buffer, "Sheet", Column(), report)
"""


def test_added_cells_take_the_place_of_what_their_columns_hold_where_they_replace_it() -> None:
    """In a child process, because openpyxl has another serialiser in this one; each row is read and written once."""
    book = openpyxl.Workbook()
    for number in range(1, 2 * REPORTED + 2):
        book.worksheets[0].append([number, f"old {number}", "kept"])
    command, env = [sys.executable, "-c", PROGRAM], {"OPENPYXL_LXML": "False"}
    done = subprocess.run(command, cwd=ROOT, env=env, input=saved(book), capture_output=True, check=True)
    sheet: Any = opened(done.stdout).worksheets[0]
    cells = list(sheet.iter_rows(max_row=7, values_only=True))
    assert [row[1] for row in cells] == [None, "row 2", None, "row 4", None, "old 6", "old 7"]
    assert [(row[0], row[2]) for row in cells] == [(number, "kept") for number in range(1, 8)]
    assert done.stderr.split() == [str(REPORTED).encode()] * 4


@pytest.mark.parametrize(
    ("kind", "value", "xml"),
    [
        ("n", None, '<c r="A1" s="3"/>'),
        ("s", "", '<c r="A1" s="3"/>'),
        ("n", "0.10", '<c r="A1" s="3"><v>0.10</v></c>'),
        ("b", "1", '<c r="A1" s="3" t="b"><v>1</v></c>'),
        ("s", "=1+1", '<c r="A1" s="3" t="inlineStr"><is><t>=1+1</t></is></c>'),
        ("s", '<a> & "b"', '<c r="A1" s="3" t="inlineStr"><is><t>&lt;a&gt; &amp; "b"</t></is></c>'),
        ("s", " x", '<c r="A1" s="3" t="inlineStr"><is><t xml:space="preserve"> x</t></is></c>'),
        ("s", "x\ny", '<c r="A1" s="3" t="inlineStr"><is><t xml:space="preserve">x\ny</t></is></c>'),
        ("f", "=A1<B1", '<c r="A1" s="3"><f>A1&lt;B1</f></c>'),
        ("f", formula("=A1", "n", "2.50"), '<c r="A1" s="3"><f>A1</f><v>2.50</v></c>'),
        ("f", formula("=A1", "str", "<x>"), '<c r="A1" s="3" t="str"><f>A1</f><v>&lt;x&gt;</v></c>'),
    ],
)
def test_a_cell_is_written_by_its_kind_and_never_by_its_looks(kind: str, value: object, xml: str) -> None:
    assert cell_xml("A1", 3, kind, value) == xml
    assert cell_xml("A1", 0, kind, value) == xml.replace(' s="3"', "")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\r\nb\rc\td", "a\nb\nc\td"),
        ("a\0\x1b\ufffeb", "ab"),
        ("_x000D_ _X000D_ _x12_", "_x005F_x000D_ _X000D_ _x12_"),
        ("x" * 40_000, "x" * 32_767),
        ("😀" * 20_000, "😀" * 16_383),
        ("x" * 32_767, "x" * 32_767),
    ],
)
def test_a_text_is_made_so_that_excel_takes_it_and_shows_its_signs(text: str, plain: str) -> None:
    assert plain_text(text) == plain
