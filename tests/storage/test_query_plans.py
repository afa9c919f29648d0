"""What the pages and the background ask the database for is found by indexes, and every index is there for a query.

Every statement is caught on its way and its plan is read twice: as SQLite plans without statistics, and as it plans
with those of five million orders. All of it is about SQLite: PostgreSQL plans by the statistics of its own tables.
"""

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from automation_scene import DUE, SECOND, make_scene
from batch_checks import IN_DOUBT, rows
from flask import Flask
from login_client import PASSWORD, log_in
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from sqlalchemy import event
from stored_people import act_as
from visited_pages import NUMBERS, fill, visit
from web_client import SERVICES, Browser, Provider, make_app
from webhook_receivers import Receivers

from database import IMEIDatabase, utc_now
from grading import DEFAULT_RULES, StopLoss, checked_rule
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import AutomationKind
from people import Actor, Role
from results.auditing import run_audit
from results.importing import import_orders, undo_import
from results.sync import OrderSync
from schema import metadata
from settings import MAIN_ACCOUNT, Settings
from spreadsheets.order_rows import read_orders
from storage import (
    audit_store,
    balance_store,
    call_queries,
    idempotency_store,
    kept_sums,
    order_filters,
    order_searches,
    regrading,
    rule_trials,
    service_figure_store,
    stop_loss,
    verdict_store,
)
from storage.idempotency_store import RequestKey
from storage.outbox import EventKind

TITLES = "SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE"
#: sqlite_stat1 of five million orders, as `PRAGMA optimize` leaves it: rows, and rows a value of the index.
STATISTICS = """
orders idx_imei 5000000 1; orders idx_order_id 5000000 1; orders idx_order_date 5000000 134
orders idx_status 5000000 267; orders idx_orders_batch 5000000 201
orders idx_orders_service 5000000 401
orders idx_orders_pending 20019 20; orders idx_orders_imei2 1666666 1; orders idx_orders_other_imei 1000 1000
orders idx_orders_rejected 100000 10 1 1 1 1 1 1 1 1 1 1 1
orders idx_orders_verdict 4900000 1600000; orders idx_orders_verdict_fmi 4800000 1600000 200000
orders idx_orders_verdict_simlock 4800000 1600000 400000
orders idx_orders_verdict_blacklist 4800000 1600000 800000
orders idx_orders_blacklist 4800000 900000; orders idx_orders_model 4800000 2000; orders idx_orders_serial 4700000 2
orders idx_orders_carrier 4800000 401; orders idx_orders_simlock 4800000 267; orders idx_orders_fmi 4800000 401
orders sqlite_autoindex_orders_1 5000000 1; items idx_items_chunk 5100000 134; items idx_items_batch 5100000 201 101
items idx_items_one_in_flight 10200 201 1; items idx_items_message 100000 13 13 1
chunks idx_chunks_batch 50600 8 8; chunks idx_chunks_open 2 2; attempts idx_attempts_chunk 50500 1
status_changes idx_status_changes_order 4980000 1; batches idx_batches_state 1023 401
batches idx_batches_fingerprint 1023 1; batches idx_batches_untallied 3 1; order_totals order_totals 9000 9 2 2 1
order_totals idx_order_totals_day 9000 34
"""
GROWS = r"SCAN (orders|items|chunks|attempts|status_changes|import_changes|placed|o)\b"
#: Partial indexes that hold only what is open or has something to say: they are short whatever the tables are.
SHORT = r"USING (COVERING )?INDEX idx_(orders_pending|orders_other_imei|chunks_open|items_one_in_flight)\b"
#: A scan that is right → why.
ALLOWED = {
    r"FROM orders ORDER BY orders\.id DESC LIMIT": "the newest orders: a walk from the end that stops at the limit",
    r"attempt_id IS NOT NULL ORDER BY orders\.id DESC LIMIT": "our newest orders: the same walk, past imported ones",
    r"FROM attempts ORDER BY attempts\.id DESC LIMIT": "the newest calls: a walk from the end that stops at the limit",
    r"^SELECT count\(\*\) AS \w+ FROM attempts$": "one call in a hundred orders, counted in a small index",
    r"FROM orders WHERE orders\.id > \? .*ORDER BY orders\.id LIMIT": "walks the table in parts",
    r"coalesce\(status, ''\) = 'Rejected'": "the rejected orders, a fiftieth of all, in an index that holds the answer",
    r"json_group_array": "the table of JSON, not ours",
}
#: An index that no query of ours needs → why it is there.
FOR_PEOPLE: dict[str, str] = {
    "idx_order_id": "one of the four that people know; the unique index does the work",
    "idx_raw_answers_account": "for workers on several machines, which share a database of PostgreSQL",
    "idx_orders_account": "for a second account at the provider; empty where there is one",
}

