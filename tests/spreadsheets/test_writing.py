"""Files that people take: the provider's CSV to the byte, Excel as Excel reads it, and nothing that runs."""

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import NoReturn, get_args

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_files import imei, imeis, wrong

from spreadsheets import writing as spreadsheets_out
from spreadsheets.reading import read_file
from spreadsheets.writing import (
    EXTENDED_COLUMNS,
    PROVIDER_COLUMNS,
    CellKind,
    OutCell,
    OutColumn,
    OutTable,
    export_name,
    guarded,
    rejects_csv,
    write_csv,
    write_tables,
    write_xlsx,
)

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "provider_export.csv"
ROOT = Path(__file__).parents[2]

ORDERS: list[Mapping[str, object]] = [
    {
        "id": 1,
        "service_name": "T-Mobile USA - Status Check",
        "imei": imei(1),
        "credits": 0.08,
        "status": "Completed",
        "result_code_display": "Model: iPhone 12\nCarrier: T-Mobile, USA",
        "imei2": imei(2),
        "carrier": "T-Mobile, USA",
        "simlock": "Locked",
        "model": 'iPhone 12 6.1"',
        "fmi": "ON",
        "order_date": datetime(2026, 11, 23, 22, 10, 5),
    },
    {
        "service_name": "Sprint – Größe",
        "imei": imei(3),
        "credits": Decimal("12.5"),
        "status": "Rejected",
        "result_code_display": "=HYPERLINK(1)",
        "imei2": None,
        "order_date": date(2026, 11, 23),
    },
    {"imei": imei(4), "status": "Pending"},
    {
        "service_name": "Free",
        "imei": imei(5),
        "credits": 0,
        "status": "Pending",
        "carrier": "@x",
        "simlock": "+1",
        "model": "-",
        "fmi": "\t=1",
        "order_date": "2026-11-23",
    },
    {"service_name": "Exact", "imei": imei(6), "credits": 0.085, "status": "Pending", "imei2": "=A1"},
]


#: The same with all that is known of them.
EXTENDED_ORDERS: list[Mapping[str, object]] = [
    {
        **ORDERS[0],
        "order_id": "15562209",
        "batch_id": 41,
        "serial": "F4GKVV0HT54H",
        "blacklist": "Clean",
        "warranty": "Out Of Warranty",
        "outcome": "ordered",
        "created_at": datetime(2026, 11, 23, 22, 10, 4, 999_999),
        "updated_at": datetime(2026, 11, 23, 22, 15, 0),
        "verdict": "Fail",
    },
    {**ORDERS[1], "order_id": "00771", "batch_id": 41, "serial": "=1", "blacklist": "-", "outcome": "ordered"},
    {**ORDERS[2], "batch_id": 41, "outcome": "in_doubt", "error": "+sent, and no answer"},
    {**ORDERS[3], "outcome": "refused", "error": "Invalid IMEI: 12345\r\nask support", "warranty": "@SUM(A1)"},
    {**ORDERS[4], "order_id": "=1+1", "outcome": "duplicate", "error": 'IMEI "already" exists!'},
]


def cells_of(data: bytes) -> str:
    """Every cell of the first sheet on a line of its own: where, what kind, in which format, and what it says."""
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    return "".join(
        f"{cell.coordinate}\t{cell.data_type}\t{cell.number_format}\t{cell.value!r}\n"
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    )


def book_of(rows: list[Mapping[str, object]], **options: object) -> openpyxl.Workbook:
    out = io.BytesIO()
    write_xlsx(rows, out, **options)  # type: ignore[arg-type]
    out.seek(0)
    return openpyxl.load_workbook(out)


def many(count: int) -> Iterator[Mapping[str, object]]:
    return ({**ORDERS[0], "imei": number} for number in imeis(count))


def test_the_csv_is_the_providers_to_the_byte() -> None:
    assert b"".join(write_csv(ORDERS)) == GOLDEN.read_bytes()


def test_the_byte_order_mark_can_be_left_out() -> None:
    assert b"".join(write_csv(ORDERS, bom=False)) == GOLDEN.read_bytes().removeprefix(b"\xef\xbb\xbf")


