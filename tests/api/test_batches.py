"""Batches of programs: created by the plan of the pages, guarded by price and cost, paused, resumed and stopped."""

import time
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from api_client import SERVICE, ApiClient, problem
from flask import Flask
from plain_sql import run
from simulated_provider import imeis
from sqlalchemy import update
from web_client import MAIL, Browser, Provider, answer_chunks, order_batch
from web_scenes import aged, batch_count, with_settings

from database import IMEIDatabase, utc_now
from orders import BatchState, Outcome
from schema import orders
from storage import batch_queries
from storage.batch_creation import NOT_STARTED
from storage.batch_states import running_batches


def test_a_batch_is_created_and_shown(api: ApiClient, database: IMEIDatabase) -> None:
    created = api.batch([*imeis(3), imeis(1)[0]], label="  Invoice\n4711 ", customer="Gulf", note="two\nlines")
    assert created["counts"] == {"repaired": 0, "repeated": 1, "second_imeis": 0, "rejected": 0}
    assert created["repeated"][0]["reason"] == "Same IMEI as row 1."
    assert [created[name] for name in ("total", "to_send", "cost", "unit_price", "state", "is_continued")] == [
        *(3, 3, "0.24", "0.08", "running", False),
    ]
    answer_chunks(database, lambda imei: (Outcome.REFUSED if imei == imeis(1)[0] else Outcome.ORDERED, ""))
    shown: Any = api.get(f"/batches/{created['id']}").json
    assert shown["outcomes"] == {
        "ordered": 2,
        "waiting": 0,
        "duplicate": 0,
        "refused": 1,
        "in_doubt": 0,
        "cancelled": 0,
    }
    assert shown["verdicts"] == {"pass": 0, "review": 0, "fail": 0, "pending": 2}
    assert (shown["total"], shown["results"], shown["spent"], shown["cost"]) == (3, 0, "0.16", "0.16")
    assert (shown["label"], shown["customer"], shown["note"]) == ("Invoice 4711", "Gulf", "two\nlines")
    assert shown["created_at"].endswith("Z")
    for name in ("items", "results", "events"):
        assert api.client.get(shown["links"][name], headers=api.headers).status_code == 200


def test_a_batch_that_was_not_started_sends_nothing_until_it_is(api: ApiClient, database: IMEIDatabase) -> None:
    created = api.batch(imeis(3), start=False)
    assert created["state"] == "paused"
    with database.read() as connection:
        assert running_batches(connection) == []
    assert api.batch(imeis(3), status=200, start=False)["state"] == "paused"
    shown: Any = api.get("/batches/1").json
    assert (shown["notice"], shown["stage"]) == (NOT_STARTED, "needs_you")
    started: Any = api.post("/batches/1/start").json
    assert (started["state"], started["notice"]) == ("running", "")
    answer_chunks(database)
    assert batch_queries.progress(database, 1).outcomes[Outcome.ORDERED] == 3  # type: ignore[union-attr]


def test_the_same_imeis_under_way_give_their_batch_back(api: ApiClient, database: IMEIDatabase) -> None:
    first, second = api.batch(imeis(3)), api.batch(imeis(3), status=200)
    assert (second["id"], second["is_continued"]) == (first["id"], True)
    assert batch_count(database) == 1


def test_a_file_becomes_a_batch_whose_sheet_comes_back(api: ApiClient, database: IMEIDatabase) -> None:
    one, two, three = imeis(3)
    data = f"Model,IMEI,IMEI 2\niPhone,{one},{two}\nPixel,{three},\n".encode()
    form = {"service_id": SERVICE, "file": (BytesIO(data), "stock.csv"), "second_imeis": "true", "start": "false"}
    created: Any = api.post("/batches", data=form).json
    assert (created["label"], created["total"], created["state"]) == ("stock.csv", 3, "paused")
    api.post("/batches/1/resume")
    answer_chunks(database)
    sheet = api.get("/batches/1/sheet").text.splitlines()
    assert sheet[1].startswith(f"iPhone,{one},{two}")
    chosen = form | {"file": (BytesIO(data), "stock.csv"), "column": "3", "second_imeis": "false"}
    assert problem(api.post("/batches", data=chosen), 409, "nothing-to-send")


def test_a_text_is_read_like_a_paste(api: ApiClient) -> None:
    answer = api.post("/batches", {"service_id": SERVICE, "text": "\n".join(imeis(4)), "label": "Paste"})
    assert (answer.status_code, answer.json["total"]) == (201, 4)  # type: ignore[index]


@pytest.mark.parametrize("more", [{}, {"imeis": imeis(1), "text": imeis(1)[0]}, {"imeis": []}])
def test_exactly_one_source_is_needed(api: ApiClient, database: IMEIDatabase, more: dict[str, Any]) -> None:
    problem(api.post("/batches", {"service_id": SERVICE, **more}), 422, "invalid-request")
    assert batch_count(database) == 0


