"""Which sheet a batch gives back: its format, its name, what it says, and when it cannot be given."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from old_workbooks import ods
from sample_files import imeis, workbook
from sqlalchemy import update
from web_client import CARRIER, answer_chunks

from database import IMEIDatabase
from orders import Progress
from results import my_sheet
from results.my_sheet import NO_SIGNS, NO_TITLES, MySheet, SheetNotPossibleError, SheetStore, prepare_sheet
from schema import orders
from spreadsheets import SHEET_COLUMNS, parsed_list
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from storage.batch_uploads import store_upload

FOUR = imeis(4)
TITLES = [column.title for column in SHEET_COLUMNS]
CSV = "\n".join(["IMEI;Model", *(f"{imei};x" for imei in FOUR), ""]).encode()
Made = Callable[..., Progress]


@pytest.fixture
def store(database: IMEIDatabase, tmp_path: Path) -> SheetStore:
    return SheetStore(database, tmp_path / "uploads", 1000)


@pytest.fixture
def made(store: SheetStore) -> Made:
    """Make a batch of a file; every IMEI is ordered, and has a result that passes unless `done` says otherwise."""

    def make(
        data: bytes, name: str, kind: str = "upload", sent: list[str] = FOUR, part: str = "", done: bool = True
    ) -> Progress:
        database = store.database
        token = store_upload(database, store.folder, data, label=name, kind=kind, service_id=CARRIER.package_id)
        return batch_of(database, kind, name, sent, token + part, done)

    return make


def batch_of(
    database: IMEIDatabase, source: str, name: str, sent: list[str], token: str | None, done: bool = True
) -> Progress:
    pairs = [(imei, None) for imei in sent]
    new = NewBatch(name, source, CARRIER.package_id, CARRIER.title, 0.1, pairs, confirm_token=token, customer="Gulf")
    batch_id = create_batch(database, new)
    answer_chunks(database)
    if done:
        with database.write() as connection:
            connection.execute(update(orders).values(status="Completed", verdict="pass", model="iPhone 12"))
    found = progress(database, batch_id)
    assert found is not None
    return found


def written(sheet: MySheet, folder: Path) -> tuple[bytes, tuple[str, ...], int]:
    """Return the file, its notices, and the rows that were reported."""
    path, reported = folder / sheet.name, list[int]()
    notices = sheet.write(path, reported.append)
    return path.read_bytes(), notices, sum(reported)


def cells_of(data: bytes, name: str) -> list[list[Any]]:
    found: Any = openpyxl.load_workbook(io.BytesIO(data))[name]
    return [list(row) for row in found.iter_rows(values_only=True)]


@pytest.mark.parametrize(
    ("name", "as_workbook", "suffix"),
    [
        ("List.CSV", False, ".csv"),
        ("list.tsv", False, ".tsv"),
        ("list.txt", False, ".txt"),
        ("list.log", False, ".csv"),
        ("list", False, ".csv"),
        ("list.csv", True, ".xlsx"),
    ],
)
def test_a_text_keeps_its_format_unless_a_workbook_is_wanted(
    store: SheetStore, made: Made, name: str, as_workbook: bool, suffix: str
) -> None:
    sheet = prepare_sheet(store, made(CSV, name), as_workbook)
    assert re.fullmatch(rf"batch-1_gulf-list_sheet_\d{{8}}T\d{{4}}Z\{suffix}", sheet.name)
    assert (sheet.is_text, sheet.rows, sheet.notices) == (suffix != ".xlsx", 4, ())


def test_a_text_keeps_its_bytes_and_reports_its_rows(
    store: SheetStore, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(my_sheet, "REPORTED", 2)
    data, notices, reported = written(prepare_sheet(store, made(CSV, "list.csv"), False), tmp_path)
    first, *rest = data.decode().splitlines()
    assert first == ";".join(["IMEI;Model", *TITLES])
    assert [line.split(";")[:4] for line in rest] == [[imei, "x", "Pass", "iPhone 12"] for imei in FOUR]
    assert (notices, reported) == ((), 4)


def test_the_way_a_text_is_read_is_the_way_it_is_written(store: SheetStore, made: Made, tmp_path: Path) -> None:
    """Quotes that are never closed are plain signs, and commas between thousands are no delimiters."""
    quoted = f'IMEI;Size\n{FOUR[0]};"6\n{FOUR[1]};5" screen\n'.encode()
    data, _, _ = written(prepare_sheet(store, made(quoted, "list.csv", sent=FOUR[:2]), False), tmp_path)
    assert [line.split(";")[:3] for line in data.decode().splitlines()[1:]] == [
        [FOUR[0], '"6', "Pass"],
        [FOUR[1], '5" screen', "Pass"],
    ]
    grouped = [",".join(re.findall("...", imei)) for imei in FOUR]
    stock = "\n".join(["No,IMEI,Model", *(f"7,{imei},x" for imei in grouped)]).encode()
    data, _, _ = written(prepare_sheet(store, made(stock, "list.csv"), True), tmp_path)
    assert [row[:4] for row in cells_of(data, "IMEIs")[1:]] == [["7", imei, "x", "Pass"] for imei in FOUR]


def test_a_batch_of_a_part_gives_the_whole_file_with_the_results_of_its_other_parts(
    store: SheetStore, made: Made, tmp_path: Path
) -> None:
    first = made(CSV, "list.csv", sent=FOUR[:1], part="/1")
    (path,) = (path for path in store.folder.iterdir() if "." not in path.name)
    second = batch_of(store.database, "upload", "list.csv", FOUR[1:3], f"{path.name}/2")
    for part in (first, second):
        data, _, _ = written(prepare_sheet(store, part, False), tmp_path)
        rows = [line.split(";") for line in data.decode().splitlines()[1:]]
        assert [row[2] for row in rows] == ["Pass", "Pass", "Pass", ""]
        assert rows[3][-1] == "It was not part of the batch."


def test_a_list_without_a_file_becomes_a_new_workbook_in_its_order(
    store: SheetStore, made: Made, tmp_path: Path
) -> None:
    typed = batch_of(store.database, "single", "typed", FOUR[::-1], None)
    sheet = prepare_sheet(store, typed, False)
    assert (sheet.data, sheet.is_text, sheet.rows) == (b"", False, 4)
    data, _, _ = written(sheet, tmp_path)
    assert [row[:2] for row in cells_of(data, "IMEIs")] == [
        ["IMEI", "Verdict"],
        *([imei, "Pass"] for imei in FOUR[::-1]),
    ]
    listed = made(parsed_list(FOUR).to_bytes(), "list", kind="list", done=False)
    data, _, _ = written(prepare_sheet(store, listed, False), tmp_path)
    assert [row[0] for row in cells_of(data, "IMEIs")] == ["IMEI", *FOUR]


def test_notices_say_what_is_open_and_what_has_changed(store: SheetStore, made: Made, tmp_path: Path) -> None:
    batch = made(ods([["IMEI"], *([imei] for imei in FOUR)]), "stock.ods", done=False)
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET outcome = 'in_doubt' WHERE imei = ?", (FOUR[0],))
        connection.exec_driver_sql("DELETE FROM orders WHERE imei = ?", (FOUR[0],))
        connection.exec_driver_sql("UPDATE orders SET status = 'Completed' WHERE imei = ?", (FOUR[1],))
    sheet = prepare_sheet(store, batch, False)
    assert sheet.notices == (
        "2 of 4 pending: download the sheet again when these results are here.",
        "1 IMEI in doubt: settle them on the page of the batch.",
        "The .ods workbook comes back as a new .xlsx workbook of its values, without their formats.",
    )
    data, notices, _ = written(sheet, tmp_path)
    assert notices == sheet.notices
    assert [row[0] for row in cells_of(data, "My sheet notes")] == list(notices)


def test_the_other_sheets_of_an_old_workbook_come_back_too(store: SheetStore, made: Made, tmp_path: Path) -> None:
    more = '</table:table><table:table table:name="Notes"><table:table-row><table:table-cell><text:p>Hello</text:p>'
    batch = made(ods([["IMEI"], *([imei] for imei in FOUR)], f"{more}</table:table-cell></table:table-row>"), "a.ods")
    data, _, _ = written(prepare_sheet(store, batch, False), tmp_path)
    assert openpyxl.load_workbook(io.BytesIO(data)).sheetnames == ["Stock", "Notes", "My sheet notes"]
    assert cells_of(data, "Notes") == [["Hello"]]
    assert cells_of(data, "Stock")[1][:2] == [FOUR[0], "Pass"]


@pytest.mark.parametrize(("above", "header_row"), [([], 0), ([["Stock"]], 1), ([[], []], 2)])
def test_a_workbook_without_titles_gets_them_in_the_row_above_its_first_imei(
    store: SheetStore, made: Made, above: list[list[str]], header_row: int
) -> None:
    data = workbook({"Stock": [*above, *([imei] for imei in FOUR)]})
    sheet = prepare_sheet(store, made(data, "a.xlsx"), False)
    assert sheet.header_row == header_row
    assert sheet.notices == (() if header_row else (NO_TITLES,))


def test_a_workbook_that_is_too_long_is_refused_and_a_text_of_its_length_is_not(
    store: SheetStore, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = made(workbook({"Stock": [["IMEI"], *([imei] for imei in FOUR)]}), "a.xlsx")
    monkeypatch.setattr(my_sheet, "MOST_ROWS", 4)
    assert prepare_sheet(store, book, False).rows == 4
    monkeypatch.setattr(my_sheet, "MOST_ROWS", 3)
    with pytest.raises(SheetNotPossibleError, match="this one has 4"):
        prepare_sheet(store, book, False)
    assert prepare_sheet(store, made(CSV, "a.csv"), False).rows == 4


@pytest.mark.parametrize(("kind", "is_given"), [("upload", False), ("command", False), ("paste", True)])
def test_a_file_that_is_gone_is_said_and_a_paste_becomes_a_list(
    store: SheetStore, made: Made, kind: str, is_given: bool
) -> None:
    batch = made(CSV, "a.csv", kind=kind)
    for path in store.folder.iterdir():
        path.unlink()
    if is_given:
        assert prepare_sheet(store, batch, False).rows == 4
    else:
        with pytest.raises(SheetNotPossibleError, match="no longer kept"):
            prepare_sheet(store, batch, False)


def test_signs_that_the_encoding_of_a_text_lacks_are_announced(store: SheetStore, made: Made, tmp_path: Path) -> None:
    western = "\n".join(["IMEI;Händler", *(f"{imei};x" for imei in FOUR), ""]).encode("cp1252")
    batch = made(western, "list.csv")
    assert written(prepare_sheet(store, batch, False), tmp_path)[1] == ()
    with store.database.write() as connection:
        connection.execute(update(orders).values(carrier="中国移动"))
    data, notices, _ = written(prepare_sheet(store, batch, False), tmp_path)
    assert notices == (NO_SIGNS.format("cp1252"),) and ";????;" in data.decode("cp1252")
    data, notices, _ = written(prepare_sheet(store, batch, True), tmp_path)
    assert notices == () and "中国移动" in [row[4] for row in cells_of(data, "IMEIs")]
