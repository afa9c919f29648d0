"""Phones of other customers are found by their orders, and by the unfinished batches in which they wait."""

from simulated_provider import imeis
from web_client import CARRIER, order_batch

from database import IMEIDatabase
from orders import BatchNames
from storage.batch_creation import NewBatch, create_batch
from storage.batch_uploads import rename_batch
from storage.customers_seen import seen_for_others

FIRST, SECOND, THIRD, FOURTH = imeis(4)


def seen(database: IMEIDatabase, customer: str) -> list[tuple[str, int, str]]:
    found = seen_for_others(database, imeis(4), customer)
    return [(imei, one.batch_id, one.customer) for one in found for imei in sorted(one.imeis, reverse=True)]


def test_orders_and_waiting_imeis_of_other_customers_are_found(database: IMEIDatabase) -> None:
    rename_batch(database, order_batch(database, [FIRST, SECOND]), BatchNames("", "ACME"))
    assert seen(database, "Acme") == []
    rename_batch(database, order_batch(database, [SECOND, THIRD]), BatchNames("", "Berlin"))
    order_batch(database, [THIRD])  # a batch without a customer does not count
    waiting = NewBatch("", "upload", CARRIER.package_id, "", 0.1, [(FOURTH, None)], customer="Paris")
    create_batch(database, waiting)
    assert seen(database, "ACME ") == [(FOURTH, 4, "Paris"), (THIRD, 2, "Berlin")]
    assert seen(database, "") == [(FOURTH, 4, "Paris"), (THIRD, 2, "Berlin"), (SECOND, 1, "ACME"), (FIRST, 1, "ACME")]
    assert seen_for_others(database, [], "ACME") == []
