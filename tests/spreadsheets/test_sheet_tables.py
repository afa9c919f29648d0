"""Columns are appended to tables of values: behind the last filled one, or in place of an earlier download."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from spreadsheets import TableForm, append_cells
from spreadsheets.sheet_tables import WIDTH
from spreadsheets.writing import OutCell
from workbooks import AddedColumn, AddedRow, Row

COLUMNS = (
    AddedColumn("Verdict", 10, "tone"),
    AddedColumn("Checked", 17, "moment"),
    AddedColumn("Order id", 14, "digits"),
)
MOMENT = datetime(2026, 11, 3, 4, 5)
PASSED = AddedRow(2, ("Pass", MOMENT, "0015"), "pass")
TITLES = [OutCell(column.title, "title") for column in COLUMNS]
CELLS = [OutCell("Pass", "pass"), MOMENT, OutCell("0015", "digits")]


def appended(rows: Sequence[Row], form: TableForm, *added: AddedRow) -> dict[int, list[object]]:
    """Return row number → cells."""
    table = append_cells("Stock", rows, form, COLUMNS, added)
    found = [(number, list(cells)) for number, cells in table.rows]
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    return dict(found)


def test_columns_are_behind_the_last_one_that_holds_anything_in_any_row() -> None:
    rows: list[Row] = [(1, ["IMEI", "Model", "", None], False), (2, ["1"], False), (4, ["2", None, 0, ""], True)]
    assert appended(rows, TableForm(1, 0), PASSED, AddedRow(9, ("", "", ""))) == {
        1: ["IMEI", "Model", "", *TITLES],
        2: ["1", None, None, *CELLS],
        4: ["2", None, 0],
        9: [None, None, None, "", "", ""],
    }


def test_a_table_without_titles_moves_down_by_a_row_of_titles_with_the_name_of_its_column() -> None:
    rows: list[Row] = [(1, ["x", "1"], False), (2, ["y", "2"], False)]
    assert appended(rows, TableForm(0, 1), PASSED) == {
        1: ["", OutCell("IMEI", "title"), *TITLES],
        2: ["x", "1"],
        3: ["y", "2", *CELLS],
    }
    assert appended(rows, TableForm(0, -1), PASSED)[1] == ["", "", *TITLES]  # the IMEIs are side by side


def test_the_columns_of_an_earlier_download_are_replaced_with_all_behind_them() -> None:
    rows: list[Row] = [
        (1, ["IMEI", "Verdict", " Checked ", "Order id", "Paid"], False),
        (2, ["1", "Fail", "2020", "7", "yes"], False),
        (3, ["2", "Pass", "2020", "8"], False),
    ]
    assert appended(rows, TableForm(1, 0), PASSED) == {1: ["IMEI", *TITLES], 2: ["1", *CELLS], 3: ["2"]}


@pytest.mark.parametrize("header", [1, 0])
def test_a_sheet_keeps_its_name_and_gets_a_width_for_each_column(header: int) -> None:
    table = append_cells("Stock", [(1, ["IMEI", "Model"], False)], TableForm(header, 0), COLUMNS, ())
    assert (table.name, table.hidden, table.widths) == ("Stock", False, [WIDTH, WIDTH, 10, 17, 14])


def test_a_table_without_rows_gets_its_titles() -> None:
    assert appended([], TableForm(0, 0)) == {1: TITLES}
    assert appended([], TableForm(1, 0)) == {1: TITLES}
