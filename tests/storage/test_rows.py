"""The types of stored rows name the columns of their SELECTs, in the same order."""

import pytest

from database import IMEIDatabase
from schema import orders
from storage import order_filters, order_queries
from storage.order_terms import OrderFilter
from storage.rows import Order, read_id

NUMBER = "353370080089458"


def test_an_order_has_every_column_of_the_table_in_its_order() -> None:
    assert list(Order._fields) == list(orders.c.keys())


def test_an_order_is_read_with_each_value_in_its_field(database: IMEIDatabase) -> None:
    values = {
        "order_id": "7", "service_name": "S", "service_id": "9", "imei": NUMBER, "imei2": "2", "credits": 0.5,
        "status": "Completed", "carrier": "C", "simlock": "Locked", "model": "M", "fmi": "ON", "result_code": "raw",
        "result_code_display": "text", "notes": "N", "raw_response": "{}", "blacklist": "Clean", "serial": "X",
        "warranty": "W", "attempt_id": 3, "other_imei": "O", "existed": True,
    }  # fmt: skip
    database.insert_order(values)
    [found] = order_filters.page(database, OrderFilter())
    assert {name: getattr(found, name) for name in values} == values
    assert found == order_queries.find_order(database, "7")


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("7", 7),
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("", None),
        ("-7", None),
        ("7x", None),
        ("²", None),
    ],
)
def test_the_id_of_a_row_is_a_number_that_a_row_may_have(text: str, row: int | None) -> None:
    assert read_id(text) == row
