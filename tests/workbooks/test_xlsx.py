"""Cells, sheets, formulas and hidden rows of XLSX workbooks."""

import io
import zipfile
from datetime import date

import pytest
from old_workbooks import ods
from read_tables import FIVE, SMALL_WORKBOOK, taken
from sample_files import (
    STRICT_NS,
    imei,
    imeis,
    raw_workbook,
    repacked,
    text_workbook,
    workbook,
)

from spreadsheets import Choice, UnreadableFileError
from spreadsheets import reading as spreadsheets
from spreadsheets.cells import NO_VALUE
from spreadsheets.intake import ALL_COLUMNS
from spreadsheets.reading import read_file


def test_a_workbook_with_text_and_number_cells_is_taken_exactly() -> None:
    rows = [["Stock list", None], [None, None], ["Model", "IMEI"]]
    rows += [["A", number if place % 2 else int(number)] for place, number in enumerate(FIVE)]
    intake = read_file(workbook({"Stock": rows}))
    assert taken(intake) == FIVE
    assert [ready.row for ready in intake.ready] == [4, 5, 6, 7, 8]
    assert intake.chosen == Choice(sheet="Stock", column=1, header_row=3, delimiter="", encoding="")


def test_inline_strings_and_a_wrong_dimension_lose_no_row() -> None:
    data = text_workbook([["IMEI"], *([number] for number in FIVE)], inline=True)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        sheet = file.read("xl/worksheets/sheet1.xml")
    lying = sheet.replace(b'<dimension ref="A1:A6"/>', b'<dimension ref="A1"/>')
    assert lying != sheet
    assert taken(read_file(repacked(data, {"xl/worksheets/sheet1.xml": lying}))) == FIVE


def test_the_visible_sheet_with_most_imeis_is_chosen_and_the_others_are_named() -> None:
    sheets = {
        "Cover": [["Hello"]],
        "Few": [["IMEI"], [imei(50)]],
        "Hidden": [["IMEI"], *([number] for number in imeis(40, 100))],
        "Many": [["IMEI"], *([number] for number in FIVE)],
    }
    intake = read_file(workbook(sheets, hidden_sheets=["Hidden"]))
    assert (intake.chosen.sheet, taken(intake)) == ("Many", FIVE)
    assert intake.warnings == (
        "The sheet 'Few' also holds 1 IMEI, which are not taken.",
        "The hidden sheet 'Hidden' also holds 40 IMEIs, which are not taken.",
    )
    assert [(sheet.name, sheet.hidden, sheet.imeis) for sheet in intake.sheets] == [
        ("Cover", False, 0), ("Few", False, 1), ("Hidden", True, 40), ("Many", False, 5)
    ]  # fmt: skip
    assert taken(read_file(workbook(sheets), Choice(sheet="Few"))) == [imei(50)]
    with pytest.raises(UnreadableFileError, match="no sheet 'Gone'"):
        read_file(workbook(sheets), Choice(sheet="Gone"))


def test_formulas_errors_truths_and_dates_are_reported_by_row() -> None:
    rows = [["IMEI"], [FIVE[0]], ["=A1&B1"], [True], [date(2026, 11, 23)], ["#N/A"], [FIVE[1]]]
    intake = read_file(workbook({"Stock": rows}))
    assert taken(intake) == FIVE[:2]
    assert [(bad.row, bad.text) for bad in intake.rejected] == [
        (3, "=A1&B1"), (4, "TRUE"), (5, "2026-11-23"), (6, "#N/A")
    ]  # fmt: skip
    assert "open the file in Excel" in intake.rejected[0].reason


def test_a_number_padded_by_its_format_has_its_zero() -> None:
    styles = (
        b'<styleSheet xmlns="x"><numFmts><numFmt numFmtId="170" formatCode="000000000000000"/></numFmts>'
        b'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="170"/>'
        b'<xf numFmtId="14"/></cellXfs></styleSheet>'
    )
    links = (
        b'<Relationships xmlns="x"><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/>'
        b'<Relationship Id="rId2" Type="http://x/styles" Target="styles.xml"/></Relationships>'
    )
    data = raw_workbook(
        '<row r="1"><c r="A1" s="1"><v>13370080089453</v></c></row>'
        f'<row r="2"><c r="A2" s="2"><v>{FIVE[0]}</v></c></row><row r="3"><c r="A3" s="2"><v>46349</v></c></row>',
        extra={"xl/styles.xml": styles, "xl/_rels/workbook.xml.rels": links},
    )
    intake = read_file(data)
    assert taken(intake) == ["013370080089453", FIVE[0]]
    assert intake.rejected[0].text == "2026-11-23"


def test_strict_and_prefixed_workbooks_with_cells_without_references_are_read() -> None:
    cells = "".join(f"<x:row><x:c><x:v>{number}</x:v></x:c></x:row>" for number in FIVE)
    assert taken(read_file(raw_workbook(cells, prefix="x", namespace=STRICT_NS))) == FIVE


