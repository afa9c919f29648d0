"""The pages around the batches: dashboard, history, services, database, health, errors, and a crawl."""

import csv
import io
import json
import re
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from batch_checks import locked_by_another_program
from flask import Flask
from simulated_provider import imeis
from stored_orders import all_orders
from web_client import SERVICES, Browser, Provider, answer_chunks, make_app, order_batch, words

from account.answerer import LocalProvider, Questions
from account.catalogue import AccountBalance, ServiceCatalog
from account.state import provider_state
from database import IMEIDatabase, utc_now
from orders import Outcome, ServiceInfo
from settings import Settings
from storage import balance_store, lease
from storage.batch_creation import NewBatch, create_batch
from storage.result_store import Withheld, note_withheld
from web import checks as web_checks
from web import doubt as web_doubt
from web import imports as web_imports
from web_app import create_app

PAGES = ("/", "/submit", "/batch", "/batches", "/history", "/services", "/database", "/status")


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens_empty_and_says_demo(browser: Browser, page: str) -> None:
    answer = browser.get(page)
    assert answer.status_code == 200
    assert "Demo: nothing is charged." in words(answer)


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens_while_the_provider_is_down(browser: Browser, provider: Provider, page: str) -> None:
    provider.down = True
    assert browser.get(page).status_code == 200


def test_importing_the_module_opens_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(create_app)
    assert list(tmp_path.iterdir()) == []


def test_the_empty_dashboard_leads_to_the_first_batch(browser: Browser) -> None:
    text = words(browser.get("/"))
    assert "No orders yet" in text
    assert "Start first batch" in text


def test_the_dashboard_shows_balance_orders_and_doubt(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(3))
    text = words(browser.get("/"))
    assert "$150.00" in text
    assert "Ordered today 3" in text
    assert "Spent today $0.24" in text


def test_the_dashboard_says_of_how_many_results_it_speaks(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(1))
    order_id = database.get_orders_by_imei(imeis(1)[0])[0]["order_id"]
    assert order_id
    database.update_order_status(order_id, "Completed", {"carrier": "T-Mobile"})
    assert "The newest results, 2,000 at most" in words(browser.get("/"))


def test_health_is_200_and_asks_nobody(browser: Browser, provider: Provider) -> None:
    answer = browser.get("/health")
    assert answer.status_code == 200
    assert provider.asked == 0
    body = answer.get_json()
    assert body["status"] in ("healthy", "degraded")
    assert set(body["checks"]) == {"database", "api", "cache", "environment", "runner"}
    assert body["metrics"] == {"total_orders": 0, "api_response_time_ms": None}


def test_health_is_degraded_but_200_while_the_provider_fails(browser: Browser, provider: Provider) -> None:
    provider.down = True
    browser.get("/services")
    answer = browser.get("/health")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "degraded"
    assert answer.get_json()["checks"]["api"]["status"] == "failing"


