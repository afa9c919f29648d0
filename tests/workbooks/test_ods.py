"""Cells, repeated cells and hidden sheets of ODS workbooks."""

import pytest
from old_workbooks import ods
from read_tables import FIVE, TABLE, row

from spreadsheets.cells import NO_VALUE
from spreadsheets.reading import read_file
from workbooks.kinds import FileKind


@pytest.mark.parametrize("left_out", [["mimetype"], ["META-INF/manifest.xml"], ["mimetype", "META-INF/manifest.xml"]])
def test_an_ods_archive_may_lack_its_labels(left_out: list[str]) -> None:
    intake = read_file(ods(TABLE, left_out=left_out))
    assert (intake.kind, [ready.imei for ready in intake.ready]) == (FileKind.ODS, FIVE)


def cell(attributes: str, text: str = "", repeated: int = 1) -> str:
    shown = f"<text:p>{text}</text:p>" if text else ""
    return f'<table:table-cell {attributes} table:number-columns-repeated="{repeated}">{shown}</table:table-cell>'


BLANK = "<table:table-cell/>"
FLOAT = 'office:value-type="float" office:value="{}"'


def test_the_cells_of_an_ods_sheet_are_what_they_hold() -> None:
    """Numbers by value and not as shown, padded ones with their zeros, several paragraphs as lines, no comments."""
    zero = "013370080089453"
    more = "".join(
        [
            row(cell(FLOAT.format(FIVE[0]), "3.53E+14")),
            row(cell(FLOAT.format("3.5E+14"), "3.5E+14")),
            row(cell(FLOAT.format(int(zero)), zero)),
            row(
                "<table:table-cell><office:annotation><text:p>1</text:p></office:annotation>"
                f"<text:p>{FIVE[1]}</text:p><text:p><text:span>{FIVE[2]}</text:span></text:p></table:table-cell>"
            ),
            row(f"<table:covered-table-cell><text:p>{FIVE[3]}</text:p></table:covered-table-cell>"),
            row(cell("", '353370<text:s text:c="3"/>080089<text:tab/>451')),
            row(cell('office:value-type="date" office:date-value="2026-11-23T00:00:00"', "23.11.26")),
            row(cell('office:value-type="boolean" office:boolean-value="true"', "WAHR")),
            row(cell('office:value-type="string" office:string-value=""', "#N/A")),
        ]
    )
    intake = read_file(ods([["IMEI"]], more))
    assert [(ready.imei, ready.row) for ready in intake.ready] == [
        (FIVE[0], 2), (zero, 4), (FIVE[1], 5), (FIVE[2], 5), (FIVE[3], 6),
        ("353370080089451", 7)
    ]  # fmt: skip
    assert [(bad.row, bad.text) for bad in intake.rejected] == [(8, "2026-11-23"), (9, "TRUE"), (10, "#N/A")]
    assert [bad.row for bad in intake.luhn_failed] == [3]


def test_repeated_cells_and_rows_of_an_ods_sheet_keep_their_places() -> None:
    more = "".join(
        [
            row(BLANK.replace("/", ' table:number-columns-repeated="3"/'), cell("", FIVE[0])),
            row(BLANK, attributes='table:number-rows-repeated="5"'),
            row(cell("", "A", 3), cell("", FIVE[1]), attributes='table:number-rows-repeated="2"'),
            row(cell("", "B"), cell("", "C", 2), cell("", FIVE[2], 2), attributes='table:visibility="filter"'),
            row(
                BLANK.replace("/", ' table:number-columns-repeated="16384"/'),
                attributes='table:number-rows-repeated="9"',
            ),
            row(cell("", "D", 3), cell("", FIVE[3])),
        ]
    )
    intake = read_file(ods([["A", "B", "C", "IMEI"]], more))
    assert intake.chosen.column == 3
    assert [(ready.imei, ready.row) for ready in intake.ready] == [
        (FIVE[0], 2), (FIVE[1], 8), (FIVE[2], 10), (FIVE[3], 20)
    ]  # fmt: skip
    assert [(again.row, again.first_row) for again in intake.repeated] == [(9, 8)]
    assert any("Hidden or filtered rows also hold 1 IMEI" in warning for warning in intake.warnings)
    assert any("Column E also holds 1 IMEI" in warning for warning in intake.warnings)


def test_a_hidden_sheet_of_an_ods_workbook_is_known() -> None:
    properties = '<style:table-properties table:display="false"/>'
    style = f'<style:style style:name="ta2" style:family="table">{properties}</style:style>'
    second = f'</table:table><table:table table:name="Old" table:style-name="ta2">{row(cell("", FIVE[0]))}'
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
    assert [ready.imei for ready in intake.ready] == FIVE
    assert [(bad.row, bad.reason) for bad in intake.rejected] == [(8, NO_VALUE)]
