"""A million orders leave as CSV, fifty thousand as Excel, 20,000 in the user's own sheet: time and memory.

Each export runs in a process of its own on one temporary database; the peak is its own, or of a user's own sheet that
of the child process which changes it.
"""

import json
import resource
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import xlsxwriter
from sqlalchemy import insert

from benchmarks.measuring import kilobytes, measured_apart, with_check_digit
from database import IMEIDatabase
from schema import orders
from spreadsheets import SHEET_COLUMNS, TONES
from spreadsheets.writing import write_csv, write_xlsx
from storage import order_filters
from storage.order_terms import OrderFilter
from workbooks import AddedRow, Addition, add_columns

ORDERS, PHONES = 1_000_000, 20_000
PART = 10_000


def run() -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.db"
        stock = Path(folder) / "stock.xlsx"
        write_stock(stock)
        fill(path, ORDERS)
        return [
            ("My sheet, 20,000 rows of 8 columns", _measure("sheet", stock, ""), "< 10 s, < 150 MB"),
            ("History as CSV, 100,000 orders", _measure("csv", path, "AT&T"), "as 1,000,000 orders"),
            ("History as CSV, 1,000,000 orders", _measure("csv", path, ""), "< 100 MB"),
            ("History as XLSX, 50,000 orders, at once", _measure("xlsx", path, "Verizon"), "< 30 s, < 100 MB"),
        ]


def fill(path: Path, count: int) -> None:
    """A database of this many completed orders; a tenth of them of AT&T, a twentieth of Verizon."""
    with IMEIDatabase(path) as database:
        for start in range(0, count, PART):
            with database.write() as connection:
                connection.execute(insert(orders), [_order(number) for number in range(start, start + PART)])


def write_stock(path: Path) -> None:
    """Write a workbook of PHONES rows and 8 columns: numbers, texts, prices and dates."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Stock")
        price, day = book.add_format({"num_format": '"$"0.00'}), book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["No", "IMEI", "Model", "Colour", "Grade", "Price", "Supplier", "Received"])
        for number in range(1, PHONES + 1):
            sheet.write_row(number, 0, [number, _order(number)["imei"], f"iPhone 12 {number % 50}", "Black", "AB"])
            sheet.write_number(number, 5, 199.5 + number % 7, price)
            sheet.write_string(number, 6, f"Supplier {number % 900}")
            sheet.write_datetime(number, 7, datetime(2026, 1, 1) + timedelta(days=number % 300), day)


def _add_results(path: Path) -> int:
    """Add a full set of results to each row of a workbook, and return the rows."""
    values = ("Pass", "iPhone 12 128GB Black", "T-Mobile USA", "Unlocked", "OFF", "Clean", "350000000000017")
    more = ("DNPXK0000000", "Completed", datetime(2026, 11, 1, 12, 30), "15000000", "")
    rows = (AddedRow(number, (*values, *more), "pass") for number in range(2, PHONES + 2))
    with tempfile.TemporaryFile() as out:
        add_columns(path.read_bytes(), Addition("Stock", 1, SHEET_COLUMNS, rows, TONES), out, lambda rows: None)
    return PHONES


def _order(number: int) -> dict[str, object]:
    place = number % 20
    return {
        "order_id": str(15_000_000 + number),
        "imei": with_check_digit(f"35{number * 7_919:012d}"),
        "service_name": "Apple iPhone IMEI Carrier + Simlock + FMI",
        "service_id": "1739",
        "credits": 0.08,
        "status": "Completed" if number % 50 else "Rejected",
        "order_date": datetime(2026, 1, 1) + timedelta(seconds=number * 20),
        "carrier": "AT&T" if place < 2 else "Verizon" if place == 2 else "T-Mobile",
        "simlock": "Locked",
        "model": "iPhone 12",
        "fmi": "ON" if number % 3 else "OFF",
        "result_code_display": "Model: iPhone 12\nCarrier: T-Mobile USA\nSIM Lock: Locked\nFind My iPhone: ON",
    }


def _measure(kind: str, path: Path, carrier: str) -> str:
    measured = measured_apart("bench_exports", kind, path, carrier)
    return f"{measured['rows']:,} rows, {measured['seconds']:.1f} s, peak {measured['peak'] / 1024:.0f} MB"


def _child(kind: str, path: Path, carrier: str) -> None:
    started = time.perf_counter()
    if kind == "sheet":
        count = _add_results(path)
        _report(count, started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        return
    with IMEIDatabase(path) as database, tempfile.TemporaryFile() as out:
        rows = (order._asdict() for order in order_filters.walk(database, OrderFilter(carrier=carrier)))
        if kind == "csv":
            count = -1
            for block in write_csv(rows):
                count += block.count(b"\r\n")
        else:
            count = write_xlsx(rows, out).rows
    _report(count, started, kilobytes())


def _report(rows: int, started: float, peak: int) -> None:
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started, "peak": peak}))


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