def test_health_is_503_when_the_database_cannot_be_read(app: Flask, browser: Browser, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE orders RENAME TO gone")
    answer = browser.get("/health")
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "unhealthy"
    assert answer.get_json()["checks"]["database"]["status"] == "failed"


def test_a_failure_is_told_in_plain_words_with_a_request_id(browser: Browser, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE orders RENAME TO gone")
    answer = browser.get("/history")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "gone" not in words(answer)
    assert answer.headers["X-Request-ID"] in answer.text


def test_a_locked_database_is_told_as_what_it_is(browser: Browser, database: IMEIDatabase) -> None:
    browser.get("/history")  # its connection is open before
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")  # the pool hands the same one out again
    with locked_by_another_program(database):
        answer = browser.post("/history/sync")
    assert answer.status_code == 503
    assert "Another program has held the database" in words(answer)
    assert browser.post("/history/sync").status_code == 303


def test_an_error_leads_back_to_where_one_was_and_never_elsewhere(browser: Browser) -> None:
    own = browser.get("/orders/9", headers={"Referer": "http://localhost/history?q=1"}).text
    assert '<a class="button primary" href="http://localhost/history?q=1">Go back</a>' in own
    assert "evil.example" not in browser.get("/orders/9", headers={"Referer": "http://evil.example/"}).text


def test_the_status_page_says_what_to_mend(browser: Browser, database: IMEIDatabase, provider: Provider) -> None:
    """No runner, no backup, a provider that fails: each with what mends it; a backup takes its sentence away."""
    order_batch(database, imeis(3))
    provider.down = True
    browser.get("/services")
    text = words(browser.get("/status"))
    assert "No process sends batches or fetches results. Start the app" in text
    assert "The provider did not answer the last call: The provider is in maintenance." in text
    assert "There is no backup. Download one" in text
    browser.post("/database/backup")
    assert "There is no backup" not in words(browser.get("/status"))


def test_the_status_page_names_the_process_that_holds_the_lease(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Runner absent Result sync" in words(browser.get("/status"))
    with database.write() as connection:
        lease.take(connection, "process 122 on old-host", "there#1")
        lease.take(connection, "process 123 on host", "there#2")
        connection.exec_driver_sql("UPDATE leases SET taken_at = '2026-11-25 10:05:00'")
    assert "Runner absent last: process 123 on host, started 25 Nov 2026 10:05 UTC" in words(browser.get("/status"))
    monkeypatch.setattr(web_checks, "runner_alive", lambda _: True)
    assert "Runner alive process 123 on host, since 25 Nov 2026 10:05 UTC" in words(browser.get("/status"))


def test_the_status_page_lists_the_orders_that_get_no_result(browser: Browser, database: IMEIDatabase) -> None:
    """With the provider's words, which are shown as text, and without those that have a result meanwhile."""
    assert "Orders without a result" not in words(browser.get("/status"))
    batch_id = order_batch(database, imeis(3))
    odd, given, _ = [row["order_id"] for row in all_orders(database, batch_id=batch_id)]
    since = datetime(2026, 11, 25, 10, 5)
    results = [Withheld(name, since, utc_now(), 3, "No IMEI Found <b>", spoils_lists=True) for name in (odd, given)]
    note_withheld(database, results, [])
    database.update_order_status(given, "Completed", {})
    page = browser.get("/status")
    assert "Orders without a result" in words(page)
    assert f'<a href="/orders/{odd}">{odd}</a>' in page.text
    assert f"/orders/{given}" not in page.text
    assert "25 Nov 2026 10:05 UTC" in words(page)
    assert "No IMEI Found &lt;b&gt;" in page.text


def test_what_is_known_of_typed_imeis_is_told(browser: Browser, database: IMEIDatabase) -> None:
    first, second = imeis(2)
    order_batch(database, [first])
    query = f"/submit/known.json?imei={first}&imei={second}&imei=x"
    [known] = json.loads(browser.get(query).text)
    assert (known["imei"], known["age"], known["url"]) == (first, "just now", "/orders/15000001")


def test_the_status_bar_holds_no_secrets(settings: Settings, database: IMEIDatabase, provider: Provider) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")
    browser = Browser(make_app(real, database, provider))
    assert browser.get("/api/status").status_code == 401
    assert browser.get("/health").status_code == 200
    for answer in (browser.get("/health"), browser.get("/api/status")):
        assert "SECRET-KEY" not in answer.text
        assert "hunter2" not in answer.text


def test_pages_after_a_login_show_the_user(settings: Settings, database: IMEIDatabase, provider: Provider) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")
    browser = Browser(make_app(real, database, provider))
    assert browser.get("/history").location == "/login?next=/history"
    page = browser.get("/login").text
    assert "Dashboard</span>" not in page
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    form = {"csrf_token": token[1], "username": "admin", "password": "hunter2hunter2", "next": "/history"}
    assert browser.client.post("/login", data=form).location == "/history"
    text = words(browser.get("/history"))
    assert "Log out" in text
    assert "Demo" not in text


def test_the_status_bar_tells_what_runs(browser: Browser, database: IMEIDatabase) -> None:
    create_batch(database, NewBatch("a.csv", "upload", "269", "T-Mobile", 0.1, [(imeis(1)[0], 1)]))
    status = browser.get("/api/status").get_json()
    assert status["waiting"] == 1
    assert [batch["label"] for batch in status["running"]] == ["a.csv"]


@pytest.mark.parametrize(("url", "sentence"), [("/batches/77", "batch 77"), ("/orders/99", "order 99")])
def test_what_is_unknown_is_a_404_that_names_it(browser: Browser, url: str, sentence: str) -> None:
    answer = browser.get(url)
    assert answer.status_code == 404
    assert f"There is no {sentence}." in words(answer)


def test_a_wrong_query_is_our_fault_and_in_the_log(
    browser: Browser, database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not read as a disk that is full, and its words stay off the page."""
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE services RENAME COLUMN must_read TO mustread")
    answer = browser.get("/services")
    assert answer.status_code == 500
    assert "must_read" not in answer.text
    assert any(record.exc_info and "no such column" in str(record.exc_info[1]) for record in caplog.records)


def test_a_value_error_of_ours_never_reaches_a_page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise ValueError("secret internals")

    monkeypatch.setattr(web_imports, "undo_import", fails)
    monkeypatch.setattr(web_doubt, "take_back_order", fails)
    database = browser.client.application.extensions["database"]
    order_batch(database, imeis(1))
    for path, form in (("/database/import/1/undo", {}), ("/batches/1/doubt/undo", {"order_id": "7"})):
        answer = browser.post(path, form)
        assert (answer.status_code, "secret" in answer.text) == (500, False), path


def test_too_large_an_upload_is_refused_in_plain_words(app: Flask, browser: Browser) -> None:
    token = browser.token()
    app.config["MAX_CONTENT_LENGTH"] = 1000
    answer = browser.client.post("/batch", data={"csrf_token": token, "imeis": "3" * 5000})
    assert answer.status_code == 413
    assert "You can send at most 25 MB" in words(answer)


def test_a_paste_of_50000_imeis_is_not_too_large(browser: Browser) -> None:
    assert browser.paste(imeis(50_000)).startswith("/batch/preview/")


def test_a_form_without_a_token_does_nothing(browser: Browser, database: IMEIDatabase) -> None:
    answer = browser.client.post("/submit", data={"imei": imeis(1)[0], "service_id": "1739"})
    assert answer.status_code == 400
    assert browser.get("/api/status").get_json()["running"] == []


# History


@pytest.fixture
def orders(database: IMEIDatabase) -> list[str]:
    numbers = imeis(250)
    order_batch(database, numbers)
    order_batch(database, imeis(5, first=1000), SERVICES[2])
    database.update_order_status("15000001", "Completed", {"carrier": "T-Mobile", "model": "iPhone 13"})
    return numbers


def rows_on(page: str) -> list[str]:
    return re.findall(r"data-copy><code>(\d{15})<", page)


def test_history_pages_by_key_and_misses_none(browser: Browser, orders: list[str]) -> None:
    url, seen = "/history", []
    while url:
        page = browser.get(url).text
        seen += rows_on(page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        url = more[1].replace("&amp;", "&") if more else ""
    assert len(seen) == len(set(seen)) == 255


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=Completed", 1),
        ("service=269", 5),
        ("batch=2", 5),
        ("q=15000001", 1),
        ("batch=1&status=Completed", 1),
        ("batch=2&status=Completed", 0),
        ("q=no-such-thing-at-all", 0),
        ("before=y", 50),
        ("status=completed", 1),
        ("mismatch=0", 50),
    ],
)
def test_history_filters_live_in_the_url(browser: Browser, orders: list[str], query: str, count: int) -> None:
    assert len(rows_on(browser.get(f"/history?{query}").text)) == count


def test_history_finds_an_imei(browser: Browser, orders: list[str]) -> None:
    assert rows_on(browser.get(f"/history?q={orders[7]}").text) == [orders[7]]


def test_the_export_holds_exactly_the_filter(browser: Browser, orders: list[str]) -> None:
    text = browser.get("/history.csv?service=269").data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 5
    assert list(rows[0])[:4] == ["SERVICE", "IMEI NO.", "CREDITS", "STATUS"]
    assert len(browser.get("/history.csv?bom=0").data.decode().splitlines()) == 256


def test_an_order_shows_its_fields_and_keeps_hostile_text_harmless(
    browser: Browser, database: IMEIDatabase, orders: list[str]
) -> None:
    hostile = "Model: iPhone 11<br>Carrier: <script>alert(1)</script>T-Mobile<img src=x onerror=alert(2)>"
    database.update_order_status("15000002", "Completed", {"result_code": hostile, "model": "<b>iPhone</b>"})
    page = browser.get("/orders/15000002")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "<b>iPhone" not in page.text


# Services


def test_services_are_asked_once_for_all_pages(browser: Browser, provider: Provider) -> None:
    for _ in range(3):
        browser.get("/services")
    assert provider.asked == 1


def test_services_search_in_the_url(browser: Browser) -> None:
    text = words(browser.get("/services?q=status+check"))
    assert "T-Mobile USA - Status Check" in text
    assert "1 of 3" in text
    assert "1 of 3" in words(browser.get("/services?category=Unlock"))


def test_every_page_counts_the_services_alike(browser: Browser, provider: Provider) -> None:
    """One is listed no more, and one needs more than an IMEI."""
    provider.services = [*SERVICES, replace(SERVICES[0], package_id="7", title="Gone")]
    browser.get("/services")
    provider.services = list(SERVICES)
    with browser_database(browser).write() as connection:
        connection.exec_driver_sql("UPDATE services SET refreshed_at = 0")
    assert "3 services, 2 need only an IMEI" in words(browser.get("/services"))
    assert "3 services, 2 need only an IMEI" in words(browser.get("/status"))
    assert "2 of 3 services can be ordered by IMEI alone" in words(browser.get("/"))
    assert "Services 3" in words(browser.get("/database"))


def browser_database(browser: Browser) -> IMEIDatabase:
    database: IMEIDatabase = browser.client.application.extensions["database"]
    return database


def test_a_service_that_needs_more_cannot_be_used(browser: Browser) -> None:
    assert "needs Email" in words(browser.get("/services"))


def test_a_stale_list_is_better_than_none_and_is_not_asked_for_at_once_again(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    assert [s.package_id for s in catalog.current().services] == [s.package_id for s in SERVICES]
    provider.down = True
    now[0] += 400
    for _ in range(3):
        old = catalog.current()
        assert old.stale
        assert len(old.services) == 3
        assert "maintenance" in old.error
    assert provider.asked == 2
    now[0] += 31
    provider.down = False
    assert not catalog.current().stale
    assert provider_state(database).ok


def test_a_list_that_is_confirmed_is_seconds_old_unless_the_provider_is_silent(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    catalog.current()
    now[0] += 9
    assert not catalog.for_confirmation().stale
    assert provider.asked == 1
    now[0] += 2
    provider.services = [replace(SERVICES[0], price=0.48), *SERVICES[1:]]
    risen = catalog.for_confirmation().find(SERVICES[0].package_id)
    assert risen is not None
    assert (risen.price, provider.asked) == (0.48, 2)
    provider.down = True
    now[0] += 200
    silent = catalog.for_confirmation()
    assert (silent.stale, provider.asked) == (False, 3)
    assert "maintenance" in silent.error
    catalog.for_confirmation()
    assert provider.asked == 3  # not at once again
    now[0] += 101
    assert catalog.for_confirmation().stale


def test_confirming_waits_for_the_list_as_long_as_it_is_told_and_no_longer(database: IMEIDatabase) -> None:
    answer = threading.Event()

    def slow() -> list[ServiceInfo]:
        answer.wait(10)
        return list(SERVICES)

    catalog = ServiceCatalog(LocalProvider(database, Questions(services=slow)))
    began = time.monotonic()
    assert catalog.for_confirmation(0.05).stale
    assert time.monotonic() - began < 5
    answer.set()
    assert not catalog.for_confirmation(10).stale


def test_an_empty_list_does_not_replace_a_full_one(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    catalog.current()
    provider.services = []
    now[0] += 400
    assert len(catalog.current().services) == 3


def test_a_balance_is_trusted_while_it_is_young(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider([], credits=12.5)
    account = AccountBalance(LocalProvider(database, Questions(account=provider.account), lambda: now[0]))
    assert account.current().credits == 12.5
    provider.down = True
    now[0] += 3600
    old = account.current()
    assert (old.credits, old.trusted) == (12.5, False)


def test_a_balance_from_before_the_newest_orders_is_asked_again_and_says_so_until_then(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    """After a batch of $88 the dashboard and the next preview showed the balance from before it."""
    provider.credits = 100.0
    browser.start(imeis(3))
    answer_chunks(database)
    provider.credits = 12.0
    text = words(browser.get("/"))
    assert "Balance $100.00 just now, before the newest orders" in text
    with database.write() as connection:  # a while later
        connection.exec_driver_sql(
            "UPDATE settings SET value = json_set(value, '$.at', ?) WHERE key = 'account'", (time.time() - 11,)
        )
    text = words(browser.get(browser.paste(imeis(2, first=50))))
    assert "Balance just now $12.00" in text
    assert "Balance $12.00 just now" in words(browser.get("/"))


def test_a_balance_that_the_runner_has_read_counts_as_the_newest(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    provider.credits = 100.0
    browser.start(imeis(3))
    answer_chunks(database)
    with database.write() as connection:
        balance_store.record_reading(connection, 99.76)
    text = words(browser.get("/"))
    assert "Balance $99.76 just now" in text
    assert "before the newest orders" not in text
    assert browser.get("/api/status").get_json()["balance"] == 99.76


def test_a_changed_price_is_marked(app: Flask, browser: Browser, database: IMEIDatabase) -> None:
    database.store_services(SERVICES, 1.0)
    database.store_services([replace(SERVICES[0], price=0.09), *SERVICES[1:]], time.time())
    assert "was $0.08" in words(browser.get("/services"))


# Database


def test_the_database_page_counts_checks_and_backs_up(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(2))
    assert "Orders 2" in words(browser.get("/database"))
    assert "no damage found" in words(browser.led_back(browser.post("/database/check")))
    copy = browser.post("/database/backup")
    assert copy.status_code == 200
    assert copy.data.startswith(b"SQLite format 3")
    assert copy.headers["Content-Disposition"].startswith("attachment")


# A crawl


def test_every_link_and_form_target_exists(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(120))
    batch = NewBatch("b.csv", "upload", "269", "T-Mobile", 0.1, [(n, None) for n in imeis(3, first=500)])
    doubtful = create_batch(database, batch)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "no readable answer"))
    preview = browser.paste(imeis(5, first=900))
    queue, seen, forms = (
        ["/", preview, f"/batches/{doubtful}/doubt", "/orders/15000001"],
        set[str](),
        set[str](),
    )
    while queue:
        url = queue.pop()
        path = url.split("#")[0]
        if path in seen or re.match(r"/(history|services)\?.*(before|q)=", path):
            continue
        seen.add(path)
        answer = browser.get(path)
        assert answer.status_code in (200, 302, 303), (path, answer.status_code)
        if answer.mimetype == "text/html":
            links = re.findall(r'(?:href|src)="(/[^"]*)"', answer.text)
            queue += [link.replace("&amp;", "&") for link in links if not _is_one_of_many(link)]
            forms |= set(re.findall(r'<form method="post" action="([^"]+)"', answer.text))
    assert len(seen) > 30
    for target in forms:
        assert browser.get(target).status_code in (200, 302, 303, 405), target
    streams = set(re.findall(r'data-(?:events|progress|url)="([^"]+)"', browser.get("/batches/1").text))
    assert "/batches/1/events" in streams
    json.loads(browser.get("/batches/1/progress.json").text)


def _is_one_of_many(link: str) -> bool:
    return bool(re.match(r"/orders/15(?!000001)|/batch\?service_id=(?!1739)", link))
