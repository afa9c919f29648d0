"""What is known of each IMEI of a batch: the rows of an export, and the results of My sheet."""

from datetime import datetime
from typing import Any

import pytest
from sample_files import imeis
from sqlalchemy import select, update
from web_client import CARRIER, answer_chunks, order_batch

from database import IMEIDatabase
from grading import Verdict
from orders import Outcome, Progress
from results.batch_rows import phone_result, phone_results, result_rows
from schema import orders
from spreadsheets import PhoneResult
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from storage.rows import Order, OrderedItem
from storage.tag_store import tag_batches, tag_orders

ONE, TWO, THREE, FOUR = imeis(4)
PLACED, STORED = datetime(2026, 11, 2, 10, 30), datetime(2026, 11, 3)
FINDINGS: dict[str, Any] = {
    "model": "iPhone 12",
    "carrier": "T-Mobile",
    "simlock": "Locked",
    "fmi": "OFF",
    "blacklist": "Clean",
    "imei2": TWO,
    "serial": "0012E5",
    "order_id": "15",
}


def item(**values: Any) -> OrderedItem:
    blank: dict[str, Any] = dict.fromkeys(OrderedItem._fields)
    return OrderedItem(**blank | {"item_id": 1, "imei": ONE, "outcome": "ordered"} | values)


def earlier(**values: Any) -> Order:
    blank: dict[str, Any] = dict.fromkeys(Order._fields)
    return Order(**blank | {"id": 1, "imei": ONE, "existed": False, "account": "main", "created_at": STORED} | values)


def batch_of(database: IMEIDatabase, batch_id: int) -> Progress:
    found = progress(database, batch_id)
    assert found is not None
    return found


def test_a_result_has_all_findings_and_the_date_of_its_order() -> None:
    dates = {"order_date": PLACED, "created_at": STORED}
    found = phone_result(item(status="Completed", verdict="fail", **dates, **FINDINGS), {})
    assert found == PhoneResult(Verdict.FAIL, status="Completed", checked_on=PLACED, **FINDINGS)
    undated = phone_result(item(status="Completed", created_at=STORED), {})
    assert undated == PhoneResult(None, status="Completed", checked_on=STORED)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"status": "Completed", "other_imei": TWO}, f"The result is about IMEI {TWO}."),
        ({"status": "Rejected"}, "The provider rejected the order: No reason given."),
        (
            {"status": "Rejected", "result_code_display": "Not\n found " + "x" * 200},
            "The provider rejected the order: Not found " + "x" * 150,
        ),
        ({"status": "Completed", "result_code_display": "Not found"}, ""),
    ],
)
def test_what_is_odd_about_a_result_is_said(values: dict[str, Any], note: str) -> None:
    assert phone_result(item(**values), {}).note == note


@pytest.mark.parametrize(
    ("status", "pending"), [("Pending", True), ("In Process", True), ("Completed", False), ("Rejected", False)]
)
def test_a_result_is_pending_until_its_order_has_ended(status: str, pending: bool) -> None:
    assert phone_result(item(status=status), {}).is_pending is pending


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_imei_without_an_order_has_its_outcome_and_a_reason(outcome: Outcome) -> None:
    waits = outcome is Outcome.WAITING
    found = phone_result(item(outcome=outcome), {})
    assert found == PhoneResult(None, status=outcome.label, note="" if waits else outcome.hint, is_pending=waits)
    assert phone_result(item(outcome=outcome, message="Odd."), {}).note == "Odd."


@pytest.mark.parametrize(
    ("values", "note", "pending"),
    [
        ({"status": "Completed", "order_date": PLACED}, "Checked already on 2026-11-02, not paid again.", False),
        ({"status": "Completed", "created_at": None}, "Checked already, not paid again.", False),
        ({"status": "Pending"}, "Ordered already on 2026-11-03, not paid again.", True),
        (
            {"status": "Rejected", "result_code_display": "Bad"},
            "Rejected before on 2026-11-03, not sent again. The provider rejected the order: Bad",
            False,
        ),
        (
            {"status": "Completed", "imei": THREE},
            f"Checked already as IMEI 2 of {THREE} on 2026-11-03, not paid again.",
            False,
        ),
    ],
)
def test_a_duplicate_has_the_result_of_the_order_that_answers_for_it(
    values: dict[str, Any], note: str, pending: bool
) -> None:
    found = phone_result(item(outcome="duplicate"), {ONE: earlier(**FINDINGS | values)})
    assert (found.note, found.is_pending, found.model) == (note, pending, "iPhone 12")
    unknown = phone_result(item(outcome="duplicate", imei=FOUR), {ONE: earlier(**values)})
    assert unknown == PhoneResult(None, status="Duplicate", note=Outcome.DUPLICATE.hint)
    refused = phone_result(item(outcome="refused"), {ONE: earlier(**values)})
    assert refused.status == "Refused"


def test_every_imei_of_a_batch_has_one_result_of_the_same_service(database: IMEIDatabase) -> None:
    first = order_batch(database, [ONE])
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", model="iPhone 12", order_date=PLACED))
    new = NewBatch("b", "upload", CARRIER.package_id, CARRIER.title, 0.1, [(n, None) for n in (THREE, ONE, TWO)])
    second = create_batch(database, new)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "") if imei == TWO else (Outcome.ORDERED, ""))
    found = phone_results(database, batch_of(database, second))
    assert list(found) == [THREE, ONE, TWO]
    assert [one.status for one in found.values()] == ["Pending", "Completed", "In doubt"]
    assert found[ONE].note == "Checked already on 2026-11-02, not paid again."
    assert list(phone_results(database, batch_of(database, first))) == [ONE]


def test_an_imei_that_is_twice_in_a_batch_has_the_result_of_its_order(database: IMEIDatabase) -> None:
    new = NewBatch("b", "upload", CARRIER.package_id, CARRIER.title, 0.1, [(ONE, 1), (ONE, 2), (TWO, 3)])
    batch_id = create_batch(database, new)
    answer_chunks(database)
    found = phone_results(database, batch_of(database, batch_id))
    assert [(imei, one.status, one.note) for imei, one in found.items()] == [(ONE, "Pending", ""), (TWO, "Pending", "")]


def test_an_export_has_a_row_for_each_imei_with_its_tags_and_the_words_for_people(database: IMEIDatabase) -> None:
    batch_id = create_batch(
        database, NewBatch("b", "upload", "8", "Full check", 0.1, [(n, None) for n in (ONE, TWO, THREE)])
    )
    answers = {TWO: (Outcome.REFUSED, "Wrong IMEI"), THREE: (Outcome.IN_DOUBT, "")}
    answer_chunks(database, lambda imei: answers.get(imei, (Outcome.ORDERED, "")))
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", verdict="review", service_name=None))
        row_id = connection.execute(select(orders.c.id)).scalar_one()
    tag_batches(database, [batch_id], "urgent")
    tag_orders(database, [row_id], "lot 7")
    tag_orders(database, [row_id], "urgent")
    rows = list(result_rows(database, batch_of(database, batch_id)))
    shown = ("imei", "status", "result_code_display", "error", "verdict", "tags")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        (ONE, "Completed", None, None, "Review", "lot 7, urgent"),
        (TWO, "Refused", "Wrong IMEI", "Wrong IMEI", "", "urgent"),
        (THREE, "In doubt", None, None, "", "urgent"),
    ]
    assert {(row["batch_id"], row["service_name"]) for row in rows} == {(batch_id, "Full check")}