Statements = dict[str, Any]


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """An empty database of SQLite, whose plans are read."""
    return file_database


@pytest.fixture
def caught(database: IMEIDatabase) -> Iterator[Statements]:
    """Every statement that this database is given, with parameters that it came with."""
    found: Statements = {}

    def catch(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT)\b", statement):
            found.setdefault(" ".join(statement.split()), parameters)

    event.listen(database.engine, "before_cursor_execute", catch)
    yield found
    event.remove(database.engine, "before_cursor_execute", catch)


def plans(database: IMEIDatabase, statements: Statements, statistics: str) -> dict[str, list[str]]:
    """Statement → the lines of its plan, with these statistics."""
    rows = [row.strip().split(maxsplit=2) for row in re.split(r"[;\n]", statistics) if row.strip()]
    given = dict(statements)
    found: dict[str, list[str]] = {}
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA analysis_limit = 400")  # as in life: no samples of values
        connection.exec_driver_sql("ANALYZE")  # makes the table
        connection.exec_driver_sql("DELETE FROM sqlite_stat1")
        for row in rows:
            connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", tuple(row))
    database.engine.dispose()  # a connection reads the statistics when it opens
    with database.engine.connect() as connection:
        for statement, parameters in given.items():
            one = parameters[0] if isinstance(parameters, list) else parameters
            lines = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", one)
            found[statement] = [line[3] for line in lines]
    return found


def scans(planned: dict[str, list[str]]) -> list[str]:
    return [
        f"{line} ← {statement}"
        for statement, lines in planned.items()
        for line in lines
        if re.match(GROWS, line)
        and not re.search(SHORT, line)
        and not any(re.search(allowed, statement) for allowed in ALLOWED)
    ]


def used(planned: dict[str, list[str]]) -> set[str]:
    return {name for lines in planned.values() for line in lines for name in re.findall(r"INDEX (\w+)", line)}


def automate(settings: Settings, database: IMEIDatabase, browser: Browser) -> None:
    """Let a follow-up and a re-check order, and look at what came of it."""
    scene = make_scene(settings, database)
    scene.check(imeis(3, 70_000), service_id=SECOND)
    for kind in AutomationKind:
        rule = scene.add(kind, service_id=SECOND, filter="fmi=OFF&service=269")
        scene.turn_on(rule, due_at=DUE)
        scene.check(imeis(3, 80_000), service_id=SECOND)
        scene.turn(DUE)
        for page in ("", f"/{rule}", "/runs/1"):
            browser.get(f"/automations{page}")


@pytest.fixture
def app(settings: Settings, database: IMEIDatabase) -> Iterator[Flask]:
    made = make_app(settings, database, Provider(list(SERVICES)))
    yield made
    made.extensions["stopping"].set()


