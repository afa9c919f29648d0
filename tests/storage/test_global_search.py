"""The search over everything finds orders by their beginnings, and batches by their words, by indexes only."""

from datetime import timedelta

import pytest
from order_tables import NUMBER
from simulated_provider import imeis
from web_client import CARRIER, order_batch

from database import IMEIDatabase, utc_now
from orders import BatchNames
from schema import orders
from storage import global_search
from storage.batch_creation import NewBatch, create_batch
from storage.batch_uploads import rename_batch
from storage.customer_store import customer_names

ROWS = [
    {"id": 1, "order_id": "A-77", "imei": NUMBER, "imei2": "353370080000011", "serial": "F17ABC"},
    {"id": 2, "order_id": "353371", "imei": "990000000000005", "serial": "C02"},
    {"id": 3, "order_id": "9", "imei": NUMBER, "order_date": utc_now() - timedelta(days=1)},
]


@pytest.fixture(name="known")
def known_fixture(database: IMEIDatabase) -> IMEIDatabase:
    with database.write() as connection:
        for row in ROWS:
            connection.execute(orders.insert(), row)
    return database


@pytest.mark.parametrize(
    ("text", "found"),
    [(NUMBER, [3, 1]), (NUMBER[:6], [3, 1]), ("353370080000011", [1]), ("35337", [3, 2, 1]), ("A-7", [1]), ("7", [])],
)
def test_orders_are_found_by_the_beginning_of_imei_second_imei_and_order_id(
    known: IMEIDatabase, text: str, found: list[int]
) -> None:
    assert [order.id for order in global_search.orders_beginning(known, text, 9)] == found


def test_serial_numbers_are_found_in_any_capitals(known: IMEIDatabase) -> None:
    assert [order.id for order in global_search.orders_of_serial(known, "f17", 9)] == [1]


def test_batches_and_customers_are_found_by_their_words_and_batches_by_their_number(database: IMEIDatabase) -> None:
    for number, names in enumerate((BatchNames("Berlin", "ACME", "Box 3"), BatchNames("Paris 1", "Acme Ltd", ""))):
        rename_batch(database, order_batch(database, imeis(4)[2 * number : 2 * number + 2]), names)

    def found(text: str) -> list[int]:
        return [one.batch_id for one in global_search.find_batches(database, text, 9)]

    assert (found("acme"), found("box ACME"), found("#2"), found("1"), found("9")) == ([2, 1], [1], [2], [1, 2], [])
    assert customer_names(database, "acme") == ["ACME", "Acme Ltd"]


def test_an_imei_without_an_order_is_found_in_its_unfinished_batch(database: IMEIDatabase) -> None:
    [imei] = imeis(1)
    database.store_services([CARRIER], 0)
    batch_id = create_batch(database, NewBatch("a", "upload", CARRIER.package_id, "", 0.1, [(imei, None)]))
    assert global_search.batches_awaiting(database, imei) == [batch_id]
    assert global_search.batches_awaiting(database, NUMBER) == []
