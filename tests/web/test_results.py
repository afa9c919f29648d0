"""What people do with results on the pages: ask for them, take them away, bring them back."""

import csv
import io
import json
import re
import time
from dataclasses import asdict
from datetime import datetime
from io import BytesIO

import openpyxl
import pytest
from simulated_provider import imeis
from sqlalchemy import insert, update
from stored_orders import all_orders
from web_client import SERVICES, Browser, answer_chunks, words
from werkzeug.test import TestResponse

from database import IMEIDatabase, utc_now
from orders import Outcome
from results import sync as order_sync
from schema import orders
from settings import Settings
from spreadsheets.writing import EXTENDED_COLUMNS
from storage.order_queries import statistics
from web import downloads as web_downloads


def test_the_history_page_has_a_button_that_asks_for_results(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.post("/history/sync?status=Pending").location == "/history?status=Pending"
    assert order_sync.is_requested(database)
    assert browser.get("/status").status_code == 200


def test_a_batch_has_the_button_too_while_results_are_pending(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(3))
    form = f'action="/batches/{batch_id}/results" data-refresh'
    assert f"{form} hidden>" in browser.get(f"/batches/{batch_id}").text
    answer_chunks(database)
    assert f"{form}>" in browser.get(f"/batches/{batch_id}").text
    assert browser.post(f"/batches/{batch_id}/results").location == f"/batches/{batch_id}"
    assert order_sync.is_requested(database)
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed"))
    assert f"{form} hidden>" in browser.get(f"/batches/{batch_id}").text
    assert not browser.get(f"/batches/{batch_id}/progress.json").get_json()["awaited"]
    assert "data-sync-now hidden>" in browser.get("/history").text


def test_the_history_says_whether_results_are_asked_for_and_what_came(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.get("/history/sync.json").json == {"asking": False, "words": "", "pending": 0}
    browser.post("/history/sync")
    state = browser.get("/history/sync.json").json
    assert state is not None
    assert state["asking"]
    assert "as soon as a runner is active" in words(browser.get("/history"))
    wish = database.get_setting(order_sync.REQUESTED)
    assert wish is not None
    report = order_sync.SyncReport(asked=30, updated=12, pending=18, error="It is in maintenance.", at=time.time())
    database.set_setting(order_sync.LAST, json.dumps(asdict(report)))
    database.set_setting(order_sync.DONE, wish)
    told = "Results last requested just now: 12 of 30 orders updated, 18 still pending. It is in maintenance."
    assert browser.get("/history/sync.json").json == {"asking": False, "words": told, "pending": 0}
    assert told in words(browser.get("/history"))
    assert told in words(browser.get("/status"))


def test_a_page_is_sent_only_the_orders_that_are_no_longer_as_it_shows_them(
    browser: Browser, database: IMEIDatabase
) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    page = browser.get("/history").text
    seen = re.findall(r'data-seen="([^"]+)"', page)
    assert len(seen) == 3
    query = "&".join(f"seen={one}" for one in seen)
    assert browser.get(f"/history/rows?{query}").text.strip() == ""
    order = database.get_orders_by_imei(imeis(3)[1])[0]
    single = f"/orders/{order['order_id']}"
    assert browser.get(f"{single}/result?seen={order['id']}:Pending").text == ""
    with database.write() as connection:
        done = {"status": "Completed", "carrier": "Vodafone"}
        connection.execute(update(orders).where(orders.c.id == order["id"]).values(done))
    rows = browser.get(f"/history/rows?{query}").text
    assert re.findall(r'data-order="(\d+)"', rows) == [str(order["id"])]
    assert "Vodafone" in rows
    assert "data-seen" not in rows
    result = browser.get(f"{single}/result?seen={order['id']}:Pending").text
    assert "Vodafone" in result
    assert "data-seen" not in result


@pytest.mark.parametrize("seen", ["", "1", "x:Pending", "1:a:b", f"{'9' * 40}:Pending"])
def test_what_no_page_shows_is_not_answered(browser: Browser, database: IMEIDatabase, seen: str) -> None:
    browser.start(imeis(1))
    answer_chunks(database)
    answer = browser.get("/history/rows", query_string={"seen": seen})
    assert (answer.status_code, answer.text.strip()) == (200, "")


def test_the_preview_of_a_recheck_shows_what_other_services_said(browser: Browser, database: IMEIDatabase) -> None:
    """Of each IMEI the newest result, also where this service was never asked; what is sent stays the same."""
    with database.write() as connection:
        old = {"imei": imeis(1)[0], "service_id": "269", "service_name": "T-Mobile Status", "status": "Completed"}
        for order_id, carrier in (("1", "Sprint"), ("2", "T-Mobile")):
            connection.execute(insert(orders).values(old | {"order_id": order_id, "carrier": carrier}))
        connection.execute(insert(orders).values(old | {"order_id": "3", "status": "Rejected", "carrier": "none"}))
    text = words(browser.get(browser.paste(imeis(2))))
    assert "1 IMEI has a result of another service" in text
    assert "T-Mobile Status T-Mobile" in text
    assert "Sprint" not in text
    assert "IMEIs to send 2" in text
    assert "another service" not in words(browser.get(browser.paste(imeis(2, 700))))


EXPORT = (
    b"SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE\r\n"
    b"Old service,353370080089458,$0.08,Completed,Model: <b>iPhone</b>,,T-Mobile,Locked,iPhone,ON,2025-11-14 3:33\r\n"
    b"Old service,hello,$0.08,Completed,,,,,,,2025-11-14 3:33:00\r\n"
)


def test_an_odd_order_id_still_leads_to_its_order(browser: Browser, database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "15 #7?<b>&", "imei": imeis(1)[0], "status": "Pending"})
    link = re.search(r'<td><a href="(/orders/[^"]+)">', browser.get("/history").text)
    assert link is not None
    page = browser.get(link[1])
    assert page.status_code == 200
    assert "15 #7?&lt;b&gt;&amp;" in page.text


def bring(browser: Browser, data: bytes, name: str = "export.csv") -> TestResponse:
    return browser.post("/database/import", {"file": (BytesIO(data), name)})


def test_an_import_is_shown_then_done_then_undone(browser: Browser, database: IMEIDatabase) -> None:
    shown = bring(browser, EXPORT).location
    text = words(browser.get(shown))
    assert "1 new 0 updated 0 unchanged 1 not understood" in text
    assert "'hello' is not an IMEI" in text.replace("&#34;", "'")
    assert database.count_orders() == 0
    assert browser.post(shown).location == "/database"
    assert "Import 1: 1 new, 0 updated, 0 unchanged, 1 not understood." in words(browser.get("/database"))
    browser.post(shown)
    assert database.count_orders() == 1
    browser.post("/database/import/1/undo")
    assert "Import 1 is undone: 1 order restored" in words(browser.get("/database"))
    assert database.count_orders() == 0


def test_rows_that_are_not_matched_are_listed_before_and_after_the_import(
    browser: Browser, database: IMEIDatabase
) -> None:
    [imei] = imeis(1)
    more = {"service_name": "Old service", "credits": 0.08, "order_date": datetime(2025, 11, 14, 8, 33)}
    database.insert_order({"order_id": "1", "imei": imei, "status": "Pending", **more})
    titles, *_ = EXPORT.splitlines()
    line = f"Old service,{imei},$0.08,Completed,Model: iPhone,,T-Mobile,Locked,iPhone,ON,2025-11-14 "
    shown = bring(browser, b"\n".join([titles, f"{line}3:33:00".encode(), f"{line}1:33:00".encode()])).location
    text = words(browser.get(shown))
    assert "0 new 1 updated 0 unchanged 0 not understood 1 not matched" in text
    assert "1 row without an order id matched with recorded orders" in text
    assert "Import 1 order" in text
    done = browser.post(shown).location
    after = words(browser.get(done))
    assert "Import 1: 0 new, 1 updated, 0 unchanged, 0 not understood, 1 not matched; 1 found by IMEI" in after
    for page in (text, after):
        assert f"3 {imei[:2]}" in page and "within 36 hours of it are matched with row 2." in page
    assert "Import 1 is complete." in after and "Nothing has been saved" not in after
    assert (database.count_orders(), statistics(database).total_credits) == (1, 0.08)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"IMEI\n353370080089458\n", "not an export of orders"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_a_file_that_is_no_export_gets_a_sentence(browser: Browser, data: bytes, sentence: str) -> None:
    assert bring(browser, data).location == "/database"
    assert sentence in words(browser.get("/database"))


def test_an_import_needs_a_token(browser: Browser, database: IMEIDatabase) -> None:
    shown = bring(browser, EXPORT).location
    assert browser.client.post(shown).status_code == 400
    assert browser.client.post("/database/import").status_code == 400
    assert browser.get("/database/import/unknown").status_code == 404
    assert database.count_orders() == 0


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


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 60),
        ("carrier=T-Mobile", 30),
        ("fmi=ON&status=Rejected", 10),
        ("since=2026-01-02&until=2026-01-03", 6),
        ("mismatch=1", 6),
        ("q=1005", 1),
        ("service=269&carrier=AT%26T", 30),
    ],
)
def test_an_export_holds_exactly_what_the_filter_shows(
    browser: Browser, database: IMEIDatabase, query: str, count: int
) -> None:
    ordered(database, 60)
    assert len(csv_rows(browser.get(f"/history.csv?{query}"))) == count
    sheet = openpyxl.load_workbook(BytesIO(browser.get(f"/history.xlsx?{query}").data)).active
    assert sheet
    assert sheet.max_row == count + 1


