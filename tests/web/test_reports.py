"""The spend as a page, as files and as a report for printing."""

import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from sqlalchemy import insert, update
from web_client import Browser, order_batch, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase
from schema import batches, orders
from storage.order_reports import Totals
from web.reports import change, figures


def store(database: IMEIDatabase, rows: Iterable[dict[str, Any]]) -> None:
    """Store orders with these values among those of a completed one."""
    usual = {
        "batch_id": None,
        "imei": "353000000000003",
        "service_name": "A",
        "service_id": "269",
        "status": "Completed",
        "credits": 0.1,
    }
    with database.write() as connection:
        connection.execute(insert(orders), [usual | {"verdict": "pass"} | row for row in rows])


def workbook_rows(browser: Browser, url: str) -> list[tuple[Any, ...]]:
    answer = browser.get(url)
    assert answer.status_code == 200, words(answer)
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).worksheets[0]
    return [tuple(row) for row in sheet.iter_rows(values_only=True)]


def test_spend_is_summed_up_by_day_service_and_batch(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 60)
    assert "60 orders, $6.00" in words(browser.get("/reports"))
    by_day = csv_rows(browser.get("/reports/spend.csv?by=day"))
    assert len(by_day) == 20
    counts = {"ORDERS": "3", "COMPLETED": "2", "REJECTED": "1", "PASS": "0", "REVIEW": "0", "FAIL": "0"}
    assert by_day[0] == {"DAY": "2026-01-20", **counts, "SPENT": "$0.30", "LOST": "$0.10"}
    assert [row["SPENT"] for row in csv_rows(browser.get("/reports/spend.csv?by=service"))] == ["$6.00"]
    assert [row["ORDERS"] for row in csv_rows(browser.get("/reports/spend.csv?by=batch&since=2026-01-20"))] == ["3"]
    assert browser.get("/reports?by=colour").status_code == 400


@pytest.mark.parametrize(
    "query", ["since=2026-02-30", "by=week", "by=batch&since=soon", "month=2026-13", "since=9999-12-30",
              "since=2026-01-02&until=2026-01-01"]
)  # fmt: skip
def test_a_report_of_what_cannot_be_read_is_an_error_and_not_one_of_everything(browser: Browser, query: str) -> None:
    for page in ("/reports", "/reports/spend.csv", "/reports/spend.xlsx", "/reports/print"):
        if "week" not in query or "print" not in page:
            assert browser.get(f"{page}?{query}").status_code == 400
    assert "“soon” is not a date" in words(browser.get("/reports?since=soon"))


@pytest.mark.parametrize("day", [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59)])
def test_an_order_of_another_age_hides_no_report(browser: Browser, database: IMEIDatabase, day: datetime) -> None:
    """Earlier versions imported any date."""
    store(database, [{"order_date": day}])
    for page in ("/reports", "/reports?month=all", "/reports/spend.csv?by=day", "/reports/print"):
        assert browser.get(page).status_code == 200, page


def test_a_period_has_its_first_and_last_day_and_the_sums_of_its_orders(
    browser: Browser, database: IMEIDatabase
) -> None:
    moments = [
        datetime(2026, 1, 31, 23, 59, 59, 999999), datetime(2026, 2, 1), datetime(2026, 2, 28, 23, 59, 59), None,
        datetime(2026, 3, 1), datetime(2026, 3, 1, 12), datetime(2026, 3, 31, 23, 59, 59), datetime(2026, 4, 1),
    ]  # fmt: skip
    store(database, ({"order_date": moment, "credits": 2.0**place} for place, moment in enumerate(moments)))
    for query, spent in (
        ("month=2026-02", "2 orders, $6.00"),
        ("since=2026-02-01&until=2026-02-28", "2 orders, $6.00"),
        ("since=2026-03-01", "4 orders, $240.00"),
        ("until=2026-01-31", "1 order, $1.00"),
        ("month=all", "8 orders, $255.00"),
        ("month=2019-05", "0 orders, $0.00"),
    ):
        for page in ("/reports", "/reports/print"):
            assert spent in words(browser.get(f"{page}?{query}")), (page, query)
        for by in ("month", "service", "customer", "person", "batch"):
            rows = csv_rows(browser.get(f"/reports/spend.csv?by={by}&{query}"))
            total = sum(float(row["SPENT"].strip("$")) for row in rows)
            assert f"${total:.2f}" == spent.split()[-1], (by, query)
    march = words(browser.get("/reports?month=2026-03"))
    assert "Spent $112.00 +1,767 %" in march
    assert "Compared with February." in march
    assert "‹ Feb 2026" in march
    assert "Apr 2026 ›" in march


