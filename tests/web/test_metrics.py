"""/metrics: every figure equals the database, in the format that the client accepts, for logins and tokens only."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from batch_checks import new_batch
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from simulated_provider import settings_at
from web_client import SERVICES, Provider, make_app

from access import create_token
from account.call_counting import LIMITS
from database import IMEIDatabase, utc_now
from people import Role, scopes_of
from runner import run_or_follow
from settings import Settings
from simulator.server import Simulator
from storage.batch_states import pause
from storage.token_store import NewToken
from submission import RunnerLock

Figures = dict[tuple[str, ...], float]


def scraped(client: FlaskClient, **headers: str) -> Figures:
    """Return (name, values of the labels) → value."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def count(database: IMEIDatabase, query: str) -> float:
    with database.read() as connection:
        return float(connection.exec_driver_sql(query).scalar_one())


@contextmanager
def viewer(settings: Settings, database: IMEIDatabase) -> Iterator[tuple[FlaskClient, dict[str, str]]]:
    """A program at the app of a real account, with the token of a viewer."""
    app = make_app(replace(settings, admin_password=""), database, Provider(list(SERVICES)))
    token = create_token(database, NewToken("prometheus", Role.VIEWER, scopes_of(Role.VIEWER)))
    yield app.test_client(), {"Authorization": f"Bearer {token}"}
    app.extensions["stopping"].set()


def test_every_figure_is_what_the_database_holds(
    simulator: Simulator, settings: Settings, database: IMEIDatabase
) -> None:
    simulator.set(fault="429", fault_calls=(2,), retry_after=False)
    real = settings_at(simulator, settings, call_timeout=5.0, settle_quiet=0.2)
    run_or_follow(real, database, new_batch(database, 30, 5), lambda _: None, threading.Event())
    paused, doubtful = new_batch(database, 20, 5, first=100), new_batch(database, 10, 5, first=200)
    with database.write() as connection:
        assert pause(connection, paused, "Paused by hand.")
        connection.exec_driver_sql("UPDATE chunks SET state = 'in_doubt' WHERE batch_id = ?", (doubtful,))
        connection.exec_driver_sql("UPDATE items SET outcome = 'in_doubt' WHERE batch_id = ?", (doubtful,))
    with viewer(real, database) as (client, headers):
        found = scraped(client, **headers)
    orders = sum(value for (name, *_), value in found.items() if name == "hammer_orders")
    assert orders == count(database, "SELECT count(*) FROM orders") == 30
    for (name, *labels), value in found.items():
        if name == "hammer_orders":
            assert value == count(database, f"SELECT count(*) FROM orders WHERE status = '{labels[0]}'")
    calls = {outcome: value for (name, action, outcome), value in calls_of(found) if action == "placing_orders"}
    answered = count(database, "SELECT count(*) FROM attempts WHERE result = 'answered'")
    assert calls == {"answered": answered, "rate_limited": 1}
    assert sum(calls.values()) == sum(call.action == "placeorder" for call in simulator.calls()) == 7
    assert found["hammer_provider_rate_limited_total",] == 1
    assert found["hammer_provider_call_duration_seconds_count", "placing_orders"] == 7
    assert found["hammer_provider_call_duration_seconds_bucket", "placing_orders", str(LIMITS[-1])] == 7
    assert 0 < found["hammer_provider_call_duration_seconds_sum", "placing_orders"] < 35
    assert found["hammer_imeis_in_doubt",] == 10
    assert (found["hammer_queue_imeis", "paused"], found["hammer_queue_chunks", "paused"]) == (20, 4)
    assert found["hammer_queue_imeis", "running"] == 0
    assert found["hammer_balance_dollars",] > 0
    assert 0 <= found["hammer_balance_age_seconds",] < 60
    assert found["hammer_disk_free_bytes",] <= found["hammer_disk_size_bytes",]
    assert found["hammer_webhook_deliveries_waiting",] == 0


def calls_of(found: Figures) -> list[tuple[tuple[str, ...], float]]:
    return [(key, value) for key, value in found.items() if key[0] == "hammer_provider_calls_total"]


def test_the_leader_is_seen_by_a_process_that_does_not_lead(settings: Settings, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO leases (id, number, holder, place, taken_at) VALUES (1, 1, 'process 1', 'x', ?)",
            (utc_now().isoformat(" "),),
        )
    with viewer(replace(settings, api_key="K", username="u"), database) as (client, headers):
        assert scraped(client, **headers)["hammer_leader",] == 0
        with RunnerLock(settings.data_dir).held() as held:
            assert held
            found = scraped(client, **headers)
    assert found["hammer_leader",] == 1
    assert 0 <= found["hammer_leader_age_seconds",] < 60


def test_the_client_chooses_the_format_and_nobody_reads_it_without_a_login(
    settings: Settings, database: IMEIDatabase
) -> None:
    with viewer(replace(settings, api_key="K", username="u"), database) as (client, headers):
        assert client.get("/metrics").status_code in (303, 401, 503)
        accept = "application/openmetrics-text; version=1.0.0"
        answer = client.get("/metrics", headers=headers | {"Accept": accept})
        assert answer.content_type.startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        assert client.get("/metrics", headers=headers).content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("orders", [200_000])
def test_a_scrape_takes_the_same_time_however_many_orders_there_are(
    settings: Settings, database: IMEIDatabase, orders: int
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO order_totals (batch_id, day, service_name, status, verdict, orders, millionths)"
            " SELECT i, '2026-01-01', 'a service', 'Completed', 'pass', ?, 1 FROM n",
            (500, orders // 500),
        )
    with viewer(replace(settings, api_key="K", username="u"), database) as (client, headers):
        scraped(client, **headers)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            found = scraped(client, **headers)
            times.append(time.perf_counter() - began)
    assert found["hammer_orders", "Completed"] == orders
    assert min(times) < 0.1