@pytest.mark.parametrize(
    ("more", "status", "kind"),
    [
        ({"service_id": "9999"}, 422, "unknown-service"),
        ({"service_id": MAIL.package_id}, 422, "unknown-service"),
        ({"unit_price": "0.07"}, 409, "price-changed"),
        ({"unit_price": 0.09}, 409, "price-changed"),
        ({"max_cost": "0.23"}, 409, "cost-exceeded"),
    ],
)
def test_what_speaks_against_an_order_is_a_problem(
    api: ApiClient, database: IMEIDatabase, more: dict[str, Any], status: int, kind: str
) -> None:
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": imeis(3), **more})
    assert problem(refused, status, kind)["detail"]
    assert batch_count(database) == 0


def test_guards_that_hold_let_the_order_pass(api: ApiClient) -> None:
    api.batch(imeis(3), unit_price="0.08", max_cost=0.24)


def test_an_unfinished_batch_goes_on_only_within_the_allowed_cost(api: ApiClient, database: IMEIDatabase) -> None:
    api.batch(imeis(3), start=False)
    ordered = {"service_id": SERVICE, "imeis": imeis(3)}
    problem(api.post("/batches", {**ordered, "max_cost": "0.23"}), 409, "cost-exceeded")
    with database.read() as connection:
        assert running_batches(connection) == []
    assert api.batch(imeis(3), status=200, max_cost="0.24")["state"] == "running"


def test_a_running_batch_that_is_given_back_names_its_own_price(api: ApiClient, provider: Provider) -> None:
    api.batch(imeis(3))
    provider.services = [replace(one, price=0.5) for one in provider.services]
    given_back = api.batch(imeis(3), status=200, max_cost="0.24")
    assert (given_back["unit_price"], given_back["cost"]) == ("0.08", "0.24")


def test_balance_and_budget_are_those_of_the_pages(api: ApiClient, provider: Provider, app: Flask) -> None:
    provider.credits = 0.2
    refused = problem(api.post("/batches", {"service_id": SERVICE, "imeis": imeis(3)}), 402, "not-enough-money")
    assert refused["detail"] == "This costs $0.24, but the account holds $0.20."
    with_settings(app, daily_budget=0.1)
    refused = problem(api.post("/batches", {"service_id": SERVICE, "imeis": imeis(2)}), 402, "not-enough-money")
    assert "today's budget" in refused["detail"]


def test_known_imeis_are_not_ordered_again_unless_asked_for(api: ApiClient, database: IMEIDatabase) -> None:
    api.batch(imeis(2))
    answer_chunks(database)
    problem(api.post("/batches", {"service_id": SERVICE, "imeis": imeis(2)}), 409, "nothing-to-send")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET status = 'Completed'")
    assert api.batch(imeis(3))["to_send"] == 1
    assert api.batch(imeis(2), recheck=True, known_orders=["15000001", "15000002"])["to_send"] == 2


def test_what_somebody_else_has_ordered_since_a_program_looked_is_not_paid_again(
    api: ApiClient, database: IMEIDatabase
) -> None:
    """It names the orders that it knows; the same request again, without a key, pays nothing either."""
    order_batch(database, imeis(2))
    asked = {"service_id": SERVICE, "recheck": True, "known_orders": ["15000001", "15000002"], "imeis": imeis(3)}
    with database.write() as connection:
        run(connection, "UPDATE orders SET status = 'Completed'")
    assert api.batch(imeis(1), recheck=True, known_orders=["15000001"])["to_send"] == 1
    answer_chunks(database)
    with database.write() as connection:
        run(connection, "UPDATE orders SET status = 'Completed'")
    created: Any = api.post("/batches", asked).json
    assert (created["total"], created["to_send"]) == (3, 2)
    assert created["warnings"] == [
        "1 IMEI was not ordered again. To pay again, name the orders that you know in `known_orders`,"
        f" such as 15000003 of {imeis(1)[0]}."
    ]
    answer_chunks(database)
    with database.write() as connection:
        run(connection, "UPDATE orders SET status = 'Rejected'")
    asked["resend_rejected"] = True
    refused = problem(api.post("/batches", asked), 409, "nothing-to-send")
    assert "3 IMEIs were not ordered again" in refused["detail"]
    assert batch_count(database) == 3


def test_a_program_learns_what_to_do_about_orders_without_an_id(api: ApiClient, database: IMEIDatabase) -> None:
    order_batch(database, imeis(2))
    asked = {"service_id": SERVICE, "recheck": True, "known_orders": ["15000001"], "imeis": imeis(2)}
    with database.write() as connection:
        run(connection, "UPDATE orders SET status = 'Completed', order_id = NULL")
    refused = problem(api.post("/batches", asked), 409, "nothing-to-send")
    assert f"The order of {imeis(1)[0]} has no id: to pay again, send no known_orders" in refused["detail"]
    with database.write() as connection:
        run(connection, "UPDATE orders SET order_id = '7' WHERE id = 2")
    refused = problem(api.post("/batches", asked), 409, "nothing-to-send")
    assert f"such as 7 of {imeis(2)[1]}." in refused["detail"]
    yesterday = utc_now() - timedelta(hours=13)
    with database.write() as connection:
        connection.execute(update(orders).values(created_at=yesterday, updated_at=yesterday))
    del asked["known_orders"]
    assert api.post("/batches", asked).status_code == 201


