"""Old workbooks: what they hold comes out whole, and what would break their reader breaks only the child."""

import io
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from old_workbooks import archive, far_cell, ods, xlsb
from sample_files import imeis

from spreadsheets.cells import NO_VALUE
from spreadsheets.order_rows import read_orders
from spreadsheets.reading import Choice, read_file
from workbooks.biff import read_marks
from workbooks.kinds import FileKind, UnreadableFileError

STOCK = Path(__file__).parents[1] / "data" / "stock.xls"
FORMULA_XLS = Path(__file__).parents[1] / "cases" / "uploads" / "F41-xls-formula.xls"
NUMBERS = imeis(5)
TABLE = [["Stock list"], ["Model", "IMEI"], *(["iPhone", number] for number in NUMBERS)]


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
    assert [ready.imei for ready in intake.ready] == NUMBERS
    assert [ready.row for ready in intake.ready] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("left_out", [["mimetype"], ["META-INF/manifest.xml"], ["mimetype", "META-INF/manifest.xml"]])
def test_an_ods_archive_may_lack_its_labels(left_out: list[str]) -> None:
    intake = read_file(ods(TABLE, left_out=left_out))
    assert (intake.kind, [ready.imei for ready in intake.ready]) == (FileKind.ODS, NUMBERS)


def cell(attributes: str, text: str = "", repeated: int = 1) -> str:
    shown = f"<text:p>{text}</text:p>" if text else ""
    return f'<table:table-cell {attributes} table:number-columns-repeated="{repeated}">{shown}</table:table-cell>'


def row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


BLANK = "<table:table-cell/>"
FLOAT = 'office:value-type="float" office:value="{}"'


def test_the_cells_of_an_ods_sheet_are_what_they_hold() -> None:
    """Numbers by value and not as shown, padded ones with their zeros, several paragraphs as lines, no comments."""
    zero = "013370080089453"
    more = "".join(
        [
            row(cell(FLOAT.format(NUMBERS[0]), "3.53E+14")),
            row(cell(FLOAT.format("3.5E+14"), "3.5E+14")),
            row(cell(FLOAT.format(int(zero)), zero)),
            row(
                "<table:table-cell><office:annotation><text:p>1</text:p></office:annotation>"
                f"<text:p>{NUMBERS[1]}</text:p><text:p><text:span>{NUMBERS[2]}</text:span></text:p></table:table-cell>"
            ),
            row(f"<table:covered-table-cell><text:p>{NUMBERS[3]}</text:p></table:covered-table-cell>"),
            row(cell("", '353370<text:s text:c="3"/>080089<text:tab/>451')),
            row(cell('office:value-type="date" office:date-value="2026-11-23T00:00:00"', "23.11.26")),
            row(cell('office:value-type="boolean" office:boolean-value="true"', "WAHR")),
            row(cell('office:value-type="string" office:string-value=""', "#N/A")),
        ]
    )
    intake = read_file(ods([["IMEI"]], more))
    assert [(ready.imei, ready.row) for ready in intake.ready] == [
        (NUMBERS[0], 2), (zero, 4), (NUMBERS[1], 5), (NUMBERS[2], 5), (NUMBERS[3], 6),
        ("353370080089451", 7)
    ]  # fmt: skip
    assert [(bad.row, bad.text) for bad in intake.rejected] == [(8, "2026-11-23"), (9, "TRUE"), (10, "#N/A")]
    assert [bad.row for bad in intake.luhn_failed] == [3]


def test_repeated_cells_and_rows_of_an_ods_sheet_keep_their_places() -> None:
    more = "".join(
        [
            row(BLANK.replace("/", ' table:number-columns-repeated="3"/'), cell("", NUMBERS[0])),
            row(BLANK, attributes='table:number-rows-repeated="5"'),
            row(cell("", "A", 3), cell("", NUMBERS[1]), attributes='table:number-rows-repeated="2"'),
            row(cell("", "B"), cell("", "C", 2), cell("", NUMBERS[2], 2), attributes='table:visibility="filter"'),
            row(
                BLANK.replace("/", ' table:number-columns-repeated="16384"/'),
                attributes='table:number-rows-repeated="9"',
            ),
            row(cell("", "D", 3), cell("", NUMBERS[3])),
        ]
    )
    intake = read_file(ods([["A", "B", "C", "IMEI"]], more))
    assert intake.chosen.column == 3
    assert [(ready.imei, ready.row) for ready in intake.ready] == [
        (NUMBERS[0], 2), (NUMBERS[1], 8), (NUMBERS[2], 10), (NUMBERS[3], 20)
    ]  # fmt: skip
    assert [(again.row, again.first_row) for again in intake.repeated] == [(9, 8)]
    assert any("Hidden or filtered rows also hold 1 IMEI" in warning for warning in intake.warnings)
    assert any("Column E also holds 1 IMEI" in warning for warning in intake.warnings)


