"""A million orders leave as CSV and fifty thousand as Excel: how fast, and in how much memory.

Each export runs in a process of its own on one temporary database; the peak is the kernel's VmHWM.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from database import IMEIDatabase
from imei import check_digit_of
from schema import orders
from spreadsheets.writing import write_csv, write_xlsx
from storage import order_filters
from storage.order_filters import OrderFilter

ROOT = Path(__file__).parents[1]
ORDERS, FEW = 1_000_000, 50_000
PART = 10_000


def run() -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.db"
        fill(path, ORDERS)
        return [
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


def _order(number: int) -> dict[str, object]:
    body = 35 * 10**12 + number * 7_919
    place = number % 20
    return {
        "order_id": str(15_000_000 + number),
        "imei": f"{body * 10 + check_digit_of(body):015d}",
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
    command = [sys.executable, "-m", "benchmarks.bench_exports", kind, str(path), carrier]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return f"{measured['rows']:,} rows, {measured['seconds']:.1f} s, peak {measured['peak'] / 1024:.0f} MB"


def _child(kind: str, path: Path, carrier: str) -> None:
    started = time.perf_counter()
    with IMEIDatabase(path) as database, tempfile.TemporaryFile() as out:
        rows = (order._asdict() for order in order_filters.walk(database, OrderFilter(carrier=carrier)))
        if kind == "csv":
            count = -1
            for block in write_csv(rows):
                count += block.count(b"\r\n")
        else:
            count = write_xlsx(rows, out).rows
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    seconds = time.perf_counter() - started
    print(json.dumps({"rows": count, "seconds": seconds, "peak": int(peak[1]) if peak else 0}))


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