def test_the_extended_csv_is_pinned_to_the_byte() -> None:
    assert b"".join(write_csv(EXTENDED_ORDERS, EXTENDED_COLUMNS)) == (DATA / "extended_export.csv").read_bytes()


def test_the_workbook_is_pinned_cell_by_cell() -> None:
    out = io.BytesIO()
    write_xlsx(EXTENDED_ORDERS, out, EXTENDED_COLUMNS)
    assert cells_of(out.getvalue()) == (DATA / "extended_export_cells.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 300])
def test_the_csv_comes_in_pieces_with_one_mark_and_one_header(count: int) -> None:
    pieces = list(write_csv(many(count)))
    assert len(pieces) == count // 100 + (1 if count % 100 or not count else 0)
    whole = b"".join(pieces)
    assert whole.count(b"\xef\xbb\xbf") == whole.count(b"SERVICE") == 1
    rows = list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"), newline="")))
    assert [row["IMEI NO."] for row in rows] == imeis(count)


def test_the_csv_does_not_wait_for_the_last_row() -> None:
    taken = []
    rows = (taken.append(number) or ORDERS[0] for number in range(10_000))  # type: ignore[func-returns-value]
    next(write_csv(rows))
    assert len(taken) <= 501


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\rx", " =1", "\u200b=1", "\ufeff@x", "＝1", "\n-x"]
)
def test_what_a_spreadsheet_could_run_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=b", "Clean", "iPhone - 12", "'=1", "(=1)", "1-2", "Ünlocked", "\u200bx"])
def test_plain_text_is_left_as_it_is(text: str) -> None:
    assert guarded(text) == text


@given(st.lists(st.dictionaries(st.sampled_from([c.key for c in PROVIDER_COLUMNS]), st.text(max_size=12)), max_size=5))
def test_any_text_survives_the_csv_and_no_cell_begins_a_formula(rows: list[Mapping[str, object]]) -> None:
    whole = b"".join(write_csv(rows)).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(whole, newline="")))
    assert len(read) == len(rows) + 1
    for written, row in zip(read[1:], rows, strict=True):
        for text, column in zip(written, PROVIDER_COLUMNS, strict=True):
            source = str(row.get(column.key, "")).replace("\0", "")
            assert text in (source, "'" + source)
            assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_the_extended_format_begins_with_the_providers_columns() -> None:
    row = {**ORDERS[0], "order_id": "777", "batch_id": 41, "outcome": "ordered", "created_at": "2026-11-23 22:10:00"}
    (header, values) = csv.reader(io.StringIO(b"".join(write_csv([row], EXTENDED_COLUMNS)).decode("utf-8-sig")))
    assert header[: len(PROVIDER_COLUMNS)] == [column.title for column in PROVIDER_COLUMNS]
    assert dict(zip(header, values, strict=True))["ORDER ID"] == "777"


def test_excel_shows_all_digits_as_text_and_runs_nothing() -> None:
    sheet = book_of(ORDERS)["Orders"]
    rows = list(sheet.iter_rows(min_row=2))
    assert [row[1].value for row in rows] == [order["imei"] for order in ORDERS]
    assert all(cell.data_type in "snd" for row in rows for cell in row)
    assert rows[1][4].value == "=HYPERLINK(1)"
    assert (rows[0][2].value, rows[0][2].number_format) == (0.08, '"$"0.00##')
    assert rows[0][1].number_format == "@"
    assert rows[2][2].value is None


def test_excel_has_a_frozen_header_a_filter_and_widths() -> None:
    sheet = book_of(ORDERS)["Orders"]
    assert [cell.value for cell in sheet[1]] == [column.title for column in PROVIDER_COLUMNS]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:K6"
    assert sheet.column_dimensions["B"].width > 16