def test_rejections_and_customers_are_in_every_form_of_the_report(browser: Browser, database: IMEIDatabase) -> None:
    batch = order_batch(database, ["353370080000011"])
    with database.write() as connection:
        connection.execute(update(batches).values(customer="Acme", ordered_by="anna"))
        connection.execute(orders.delete())
    store(
        database,
        [
            {"batch_id": batch, "order_date": datetime(2026, 1, 5), "credits": 3.0},
            {"order_date": datetime(2026, 1, 6), "status": "Rejected", "credits": 1.5, "verdict": "review"},
            {"order_date": datetime(2026, 1, 7), "service_name": "=cmd()", "credits": 0.5, "verdict": "fail"},
        ],
    )
    page = words(browser.get("/reports?month=2026-01&by=customer"))
    assert "Lost to rejections $1.50" in page
    assert "Cost per result $2.50" in page
    assert "Acme 1 $3.00 $0.00 1 0 1 0 0 60 % No customer 2 $2.00 $1.50 1 1 0 1 1 40 % All 3 $5.00" in page
    printed = words(browser.get("/reports/print?month=2026-01"))
    assert "anna 1 $3.00 $0.00 1 0 60 %" in printed
    days = workbook_rows(browser, "/reports/spend.xlsx?month=2026-01")
    assert days[0][:4] == ("DAY", "ORDERS", "COMPLETED", "REJECTED")
    assert days[1] == (datetime(2026, 1, 7), 1, 1, 0, 0, 0, 1, 0.5, 0)
    assert days[2][-2:] == (1.5, 1.5)
    services = workbook_rows(browser, "/reports/spend.xlsx?month=2026-01&by=service")
    assert ("=cmd()", 1) in [row[:2] for row in services]
    assert csv_rows(browser.get("/reports/spend.csv?month=2026-01&by=service"))[1]["SERVICE"] == "'=cmd()"
    name = browser.get("/reports/spend.csv?month=2026-01&by=service").headers["Content-Disposition"]
    assert "spend-by-service_2026-01.csv" in name


def test_rows_lead_to_the_same_orders_in_the_history(browser: Browser, database: IMEIDatabase) -> None:
    store(database, ({"order_date": datetime(2026, 1, 5 + place % 3)} for place in range(7)))
    page = browser.get("/reports?month=2026-01").text
    assert 'href="/history?since=2026-01-05&amp;until=2026-01-05">3</a>' in page
    assert "3 orders match this filter" in words(browser.get("/history?since=2026-01-05&until=2026-01-05"))
    cut = browser.get("/reports?since=2026-01-06&by=month").text
    assert 'href="/history?since=2026-01-06&amp;until=2026-01-31">4</a>' in cut


def test_figures_are_compared_in_words() -> None:
    now, then = (Totals(n, n, n, n, n, n, n, n, rejected_cost=4.0, refunded=1.5, other_refunds=0.0) for n in (2, 4))
    found = {figure.words: (figure.value, figure.note) for figure in figures(now, then)}
    assert found["Spent"] == ("$2.00", "−50 %")
    assert found["Lost to rejections"] == ("$2.50", "after $1.50 paid back")
    assert found["Cost per result"] == ("$2.25", "+38 %")
    assert found["Pass"] == ("33 %", "was 33 %")
    assert [change(1, 0), change(0, 0), change(None, 2)] == ["was 0", "", ""]
    assert {figure.note for figure in figures(then, None)} == {"", "after $1.50 paid back"}


def test_a_chart_has_a_bar_for_each_day_or_month(browser: Browser, database: IMEIDatabase) -> None:
    store(database, ({"order_date": datetime(2026, month, 3)} for month in (1, 1, 3, 4)))
    assert browser.get("/reports?since=2026-01-01&until=2026-02-20").text.count("<g>") == 0
    store(database, ({"order_date": datetime(2026, 1, day)} for day in (4, 5)))
    january = browser.get("/reports?month=2026-01").text
    assert january.count("<g>") == 31
    assert "From $0.00 to $0.20 a day, most on Sat 03 Jan" in january
    year = browser.get("/reports?since=2026-01-01&until=2026-10-31").text
    assert year.count("<g>") == 10
    assert "<title>February 2026: 0 orders, $0.00</title>" in year
