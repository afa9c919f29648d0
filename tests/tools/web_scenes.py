"""What tests of several pages share: batches, forms and what a page shows."""

import csv
import io
import json
import re
import time
from dataclasses import replace
from datetime import datetime
from io import BytesIO

import pytest
from flask import Flask
from simulated_provider import imeis
from sqlalchemy import insert
from web_client import Browser
from werkzeug.test import TestResponse

from backend import Backend
from database import IMEIDatabase
from schema import orders
from storage import batch_queries


def bring(browser: Browser, data: bytes, name: str = "export.csv") -> TestResponse:
    return browser.post("/database/import", {"file": (BytesIO(data), name)})


def ordered(database: IMEIDatabase, count: int) -> list[str]:
    """That many completed orders; every tenth is about another IMEI."""
    numbers = imeis(count)
    rows = [
        {
            "order_id": str(1000 + n),
            "imei": imei,
            "imei2": numbers[-n - 1],
            "status": "Completed" if n % 3 else "Rejected",
            "service_name": "A",
            "service_id": "269",
            "credits": 0.1,
            "order_date": datetime(2026, 1, 1 + n % 20, 12),
            "carrier": "T-Mobile" if n % 2 else "AT&T",
            "fmi": "ON" if n % 2 else "OFF",
            "serial": f"F4GK{n:08}",
            "other_imei": "350000000000014" if n % 10 == 0 else None,
        }
        for n, imei in enumerate(numbers)
    ]
    with database.write() as connection:
        connection.execute(insert(orders), rows)
    return numbers


def csv_rows(answer: TestResponse) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def csv_of(numbers: list[str]) -> bytes:
    return ("Stock,,\nIMEI,Model\n" + "".join(f"{n},iPhone\n" for n in numbers)).encode()


def batch_count(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return len(batch_queries.under_way_and_recent(connection, 1000)[1])


def with_settings(app: Flask, **changed: object) -> Browser:
    """A browser on the same database under other settings."""
    backend: Backend = app.extensions["backend"]
    app.extensions["backend"] = replace(backend, settings=replace(backend.settings, **changed))  # type: ignore[arg-type]
    return Browser(app)


def aged(database: IMEIDatabase, seconds: float) -> None:
    """Let the stored service list be so old."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE services SET refreshed_at = ?", (time.time() - seconds,))


def events_of(text: str) -> list[tuple[str, str, dict[str, object]]]:
    """(id, name, data) of each event."""
    found = re.findall(r"id: (\d+)\nevent: (\w+)\ndata: (.+)\n\n", text)
    return [(number, name, json.loads(data)) for number, name, data in found]


def headings(page: str) -> list[str]:
    """The headings of a list of orders, without that of the boxes."""
    head = page[page.index("<thead>") : page.index("</thead>")]
    return [re.sub(r"<[^>]+>", "", one).strip() for one in re.findall(r"<th [^>]*>(.*?)</th>", head, re.DOTALL)][1:]


def choose_columns(browser: Browser, shown: list[str], which: str = "history", **more: str) -> str:
    """Send the form of the columns of a list; return the address that it leads to."""
    answer = browser.post("/history/columns", {"list": which, "shown": shown, "next": "/history?fmi=ON", **more})
    assert answer.status_code == 303
    return answer.location