def test_what_runs_all_day_is_found_by_indexes_and_each_index_serves_a_query(
    app: Flask, settings: Settings, database: IMEIDatabase, caught: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, receivers = Browser(app), Receivers(database, settings)
    receivers.subscribe("a.example", *EventKind)
    batch_id = fill(browser, database)
    caught.clear()
    visit(browser, database, batch_id)
    use_account(app, browser)
    browser.get(f"/batches/{batch_id}/sheet")
    browser.post("/reports/refunds", {"list": "15000001;0.1"})
    browser.post("/history/filters?status=Rejected", {"name": "Returns"})
    with monkeypatch.context() as patched:
        act_as(patched, Actor("anna", Role.OPERATOR))
        browser.get("/scan/sessions")
    with monkeypatch.context() as patched:
        patched.setattr(order_filters, "VERY_FEW", -1)  # as where many orders fit every term
        browser.get("/history?q=35&status=Rejected&fmi=ON&carrier=A&service=1739")
        patched.setattr(order_filters, "FEW", -1)
        for finding in ("fmi=ON", "simlock=Locked", "blacklist=Clean"):
            browser.get(f"/history?verdict=fail&{finding}")
    browser.get(browser.paste([*NUMBERS[:20], *imeis(20, 90_000)]))  # a preview
    with Simulator(Knobs()) as simulator:
        work(simulator, database)
    automate(settings, database, browser)
    receivers.turn()
    idempotency_store.claim(database, RequestKey("token 1", "nightly", "00"))
    wanted = {str(index.name) for table in metadata.tables.values() for index in table.indexes} - FOR_PEOPLE.keys()
    assert len(caught) > 100
    for statistics in ("", STATISTICS):
        planned = plans(database, caught, statistics)
        assert "\n".join(scans(planned)) == ""
        assert wanted - used(planned) == set()


def test_orders_of_given_ids_are_found_by_these(database: IMEIDatabase, caught: Statements) -> None:
    """The indexes of statuses and services would read every order with a result, or without a service."""
    with database.read() as connection:
        call_queries.final_among(connection, ["15000001"])
    audit_store.name_services(database, ["15000001"])
    asked = {statement: given for statement, given in caught.items() if "FROM orders" in statement}
    assert len(asked) == 2
    for statistics in ("", STATISTICS):
        planned = plans(database, asked, statistics)
        assert used(planned).isdisjoint({"idx_status", "idx_orders_service"})


def use_account(app: Flask, browser: Browser) -> None:
    """A user logs in from elsewhere and opens the own pages."""
    browser.post("/settings/users", {"name": "anna", "role": "admin", "password": PASSWORD})
    user = Browser(app)
    user.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    assert log_in(user.client, user="anna").status_code == 303
    for page in ("/account", "/settings/users", "/settings/users/1"):
        assert user.get(page).status_code == 200, page


def work(simulator: Simulator, database: IMEIDatabase) -> None:
    """What happens without a page: doubt that is adopted and doubt that is sent again, results, an audit, kept sums."""
    with GSMFusionClient(
        "DEMO-KEY", "demo", 5, options=ClientOptions(simulator.base_url, sleep=lambda _: None)
    ) as client:
        database.store_services(client.get_imei_services(), time.time())
        simulator.set(fault="reset", fault_when="after", fault_calls=(2,))
        with system(simulator, database, chunk_size=10) as submission:
            submission.submit_batch(imeis(40, 70_000), SERVICE)
        simulator.set(fault="reset", fault_when="before", fault_calls=(), fault_limit=1)
        with database.write() as connection:  # while what was planted in doubt rests, none is read
            balance_store.record_reading(connection, simulator.balance())
        with system(simulator, database, chunk_size=10, workers=1, patience=20.0) as submission:
            result = submission.submit_batch(imeis(40, 80_000), SERVICE)
            assert result.successful == 40, rows(database, IN_DOUBT)  # some of it after a proof
        stop_loss.save(database, StopLoss(50, 100))
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE batches SET state = 'running'")  # as while results come
        OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
        run_audit(database, client, datetime(2026, 1, 1), MAIN_ACCOUNT)
    line = f"Old,{NUMBERS[0]},$0.08,Completed,Model: X,,A,Locked,X,ON,2025-11-14 3:33:00"
    import_id, _ = import_orders(database, list(read_orders(f"{TITLES}\r\n{line}".encode())), "old.csv")
    assert undo_import(database, import_id) == (1, 0)
    order_searches.save_search(database, NUMBERS, 0)
    kept_sums.tend(database, 0)
    service_figure_store.update_figures(database)
    rules = (*DEFAULT_RULES, checked_rule("review", "older", "30"))
    rule_trials.try_rules(database, rules)
    assert verdict_store.save_rules(database, rules, "admin")
    regrading.regrade(database)
    regrading.regrade(database, now=utc_now() + timedelta(days=31))
    with database.read() as connection:
        assert kept_sums.order_sums(connection, [1])[1].failed