def test_a_workbook_has_real_dates_and_blacklist_serial_and_order_id(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    for path in ("/history.xlsx", "/history.xlsx?format=extended"):
        sheet = openpyxl.load_workbook(BytesIO(browser.get(path).data)).active
        assert sheet
        titles = [cell.value for cell in sheet[1]]
        row = {title: cell.value for title, cell in zip(titles, sheet[2], strict=True)}
        assert {"BLACKLIST", "VERDICT", "SERIAL", "ORDER ID"} <= set(titles)
        assert row["ORDER DATE"] == datetime(2026, 1, 3, 12)
        assert (row["SERIAL"], row["ORDER ID"]) == ("F4GK00000002", "1002")
        assert sheet.auto_filter.ref


def test_a_file_that_changes_nothing_offers_no_import_of_0_orders(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    export = browser.get("/history.csv?format=extended").data
    page = browser.led_back(browser.post("/database/import", {"file": (BytesIO(export), "orders.csv")}))
    assert "There is nothing to import: none of the 3 rows is new" in words(page)
    assert "Import 0 orders" not in words(page)


def test_an_imei_is_found_by_its_second_number(browser: Browser, database: IMEIDatabase) -> None:
    numbers = ordered(database, 10)
    found = csv_rows(browser.get(f"/history.csv?q={numbers[2]}"))
    assert {row["IMEI NO."] for row in found} == {numbers[2], numbers[7]}


def test_the_history_counts_results_about_another_imei(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 30)
    assert "3 results about another IMEI" in words(browser.get("/history"))


def test_the_extended_format_says_all_that_is_known(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    [_, _, row] = csv_rows(browser.get("/history.csv?format=extended"))
    assert list(row) == [column.title for column in EXTENDED_COLUMNS]
    assert (row["ORDER ID"], row["SERIAL"], row["OUTCOME"]) == ("1000", "F4GK00000000", "ordered")


def test_a_batch_is_exported_extended_with_what_was_not_ordered(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(4)
    browser.start(numbers)
    refuse = (Outcome.REFUSED, "no such phone")
    answer_chunks(database, lambda imei: refuse if imei == numbers[1] else (Outcome.ORDERED, ""))
    rows = csv_rows(browser.get("/batches/1/results.csv?format=extended"))
    assert [row["OUTCOME"] for row in rows] == ["ordered", "refused", "ordered", "ordered"]
    assert rows[1]["ERROR"] == "no such phone"
    assert {row["BATCH"] for row in rows} == {"1"}
    assert all(row["ORDER ID"] for row in rows if row["OUTCOME"] == "ordered")
    again = bring(browser, browser.get("/batches/1/results.csv?format=extended").data).location
    assert "0 new 0 updated 3 unchanged 1 not understood" in words(browser.get(again))


def test_a_long_workbook_is_built_in_the_background(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 60)
    monkeypatch.setattr(web_downloads, "AT_ONCE", 50)
    page = browser.get("/history.xlsx").location
    until = time.monotonic() + 10
    while "Ready to download" not in words(browser.get(page)) and time.monotonic() < until:
        time.sleep(0.05)
    assert "Ready to download: 60 rows." in words(browser.get(page))
    sheet = openpyxl.load_workbook(BytesIO(browser.get(f"{page}/file").data)).active
    assert sheet
    assert sheet.max_row == 61
    assert browser.get("/exports/unknown").status_code == 404
    assert browser.get("/exports/..%2Fsecret").status_code == 404


def test_an_export_that_died_says_so(browser: Browser, settings: Settings) -> None:
    folder = settings.data_dir / "exports"
    folder.mkdir()
    state = {"token": "a1", "name": "x.xlsx", "total": 9, "rows": 4, "at": 0}
    (folder / "a1.json").write_text(json.dumps(state))
    assert "The export was interrupted. Start it again." in words(browser.get("/exports/a1"))
    assert browser.get("/exports/a1/file").status_code == 303


def test_the_orders_of_a_filter_are_checked_again_by_way_of_the_preview(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 60)
    database.insert_order(
        {"order_id": "7", "imei": imeis(1)[0], "service_id": "1739", "status": "Completed", "order_date": utc_now()}
    )
    shown = browser.post("/history/recheck?fmi=ON", {"service_id": "1739"}).location
    text = words(browser.get(shown))
    assert "30 ready" in text
    assert "Nothing has been sent." in text
    one = browser.post("/history/recheck", {"service_id": "1739", "imei": imeis(1)[0]}).location
    assert "sent and paid again" in words(browser.get(one))
    started = browser.confirm(one)
    assert started.location == "/batches/1"
    answer_chunks(database, lambda imei: (Outcome.DUPLICATE, "IMEI already exists!"))
    assert "IMEI already exists!" in words(browser.get("/batches/1"))


def test_the_imeis_of_a_batch_with_find_my_on_are_checked_again(browser: Browser, database: IMEIDatabase) -> None:
    """However the provider words it, and of this batch only; the preview says what is known and how old it is."""
    before = utc_now()
    numbers = imeis(6)
    browser.start(numbers[:5])
    answer_chunks(database)
    said = ["ON", "Enabled", "OFF", "Lost Mode", "Not found"]
    order_of = {order["imei"]: order["order_id"] for order in all_orders(database)}
    for imei, fmi in zip(numbers, said, strict=False):
        database.update_order_status(order_of[imei], "Completed", {"fmi": fmi, "model": "iPhone 12"})
    database.insert_order({"order_id": "7", "imei": numbers[5], "status": "Completed", "fmi": "ON"})
    shown = browser.post("/history/recheck?batch=1&fmi=ON", {"service_id": SERVICES[0].package_id}).location
    text = words(browser.get(shown))
    assert "3 ready" in text
    assert "3 IMEIs with a result: sent and paid again" in text
    assert "Completed iPhone 12 · FMI Lost Mode" in text
    assert any(f"{day:%d %b %Y}" in text for day in (before, utc_now()))
    assert database.count_orders() == 6


@pytest.mark.parametrize(("query", "service"), [("serial=NONE", "1739"), ("", "404"), ("", ""), ("", "102")])
def test_nothing_is_checked_again_without_orders_or_a_service(
    browser: Browser, database: IMEIDatabase, query: str, service: str
) -> None:
    ordered(database, 10)
    assert browser.post(f"/history/recheck?{query}", {"service_id": service}).location.startswith("/history")
    assert browser.get("/orders/1001").status_code == 200


def test_spend_is_summed_up_by_day_service_and_batch(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 60)
    assert "60 orders, $6.00" in words(browser.get("/reports"))
    by_day = csv_rows(browser.get("/reports/spend.csv?by=day"))
    assert len(by_day) == 20
    counts = {"ORDERS": "3", "COMPLETED": "2", "REJECTED": "1", "PASS": "0", "REVIEW": "0", "FAIL": "0"}
    assert by_day[0] == {"KEY": "2026-01-20", **counts, "SPENT": "$0.30"}
    assert [row["SPENT"] for row in csv_rows(browser.get("/reports/spend.csv?by=service"))] == ["$6.00"]
    assert [row["ORDERS"] for row in csv_rows(browser.get("/reports/spend.csv?by=batch&since=2026-01-20"))] == ["3"]
    assert browser.get("/reports?by=colour").status_code == 400


@pytest.mark.parametrize("query", ["since=2026-02-30", "by=week", "by=batch&since=soon"])
def test_a_report_of_what_cannot_be_read_is_an_error_and_not_one_of_everything(browser: Browser, query: str) -> None:
    for page in ("/reports", "/reports/spend.csv"):
        assert browser.get(f"{page}?{query}").status_code == 400
    assert browser.get("/reports/disputes?kind=lost").status_code == 400
    assert "“soon” is not a date" in words(browser.get("/reports?since=soon"))


def test_the_findings_of_a_batch_are_counted(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(4))
    answer_chunks(database)
    for n, order in enumerate(all_orders(database)):
        result = {"carrier": "T-Mobile" if n else "AT&T", "fmi": "ON", "simlock": "Locked"}
        database.update_order_status(order["order_id"], "Completed", result)
    assert "T-Mobile 3" in words(browser.get("/batches/1/findings"))
    rows = csv_rows(browser.get("/batches/1/findings.csv"))
    assert {"FIELD": "carrier", "VALUE": "AT&T", "ORDERS": "1"} in rows
    assert {"FIELD": "blacklist", "VALUE": "", "ORDERS": "4"} in rows


def test_the_disputes_name_what_was_rejected_in_doubt_or_about_another_imei(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 30)
    doubtful = imeis(2, 500)
    browser.start(doubtful)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "no answer"))
    rows = csv_rows(browser.get("/reports/disputes.csv"))
    assert sum(row["STATUS"] == "In doubt" for row in rows) == 2
    assert sum(row["WHY"].startswith("The result is about IMEI") for row in rows) == 3
    assert sum(row["STATUS"] == "Rejected" for row in rows) == 10
    assert all(row["ORDER ID"] for row in rows if row["STATUS"] != "In doubt")
    first = words(browser.get("/reports/disputes"))
    assert "2 in doubt 3 about another IMEI 10 rejected" in first
    assert all(f"{imei} " in first for imei in doubtful)
    assert "no answer" in first
    assert words(browser.get("/reports/disputes?kind=mismatched")).count("The result is about IMEI") == 3
    rejected = browser.get("/reports/disputes?kind=rejected").text
    assert all(f"/orders/{row['ORDER ID']}" in rejected for row in rows if row["WHY"] == "Rejected")
