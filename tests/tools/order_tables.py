"""Rows of the table of orders to sum, filter and sort, and the plan of a query for them."""

import random
from typing import Any

import pytest
from simulated_provider import imeis
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite
from web_client import answer_chunks

from database import IMEIDatabase, utc_now
from orders import Outcome
from schema import orders
from storage.batch_creation import NewBatch, create_batch
from storage.order_terms import OrderFilter

NUMBER = "353370080089458"
STATUSES = ["Pending", "Completed", "Rejected", None]
BATCHES = (1, 2)
VERDICTS = ["pass", "review", "fail", None]
NOTHING = OrderFilter()
ORDER: dict[str, Any] = {
    "order_id": "15000001",
    "imei": "353000000000003",
    "service_id": "269",
    "credits": 0.08,
    "status": "Pending",
}


def row(chance: random.Random) -> dict[str, Any]:
    return {
        "imei": NUMBER,
        "status": chance.choice(STATUSES),
        "credits": chance.choice([0.08, 0.1, None, 3.3333]),
        "verdict": chance.choice(VERDICTS),
        "batch_id": chance.choice(BATCHES),
        "service_name": chance.choice(["One", "Two", None]),
        "order_date": chance.choice([utc_now(), None]),
    }


def plan(database: IMEIDatabase, query: Select[Any]) -> str:
    text = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with database.read() as connection:
        return "; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


@pytest.fixture(name="batch")
def batch_fixture(database: IMEIDatabase) -> int:
    """A finished batch: two ordered, one refused, one in doubt."""
    numbers = [f"35000000000000{n}" for n in range(4)]
    new = NewBatch("stock", "command", "269", "Check", 0.1, [(imei, n) for n, imei in enumerate(numbers)])
    batch_id = create_batch(database, new)
    said = dict(zip(numbers, [Outcome.ORDERED, Outcome.ORDERED, Outcome.REFUSED, Outcome.IN_DOUBT], strict=True))
    answer_chunks(database, lambda imei: (said[imei], ""))
    return batch_id


@pytest.fixture(name="known")
def known_fixture(database: IMEIDatabase) -> list[str]:
    """200 IMEIs, each with two orders: the first Rejected, the second Completed with a carrier by turns."""
    numbers = imeis(200)
    rows = [
        {"imei": imei, "order_id": f"{turn}{place}", "status": ("Rejected", "Completed")[turn], "service_id": "1739",
         "carrier": ("T-Mobile", "AT&T")[place % 2] if turn else None}
        for turn in (0, 1)
        for place, imei in enumerate(numbers)
    ]  # fmt: skip
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    return numbers
