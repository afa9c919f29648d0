"""The balance is low: an event each time that it falls below the limit, not each time that it is read."""

import json
import time

import pytest
from handmade_calls import one, read_balance

from database import IMEIDatabase
from notices.low_balance import note_balance

COUNT = "SELECT count(*) FROM outbox_events WHERE kind = 'balance.low'"


def test_each_fall_below_the_limit_is_one_event(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    for credits, expected in ((60.0, 0), (50.0, 0), (49.99, 1), (3.5, 1), (70.0, 1), (10.0, 2)):
        read_balance(database, credits)
        for process in (database, rival, database):
            note_balance(process, 50.0)
        assert one(database, COUNT) == expected, credits
    data = json.loads(one(database, "SELECT data FROM outbox_events ORDER BY id DESC LIMIT 1"))
    assert data == {"balance": "10.00", "limit": "50.00", "currency": "USD"}


def test_a_balance_that_a_page_read_counts_too(database: IMEIDatabase) -> None:
    database.set_setting("account", json.dumps({"credits": 1.0, "text": "$ 1.00", "at": time.time()}))
    note_balance(database, 50.0)
    assert one(database, COUNT) == 1


@pytest.mark.parametrize(("credits", "limit"), [(1.0, None), (None, 50.0)])
def test_without_a_limit_or_a_balance_there_is_no_event(
    database: IMEIDatabase, credits: float | None, limit: float | None
) -> None:
    if credits is not None:
        read_balance(database, credits)
    note_balance(database, limit)
    assert one(database, COUNT) == 0
