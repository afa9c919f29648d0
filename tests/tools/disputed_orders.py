"""Orders beside the batch of order_tables.py, most of which can be disputed with the provider."""

from datetime import datetime

import pytest
from sqlalchemy import insert

from database import IMEIDatabase
from schema import orders


@pytest.fixture(name="rows")
def rows_fixture(database: IMEIDatabase, batch: int) -> list[int]:
    """The rows of 12 orders beside the batch: two of three rejected, every fourth about another IMEI."""
    found = [
        {"order_id": f"77{n}", "imei": f"35000000000100{n:02}", "service_name": "Check", "service_id": "269",
         "credits": 0.5, "order_date": datetime(2026, 11, 1 + n), "status": "Rejected" if n % 3 else "Completed",
         "other_imei": "350000000000014" if n % 4 == 0 else None, "existed": n == 11}
        for n in range(12)
    ]  # fmt: skip
    with database.write() as connection:
        return list(connection.execute(insert(orders).returning(orders.c.id), found).scalars())