def test_rich_text_phonetics_and_escapes_in_a_cell() -> None:
    first, second = FIVE[0], FIVE[1]
    data = raw_workbook(
        f'<row r="1"><c r="A1" t="inlineStr"><is><r><t>{first[:5]}</t></r><r><t>{first[5:]}</t></r>'
        "<rPh><t>1234</t></rPh></is></c></row>"
        f'<row r="5"><c r="A5" t="str"><f>B5</f><v>{second}_x000D_</v></c></row>'
        '<row r="6"><c r="A6" t="str"><f>B6</f><v></v></c></row>'
    )
    intake = read_file(data)
    assert [(ready.imei, ready.row) for ready in intake.ready] == [(first, 1), (second, 5)]
    assert not intake.rejected


def test_broken_styles_do_not_matter() -> None:
    data = repacked(workbook({"S": [["IMEI"], *([n] for n in FIVE)]}), {"xl/theme/theme1.xml": b"<broken"})
    assert taken(read_file(data)) == FIVE


def test_a_row_and_a_column_far_away_cost_nothing() -> None:
    data = raw_workbook(
        f'<row r="999999999999"><c r="XFD1"><v>{FIVE[0]}</v></c><c r="ZZZZZZ1"><v>1</v></c><c r="!"><v>1</v></c></row>'
    )
    intake = read_file(data)
    assert taken(intake) == [FIVE[0]]


def test_a_sheet_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 1000)
    with pytest.raises(UnreadableFileError, match="more than 1,000 rows"):
        read_file(b"x\n" * 1001, limit=100)


def test_a_workbook_that_names_an_unknown_encoding_is_refused_with_a_sentence() -> None:
    data = SMALL_WORKBOOK
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        links = file.read("xl/_rels/workbook.xml.rels")
    spoiled = b'<?xml version="1.0" encoding="UTF-81"?>' + links.partition(b"?>")[2]
    with pytest.raises(UnreadableFileError):
        read_file(repacked(data, {"xl/_rels/workbook.xml.rels": spoiled}))


def test_a_workbook_cell_of_many_lines_is_a_list() -> None:
    intake = read_file(workbook({"Stock": [["IMEI"], ["\n".join(FIVE)], [f"{imei(8)}\n{imei(9)}"]]}))
    assert taken(intake) == [*FIVE, imei(8), imei(9)]


def test_a_row_element_for_each_cell_is_one_row() -> None:
    rows = "".join(
        f'<row r="{n}"><c r="A{n}"><v>7</v></c></row><row r="{n}"><c r="B{n}"><v>{number}</v></c></row>'
        f'<row r="{n}"><c r="D{n}" t="str"><v>x</v></c></row>'
        for n, number in enumerate(FIVE, 3)
    )
    intake = read_file(raw_workbook(rows))
    assert [(ready.imei, ready.row) for ready in intake.ready] == list(zip(FIVE, range(3, 8), strict=True))
    assert (intake.rows_read, intake.blank) == (5, 0)
    assert [column.filled for column in intake.columns] == [5, 5, 5]


def test_cells_of_a_row_without_references_or_with_the_same_one_are_all_kept() -> None:
    bare = "".join(f'<row r="1"><c><v>{number}</v></c></row>' for number in FIVE)
    same = "".join(f'<row r="2"><c r="A2"><v>{number}</v></c></row>' for number in imeis(3, 10))
    intake = read_file(raw_workbook(bare + same), Choice(column=ALL_COLUMNS))
    assert taken(intake) == [*FIVE, *imeis(3, 10)]


@pytest.mark.parametrize("stored", ["", "<v/>", "<v></v>", "<v>0</v>"])
def test_a_formula_without_a_value_is_reported_by_row(stored: str) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{number}</v></c></row>' for n, number in enumerate(FIVE, 1))
    intake = read_file(raw_workbook(f'{rows}<row r="6"><c r="A6"><f>B6</f>{stored}</c></row>'))
    assert taken(intake) == FIVE
    assert [(bad.row, bad.text, bad.reason) for bad in intake.rejected] == [(6, "=B6", NO_VALUE)]


@pytest.mark.parametrize("stored", ["", "<v>0</v>"])
def test_a_sheet_of_nothing_but_formulas_says_what_to_do(stored: str) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><f>B{n}</f>{stored}</c></row>' for n in range(1, 9))
    with pytest.raises(UnreadableFileError, match=r"8 formulas\. .* open the file in Excel, save it"):
        read_file(raw_workbook(rows))
    cell = '<table:table-row><table:table-cell table:formula="of:=[.B1]"/></table:table-row>'
    with pytest.raises(UnreadableFileError, match=r"3 formulas\. .* open the file in Excel, save it"):
        read_file(ods([["IMEI"]], cell * 3))
