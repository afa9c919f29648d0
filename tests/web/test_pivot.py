"""The table of results as a page with links into the history, and as files."""

import io
import re
from datetime import datetime

import openpyxl
import pytest
from simulated_provider import imeis
from sqlalchemy import insert, update
from web_client import Browser, order_batch, words
from web_scenes import csv_rows

from database import IMEIDatabase
from schema import batches, orders


@pytest.fixture(name="batch")
def batch_fixture(database: IMEIDatabase) -> int:
    """Twelve results: of a batch of the customer Acme those of February."""
    batch = order_batch(database, imeis(1))
    rows = [
        {
            "imei": imei,
            "order_id": str(place),
            "status": "Completed",
            "verdict": "pass",
            "order_date": datetime(2026, 1 + place % 2, 28),
            "batch_id": batch if place % 2 else None,
            "service_name": "All checks",
            "service_id": "1739",
            "model": ("iPhone 12", "Galaxy S21")[place % 3 == 0],
            "carrier": ("AT&T", "=cmd()", None)[place % 3],
            "simlock": ("Locked", "Unlocked", None, "SIM Unlocked")[place % 4],
        }
        for place, imei in enumerate(imeis(12, 50))
    ]
    with database.write() as connection:
        connection.execute(update(batches).values(customer="Acme"))
        connection.execute(orders.delete())
        connection.execute(insert(orders), rows)
    return batch


def test_the_cells_lead_to_their_orders_in_the_history(browser: Browser, batch: int) -> None:
    page = browser.get("/reports/pivot?month=all")
    assert "All orders: 12 results" in words(page)
    assert "All 12 6 3 3" in words(page)
    links = re.findall(r'href="(/history\?[^"]+)">([\d,]+)</a>', page.text)
    assert len(links) > 8
    for link, count in links:
        found = browser.get(link.replace("&amp;", "&"))
        many = f"{count} order" + ("s match" if count != "1" else " matches")
        assert f"{many} this filter" in words(found), link
    of_batch = browser.get(f"/reports/pivot?month=2026-02&batch={batch}&rows=service&then=&columns=verdict")
    usual = f"since=2026-02-01&amp;until=2026-02-28&amp;status=Completed&amp;batch={batch}"
    assert f"/history?service=1739&amp;verdict=pass&amp;{usual}" in of_batch.text
    of_customer = browser.get("/reports/pivot?month=all&customer=Acme")
    assert "6 results for Acme" in words(of_customer)
    assert "/history?" not in of_customer.text
    assert "No results in this period" in words(browser.get("/reports/pivot?month=2026-01&customer=Acme"))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("rows=colour", "not by “colour”"),
        ("rows=model&then=model", "Choose different fields"),
        ("rows=model&then=carrier&columns=fmi", "combined with the SIM lock only"),
        ("batch=x", "“x” is not a batch number"),
        ("month=soon", "“soon” is not a month"),
    ],
)
def test_a_table_of_what_cannot_be_read_is_an_error(browser: Browser, query: str, reason: str) -> None:
    answer = browser.get(f"/reports/pivot?{query}")
    assert answer.status_code == 400
    assert reason in words(answer)
    assert browser.get(f"/reports/pivot.xlsx?{query}").status_code == 400


@pytest.mark.usefixtures("batch")
def test_the_files_have_every_line_with_real_numbers_and_no_formula(browser: Browser) -> None:
    query = "month=all&rows=model&then=simlock&columns=carrier"
    rows = csv_rows(browser.get(f"/reports/pivot.csv?{query}"))
    assert list(rows[0]) == ["MODEL", "SIM LOCK", "'=cmd()", "AT&T", "Not reported", "TOTAL"]
    assert sum(int(row["TOTAL"]) for row in rows) == 12
    answer = browser.get(f"/reports/pivot.xlsx?{query}")
    assert "results-by-model-simlock-carrier_all.xlsx" in answer.headers["Content-Disposition"]
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).worksheets[0]
    assert sheet["C1"].value == "=cmd()"
    assert sheet["C1"].data_type == "s"
    found = list(sheet.iter_rows(min_row=2, values_only=True))
    assert sum(row[-1] for row in found if isinstance(row[-1], int)) == 12
    assert found[0][:2] == ("iPhone 12", "Unlocked")