def test_excels_limits_are_kept_and_reported() -> None:
    long, odd = "ä😀" * 20_000, "a\x01b\ud800c\uffffd"
    out = io.BytesIO()
    written = write_xlsx([{"imei": imei(1), "result_code_display": long, "model": odd}], out)
    assert (written.rows, written.cut, written.cleaned) == (1, 1, 1)
    book = openpyxl.load_workbook(out)
    cut = str(book["Orders"]["E2"].value)
    assert cut.endswith("(cut)")
    assert len(cut.encode("utf-16-le")) // 2 <= 32_767
    assert book["Orders"]["I2"].value == "abcd"
    assert "1 cells were cut" in str(book["Notes"]["A1"].value)


def test_an_excel_file_without_orders_has_its_header(tmp_path: Path) -> None:
    assert write_xlsx([], tmp_path / "empty.xlsx").rows == 0
    assert openpyxl.load_workbook(tmp_path / "empty.xlsx")["Orders"]["B1"].value == "IMEI NO."


def test_more_rows_than_a_sheet_takes_go_on_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_out, "MAX_SHEET_ROWS", 3)
    book = book_of(list(many(7)))
    assert book.sheetnames == ["Orders", "Orders 2", "Orders 3"]
    assert [sheet.max_row for sheet in book] == [4, 4, 2]


def test_what_goes_out_can_come_in_again() -> None:
    out = io.BytesIO()
    write_xlsx(ORDERS, out)
    expected = [order["imei"] for order in ORDERS]
    for data in (out.getvalue(), b"".join(write_csv(ORDERS))):
        intake = read_file(data)
        assert intake.chosen.column == 1
        assert [ready.imei for ready in intake.ready] == expected