@pytest.mark.parametrize(("status", "tick"), [("Completed", "recheck"), ("Rejected", "resend_rejected")])
def test_a_program_that_names_no_orders_pays_again_only_for_what_is_older_than_half_a_day(
    api: ApiClient, database: IMEIDatabase, status: str, tick: str
) -> None:
    order_batch(database, imeis(2))
    asked: dict[str, Any] = {"service_id": SERVICE, "imeis": imeis(2), tick: True}
    ago = [utc_now() - timedelta(hours=hours) for hours in (11, 13)]
    with database.write() as connection:
        old = update(orders).values(status=status, created_at=ago[1], updated_at=ago[1])
        connection.execute(old)
        connection.execute(old.where(orders.c.order_id == "15000001").values(updated_at=ago[0]))
    problem(api.post("/batches", asked | {"known_orders": []}), 409, "nothing-to-send")
    created: Any = api.post("/batches", asked).json
    assert created["to_send"] == 1


def test_nothing_is_ordered_at_a_price_that_could_not_be_checked(
    api: ApiClient, database: IMEIDatabase, provider: Provider
) -> None:
    api.get("/services")
    aged(database, 600)
    provider.down = True
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": imeis(1)})
    problem(refused, 503, "price-unknown")
    assert int(refused.headers["Retry-After"]) > 0


def test_no_orders_on_a_disk_that_will_be_lost(api: ApiClient, app: Flask) -> None:
    with_settings(app, volatile_disk=True, api_key="K", username="u")
    problem(api.post("/batches", {"service_id": SERVICE, "imeis": imeis(1)}), 503, "orders-blocked")


def test_pause_resume_and_stop_are_idempotent(api: ApiClient, database: IMEIDatabase) -> None:
    api.batch(imeis(5))
    assert api.post("/batches/1/start", data=b"", content_type="application/json").status_code == 200
    for action, state in [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running")]:
        answer = api.post(f"/batches/1/{action}")
        assert (answer.status_code, answer.json["state"]) == (200, state)  # type: ignore[index]
    for _ in range(2):
        stopped: Any = api.post("/batches/1/stop").json
        assert (stopped["state"], stopped["outcomes"]["cancelled"]) == ("finished", 5)
    assert batch_queries.progress(database, 1).state is BatchState.FINISHED  # type: ignore[union-attr]


def test_a_dearer_batch_resumes_only_at_an_accepted_price(
    api: ApiClient, database: IMEIDatabase, provider: Provider
) -> None:
    api.batch(imeis(5))
    api.post("/batches/1/pause")
    provider.services[0] = replace(provider.services[0], price=0.12)
    aged(database, 60)
    refused = problem(api.post("/batches/1/resume"), 409, "price-changed")
    assert "$0.12" in refused["detail"]
    assert problem(api.post("/batches/1/resume", {"unit_price": "0.11"}), 409, "price-changed")
    resumed: Any = api.post("/batches/1/resume", {"unit_price": "0.12"}).json
    assert (resumed["state"], resumed["unit_price"]) == ("running", "0.12")


def test_batches_are_listed_page_by_page_and_renamed(api: ApiClient) -> None:
    for n in range(5):
        api.batch(imeis(1, first=n), label=f"Lot {n}")
    seen, url = [], "/batches?limit=2&q=lot"
    while url:
        page = api.get(url)
        seen += [batch["label"] for batch in page.json["batches"]]  # type: ignore[index]
        url = page.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert seen == [f"Lot {n}" for n in (4, 3, 2, 1, 0)]
    mine, other = api.get("/batches").json["batches"][0]["ordered_by"], api.get("/batches?person=nobody")  # type: ignore[index]
    assert (mine.startswith("token operator"), other.json["batches"]) == (True, [])  # type: ignore[index]
    renamed: Any = api.call("PATCH", "/batches/1", json={"customer": "Gulf"}).json
    assert (renamed["label"], renamed["customer"]) == ("Lot 0", "Gulf")


def test_20_000_imeis_are_created_in_seconds(api: ApiClient, provider: Provider) -> None:
    numbers, provider.credits = imeis(20_000), 2000.0
    began = time.monotonic()
    assert api.batch(numbers)["to_send"] == 20_000
    assert time.monotonic() - began < 10  # 0.6 s without other load


def test_the_pages_show_what_a_program_ordered(api: ApiClient, browser: Browser) -> None:
    api.batch(imeis(3), label="From a program")
    assert "From a program" in browser.get("/batches").text
