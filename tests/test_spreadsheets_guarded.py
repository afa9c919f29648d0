"""Old workbooks: what they hold comes out whole, and what would break their reader breaks only the child."""

import io
import random
import sys
import time
import zipfile
from pathlib import Path

import pytest
from old_workbooks import ods, xlsb
from sample_files import imeis

from file_kinds import FileKind, UnreadableFileError
from spreadsheets import read_file
from spreadsheets_import import read_orders

STOCK = Path(__file__).parent / "data" / "stock.xls"
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


def test_orders_are_imported_from_an_old_workbook() -> None:
    titles = ["SERVICE", "IMEI NO.", "STATUS", "ORDER DATE"]
    rows = list(read_orders(ods([titles, ["A", NUMBERS[0], "Completed", "2025-11-14 3:33:00"]])))
    assert [row.values["imei"] for row in rows] == NUMBERS[:1]


def far_cell() -> bytes:
    """A sheet that claims a value in every one of 17 thousand million cells."""
    cell = '<table:table-cell table:number-columns-repeated="16384" office:value-type="string"><text:p>x</text:p>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-cell></table:table-row>'
    return ods(TABLE, row)


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