@given(st.text(max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_text_gives_a_workbook_that_can_be_read(text: str) -> None:
    value = book_of([{"imei": imei(1), "model": text}])["Orders"]["I2"].value
    kept = spreadsheets_out.NOT_XML.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    assert (value or "") == kept


KINDS = [OutColumn(kind or "text", kind or "text", 9, kind) for kind in get_args(CellKind)]
DUBAI = timezone(timedelta(hours=4))


@pytest.mark.parametrize(
    ("kind", "value", "csv_text", "cell"),
    [
        ("money", 0.08, "$0.08", (0.08, '"$"0.00##')),
        ("money", Decimal("-12.5"), "-$12.50", (-12.5, '"$"0.00##')),
        ("money", float("nan"), "", ("nan", "General")),
        ("money", "free", "free", ("free", "General")),
        ("count", 1200, "1200", (1200, "General")),
        ("count", "many", "many", ("many", "General")),
        ("day", date(2026, 11, 3), "2026-11-03", (datetime(2026, 11, 3), "yyyy-mm-dd")),
        ("day", date(1900, 12, 31), "1900-12-31", ("1900-12-31", "General")),
        ("day", "no customer", "no customer", ("no customer", "General")),
        (
            "moment",
            datetime(2026, 11, 3, 4, 5, 6, 700, tzinfo=DUBAI),
            "2026-11-03 00:05:06",
            (datetime(2026, 11, 3, 0, 5, 6), "yyyy-mm-dd hh:mm:ss"),
        ),
        ("moment", datetime(1900, 12, 31), "1900-12-31 00:00:00", ("1900-12-31 00:00:00", "General")),
        ("digits", "0035", "0035", ("0035", "@")),
        ("digits", "=1", "'=1", ("=1", "@")),
        ("text", 5, "5", ("5", "General")),
        ("text", True, "True", ("True", "General")),
    ],
)
def test_a_value_is_written_by_the_kind_of_its_column_where_it_fits(
    kind: str, value: object, csv_text: str, cell: tuple[object, str]
) -> None:
    columns = tuple(column for column in KINDS if column.key == kind)
    [_, row] = csv.reader(io.StringIO(b"".join(write_csv([{kind: value}], columns)).decode("utf-8-sig")))
    assert row == [csv_text]
    found = book_of([{kind: value}], columns=columns).worksheets[0]["A2"]
    assert (found.value, found.number_format) == cell


def test_sheets_of_plain_values_keep_their_types_and_run_nothing() -> None:
    cells = [
        None,
        "",
        True,
        7,
        10**11 - 1,
        10**11,
        2.5,
        "=1+1",
        datetime(2026, 11, 3, 8, 5, 6, 9, tzinfo=DUBAI),
        OutCell("x", "good"),
    ]
    shown = [OutCell("IMEI", "title"), OutCell("0035", "digits"), OutCell("bad", "no such tone"), "a\r\nb\x00"]
    tables = [
        OutTable("Stock/1", hidden=False, rows=[(2, cells), (5, shown)], widths=[18.0, 9.5]),
        OutTable("stock 1", hidden=True, rows=()),
        OutTable("''", hidden=False, rows=[(1, ["only"])]),
        OutTable("x" * 40, hidden=False, rows=()),
        OutTable("X" * 31, hidden=False, rows=()),
    ]
    out = io.BytesIO()
    write_tables(out, tables, {"good": ("E1F3E9", "14683F")})
    book = openpyxl.load_workbook(out)
    assert book.sheetnames == ["Stock 1", "stock 1 2", "Sheet", "x" * 31, f"{'X' * 27} 2"]
    assert [sheet.sheet_state for sheet in book.worksheets] == ["visible", "hidden", *["visible"] * 3]
    sheet = book.worksheets[0]
    values = [cell.value for cell in sheet[2]][2:]
    assert values == [True, 7, 10**11 - 1, str(10**11), 2.5, "=1+1", datetime(2026, 11, 3, 4, 5, 6), "x"]
    assert [cell.data_type for cell in sheet[2]][2:] == ["b", "n", "n", "s", "n", "s", "d", "s"]
    assert (sheet["J2"].fill.fgColor.rgb, sheet["J2"].font.color.rgb) == ("FFE1F3E9", "FF14683F")
    assert [cell.value for cell in sheet[5]][:4] == ["IMEI", "0035", "bad", "a\nb"]
    assert (sheet["A5"].font.b, sheet["B5"].number_format) == (True, "@")
    assert [cell.value for cell in sheet[1]] == [None] * 10
    assert [round(sheet.column_dimensions[letter].width) for letter in "AB"] == [19, 10]


def test_rejects_are_listed_by_row_with_their_reasons() -> None:
    rows = ["IMEI", imei(1), '=HYPERLINK("x")', wrong(2), imei(1), "n/a"]
    text = rejects_csv(read_file("\n".join(rows).encode())).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[:3] for row in read] == [
        ["ROW", "VALUE", "KIND"],
        ["3", '\'=HYPERLINK("x")', "not_an_imei"],
        ["4", wrong(2), "luhn_failed"],
        ["5", imei(1), "repeated"],
        ["6", "n/a", "not_an_imei"],
    ]
    assert read[3][3] == "Already in row 2."
    assert all(row[3].endswith(".") for row in read[1:])


def test_file_names_say_what_they_are() -> None:
    moment = datetime(2026, 11, 23, 23, 10, tzinfo=timezone(timedelta(hours=1)))
    named = export_name(41, "November Stock!", "results", moment)
    assert named == "batch-41_november-stock_results_20261123T2210Z"
    hostile = export_name(7, '../../"\r\n', "rejects", datetime(2026, 1, 2, tzinfo=UTC))
    assert hostile == "batch-7_imeis_rejects_20260102T0000Z"


def test_thirty_thousand_orders_go_to_excel_in_little_memory(
    tmp_path: Path, require: Callable[[str], NoReturn]
) -> None:
    """A process of its own writes them; its peak stays under 60 MB."""
    if not Path("/proc/self/status").exists():
        require("/proc/self/status is missing, which has the peak memory of a process")
    script = (
        "import re, sys, pathlib\n"
        "from spreadsheets import write_xlsx\n"
        "row = {'imei': '350000000079190', 'model': 'iPhone 12', 'result_code_display': 'Model: iPhone 12 ' * 8}\n"
        "write_xlsx((row for _ in range(30_000)), sys.argv[1])\n"
        "print(re.search('VmHWM:[ \\t]*([0-9]+)', pathlib.Path('/proc/self/status').read_text())[1])\n"
    )
    target = tmp_path / "big.xlsx"
    command = [sys.executable, "-c", script, str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 60 * 1024
    assert zipfile.is_zipfile(target)
