"""Parts of zipped workbooks are unpacked with limits."""

import io
import tracemalloc
import zipfile

import pytest
from hostile_workbooks import GOOD_ROWS, many_sheets
from sample_files import (
    imei,
    raw_workbook,
    text_workbook,
)

from spreadsheets.reading import read_file
from workbooks import parts as spreadsheets_parts
from workbooks import xlsx as spreadsheets_xlsx
from workbooks.kinds import Deadline, Row, UnreadableFileError, Worksheet
from workbooks.xlsx import read_xlsx


def in_this_process(data: bytes) -> list[Worksheet | Row]:
    """What the reader of XLSX finds, without the child process around it."""
    return list(read_xlsx(data, Deadline(30)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_UNPACKED", 40 * 1024 * 1024)
    bomb = raw_workbook("<row/>", extra={"xl/sharedStrings.xml": b" " * 45 * 1024 * 1024})
    assert len(bomb) < 100 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableFileError, match="Unpacked, the workbook is larger"):
            in_this_process(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_workbook_that_lies_about_its_size_is_cut_off_while_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_UNPACKED", 100_000)
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{imei(n)}</v></c></row>' for n in range(1, 9000))
    data = bytearray(raw_workbook(rows))
    size = max(info.file_size for info in zipfile.ZipFile(io.BytesIO(data)).infolist())
    while (place := data.find(size.to_bytes(4, "little"))) >= 0:
        data[place : place + 4] = (5000).to_bytes(4, "little")
    with pytest.raises(UnreadableFileError, match=r"damaged|Unpacked"):
        in_this_process(bytes(data))


def test_an_endless_tag_and_endless_strings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_TOKEN", 200_000)
    with pytest.raises(UnreadableFileError, match="Unpacked"):
        in_this_process(raw_workbook(f'<row r="{"1" * 900_000}"></row>'))
    monkeypatch.setattr(spreadsheets_xlsx, "MAX_STRINGS_KEPT", 10_000)
    with pytest.raises(UnreadableFileError, match="Unpacked"):
        in_this_process(text_workbook([[f"word {n}"] for n in range(2000)]))


def test_a_doctype_is_refused() -> None:
    before = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_file(raw_workbook("<row><c><v>&b;</v></c></row>", before=before))


def test_a_part_that_is_listed_many_times_is_read_once() -> None:
    intake = read_file(many_sheets(900, 1))
    assert (len(intake.sheets), len(intake.ready)) == (1, 5)


def test_a_bad_name_in_the_archive_does_no_harm() -> None:
    out = io.BytesIO(raw_workbook(GOOD_ROWS))
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("../../x.xml", "x")
    assert len(read_file(out.getvalue()).ready) == 5
