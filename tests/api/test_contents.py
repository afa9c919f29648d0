"""What is in a batch: every IMEI with its outcome, order and findings, its results, its sheet, its events."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from api_client import ApiClient, problem
from simulated_provider import imeis
from sqlalchemy import update
from web_client import answer_chunks, order_batch

from database import IMEIDatabase
from orders import Outcome
from schema import orders
from web import downloads


def complete(database: IMEIDatabase, imei: str, **values: Any) -> None:
    """Give an order its result."""
    result = {"status": "Completed", "fmi": "OFF", "model": "iPhone 12", "verdict": "pass"}
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.imei == imei).values(**result | values))


def test_every_imei_has_outcome_order_verdict_and_findings(api: ApiClient, database: IMEIDatabase) -> None:
    known, ordered, refused = imeis(3)
    order_batch(database, [known])
    complete(database, known, fmi="ON", verdict="fail", order_date=datetime(2026, 3, 1, 9, 30))
    api.batch([known, ordered, refused])
    answer_chunks(
        database, lambda imei: (Outcome.REFUSED, "Invalid IMEI") if imei == refused else (Outcome.ORDERED, "")
    )
    complete(database, ordered)
    found: Any = api.get("/batches/2/items").json["items"]  # type: ignore[index]
    assert [(item["imei"], item["outcome"], item["verdict"]) for item in found] == [
        (known, "duplicate", "fail"),
        (ordered, "ordered", "pass"),
        (refused, "refused", None),
    ]
    assert found[0]["order"]["placed_at"] == "2026-03-01T09:30:00Z"
    assert found[0]["findings"]["fmi"] == "ON"
    assert (found[1]["findings"]["model"], found[1]["order"]["status"]) == ("iPhone 12", "Completed")
    assert (found[2]["order"], found[2]["message"]) == (None, "Invalid IMEI")
    only: Any = api.get("/batches/2/items?outcome=refused").json
    assert [item["imei"] for item in only["items"]] == [refused]


def test_items_are_read_page_by_page(api: ApiClient, database: IMEIDatabase) -> None:
    order_batch(database, imeis(4, first=900))
    api.batch(imeis(25))
    seen, url = [], "/batches/2/items?limit=10"
    for expected in (10, 10, 5):
        page = api.get(url)
        assert len(page.json["items"]) == expected  # type: ignore[index]
        seen += [item["imei"] for item in page.json["items"]]  # type: ignore[index]
        link = re.fullmatch(r'<([^>]+)>; rel="next"', page.headers.get("Link", ""))
        url = link[1] if link else ""
    assert (seen, url) == (imeis(25), "")


def test_results_are_listed_worst_first(api: ApiClient, database: IMEIDatabase) -> None:
    numbers = imeis(3)
    api.batch(numbers)
    answer_chunks(database)
    complete(database, numbers[0])
    complete(database, numbers[2], fmi="ON", verdict="fail", other_imei="350000000000014")
    found: Any = api.get("/batches/1/results").json["orders"]  # type: ignore[index]
    assert [(one["verdict"], one["cost"]) for one in found] == [("fail", "0.08"), ("pass", "0.08"), (None, "0.08")]
    assert found[0]["result_imei"] == "350000000000014"
    assert [one["imei"] for one in api.get("/batches/1/results?verdict=pass").json["orders"]] == numbers[:1]  # type: ignore[index]


def test_a_sheet_that_takes_longer_is_built_in_the_background(
    api: ApiClient, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.batch(imeis(3))
    answer_chunks(database)
    monkeypatch.setattr(downloads, "PATIENCE", 0.0)
    answer = api.get("/batches/1/sheet?format=xlsx")
    if answer.status_code == 202:
        assert answer.headers["Retry-After"] == "2"
        export = answer.location
        while (state := api.client.get(export, headers=api.headers).json)["state"] == "building":  # type: ignore[index]
            pass
        assert "pending" in state["notices"][0]  # type: ignore[index]
        answer = api.client.get(f"{export}/file", headers=api.headers)
    assert answer.data.startswith(b"PK")
    assert "batch-1_" in answer.headers["Content-Disposition"]


def test_a_sheet_whose_file_is_gone_is_a_problem(api: ApiClient, database: IMEIDatabase) -> None:
    order_batch(database, imeis(1))
    assert "no longer kept" in problem(api.get("/batches/1/sheet"), 409, "not-possible")["detail"]


def test_events_have_the_data_of_the_batch(api: ApiClient, database: IMEIDatabase) -> None:
    api.batch(imeis(3))
    answer_chunks(database)
    for imei in imeis(3):
        complete(database, imei)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET revision = revision + 1")
    answer = api.get("/batches/1/events")
    assert answer.mimetype == "text/event-stream"
    name, data = re.findall(r"event: (\w+)\ndata: (.+)\n\n", answer.text)[0]
    assert (name, json.loads(data)) == ("progress", api.get("/batches/1").json)
    assert "event: end" in answer.text


def test_too_many_streams_are_refused(api: ApiClient) -> None:
    api.batch(imeis(1))
    backend = api.client.application.extensions["backend"]
    while backend.streams.acquire(blocking=False):
        pass
    problem(api.get("/batches/1/events"), 503)
