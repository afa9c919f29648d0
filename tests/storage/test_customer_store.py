"""Customers are the names on batches, in any capitals, with what their batches came to and a default service."""

from datetime import date

import pytest
from simulated_provider import imeis
from sqlalchemy import select, update
from web_client import order_batch

from database import IMEIDatabase
from orders import BatchNames
from schema import orders
from storage import customer_store, dispute_queries, dispute_store, order_reports
from storage.batch_uploads import rename_batch
from storage.dispute_store import Refund

NAMES = ("ACME", "Müller", "Acme", "")


@pytest.fixture(name="named")
def named_fixture(database: IMEIDatabase) -> IMEIDatabase:
    """A batch of one phone for each of NAMES; each order costs half a dollar."""
    for imei, name in zip(imeis(4), NAMES, strict=True):
        rename_batch(database, order_batch(database, [imei]), BatchNames("stock", name))
    with database.write() as connection:
        connection.execute(update(orders).values(credits=0.5))
    return database


def test_writings_of_a_name_are_one_customer_with_the_newest_batch_first(named: IMEIDatabase) -> None:
    customer_store.set_default_service(named, "acme", "269")
    acme, mueller = customer_store.known_customers(named)
    assert (acme.name, acme.writings, acme.batches, acme.imeis, acme.last_batch) == ("Acme", ("Acme", "ACME"), 2, 2, 3)
    assert (acme.service_id, mueller.service_id) == ("269", "")
    spent = customer_store.spent_by(named, [acme, mueller])
    assert (spent["Acme"].dollars, spent["Müller"].dollars) == (1.0, 0.5)
    assert customer_store.find_customer(named, "MÜLLER") == mueller
    assert customer_store.find_customer(named, "") is None


def test_reports_and_filters_take_writings_of_a_name_as_one_customer(named: IMEIDatabase) -> None:
    assert customer_store.customer_names(named) == ["Acme", "Müller"]
    assert customer_store.customer_names(named, "MÜ") == ["Müller"]
    rows, count = order_reports.top(named, "customer", None, None, 1)
    assert (rows[0].key, rows[0].orders, rows[0].spent, count) == ("Acme", 2, 1.0, 3)
    with named.write() as connection:
        connection.execute(update(orders).values(status="Rejected"))
        rejected = connection.execute(select(orders.c.id).order_by(orders.c.id)).scalars().all()
    dispute_store.open_orders(named, rejected, "anna")
    first = dispute_queries.page(named, None, None, None, 9)[-1]
    dispute_store.record_refunds(named, [Refund(first.id, 0.5, date(2026, 11, 25))], "anna")
    found = {row.key: (row.rejected, row.refunded) for row in order_reports.spend(named, "customer")}
    assert found == {"Acme": (2, 0.5), "Müller": (1, 0.0), "": (1, 0.0)}


def test_a_renamed_customer_keeps_its_default_and_a_merged_one_takes_that_of_the_other(named: IMEIDatabase) -> None:
    customer_store.set_default_service(named, "ACME", "269")
    assert customer_store.rename_customer(named, "acme", "Acme Ltd") == 2
    assert customer_store.default_service(named, "ACME") == ""
    assert customer_store.default_service(named, "acme ltd") == "269"
    customer_store.set_default_service(named, "Müller", "1739")
    assert customer_store.rename_customer(named, "Acme Ltd", "müller") == 2
    [one] = customer_store.known_customers(named)
    assert (one.batches, one.service_id) == (3, "1739")
    assert customer_store.rename_customer(named, "nobody", "x") == 0
    customer_store.set_default_service(named, "MÜLLER", "")
    assert customer_store.default_service(named, "Müller") == ""