def test_a_hidden_sheet_of_an_ods_workbook_is_known() -> None:
    properties = '<style:table-properties table:display="false"/>'
    style = f'<style:style style:name="ta2" style:family="table">{properties}</style:style>'
    second = f'</table:table><table:table table:name="Old" table:style-name="ta2">{row(cell("", NUMBERS[0]))}'
    intake = read_file(ods(TABLE, second, styles=style))
    assert [(sheet.name, sheet.hidden) for sheet in intake.sheets] == [("Stock", False), ("Old", True)]


FORMULAS = {
    "without a value": 'table:formula="of:=[.B2]"',
    "of another dialect": 'table:formula="msoxl:=B2"',
    "with an empty text": 'table:formula="of:=[.B2]" office:value-type="string" office:string-value=""',
    "with a dummy 0": 'table:formula="of:=[.B2]" office:value-type="float" office:value="0"',
}


@pytest.mark.parametrize("what", FORMULAS)
def test_a_formula_of_an_ods_sheet_without_a_value_is_reported_by_row(what: str) -> None:
    intake = read_file(ods(TABLE, row(BLANK, cell(FORMULAS[what], "0" if "0" in what else ""))))
    assert [ready.imei for ready in intake.ready] == NUMBERS
    assert [(bad.row, bad.reason) for bad in intake.rejected] == [(8, NO_VALUE)]


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
    intake = read_file(data[:place] + struct.pack("<d", float(NUMBERS[0])) + data[place + 8 :])
    assert not intake.rejected
    assert (intake.ready[7].imei, intake.ready[7].row) == (NUMBERS[0], 9)


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


def encrypted_ods() -> bytes:
    manifest = '<m:manifest xmlns:m="x"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return archive({"mimetype": kind, "content.xml": bytes(range(256)) * 9, "META-INF/manifest.xml": manifest})


def encrypted_xls() -> bytes:
    """The workbook with the record FILEPASS in place of INTERFACEHDR, which programs that decrypt look for."""
    data = FORMULA_XLS.read_bytes()
    assert data.count(b"\xe1\0\2\0") == 1
    return data.replace(b"\xe1\0\2\0", b"\x2f\0\2\0")


LOCKED: dict[str, Callable[[], bytes]] = {
    "ods": encrypted_ods,
    "ods in one piece": lambda: archive({"mimetype": "x", "encrypted-package": b"1", "META-INF/manifest.xml": "<m/>"}),
    "xls": encrypted_xls,
    "xlsx or xlsb": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le"),
}


@pytest.mark.parametrize("kind", LOCKED)
def test_a_workbook_with_a_password_is_not_called_damaged(kind: str) -> None:
    with pytest.raises(UnreadableFileError, match="protected with a password"):
        read_file(LOCKED[kind]())


@pytest.mark.parametrize("mimetype", ["text", "presentation", "graphics"])
def test_another_open_document_is_no_table(mimetype: str) -> None:
    content = (
        '<office:document-content xmlns:office="x"><office:body><office:text/></office:body></office:document-content>'
    )
    with pytest.raises(UnreadableFileError, match="a document and not a table"):
        read_file(archive({"mimetype": f"application/vnd.oasis.opendocument.{mimetype}", "content.xml": content}))
    with pytest.raises(UnreadableFileError, match="a document and not a table"):
        read_file(archive({"content.xml": content}))


def test_orders_are_imported_from_an_old_workbook() -> None:
    titles = ["SERVICE", "IMEI NO.", "STATUS", "ORDER DATE"]
    rows = list(read_orders(ods([titles, ["A", NUMBERS[0], "Completed", "2025-11-14 3:33:00"]])))
    assert [row.values["imei"] for row in rows] == NUMBERS[:1]


def zip_bomb() -> bytes:
    """Five megabytes that unpack to eleven hundred."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        with packed.open("content.xml", "w", force_zip64=True) as content:
            for _ in range(1100):
                content.write(b"<a>" + b"x" * 999_997)
    return out.getvalue()


def bent(data: bytes, seed: int) -> bytes:
    """The file with twenty bytes changed."""
    chance, content = random.Random(seed), bytearray(data)
    for _ in range(20):
        content[chance.randrange(len(content) // 8, len(content))] = chance.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("bomb", [far_cell, zip_bomb])
def test_a_bomb_gets_a_sentence_in_bounded_time(bomb: object) -> None:
    assert callable(bomb)
    started = time.monotonic()
    with pytest.raises(UnreadableFileError, match=r"memory|damaged|longer than|repeated without end|Unpacked"):
        read_file(bomb(), seconds=20)
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_workbook_is_read_or_refused_and_never_breaks_us(seed: int) -> None:
    try:
        intake = read_file(bent(STOCK.read_bytes(), seed), seconds=20)
        assert len(intake.ready) <= 6
    except UnreadableFileError as error:
        assert str(error).endswith(".")


def test_a_cut_workbook_gets_a_sentence() -> None:
    for data in (STOCK.read_bytes()[:3000], ods(TABLE)[:-60], xlsb(TABLE)[:-60]):
        with pytest.raises(UnreadableFileError):
            read_file(data)


def test_a_file_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(UnreadableFileError, match="longer than"):
        read_file(STOCK, seconds=0.001)


def test_the_reader_is_never_loaded_into_our_process() -> None:
    read_file(STOCK)
    assert "python_calamine" not in sys.modules
