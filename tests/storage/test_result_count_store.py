"""Counts of results are what a count of every order gives, whatever was changed, in every grain and period."""

import random
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import chain, combinations
from typing import Any

import pytest
from order_tables import NUMBER
from sqlalchemy import delete, func, insert, select, update

from database import IMEIDatabase
from schema import RESULT_FIELDS, orders, result_changes
from storage import result_count_store
from storage.batch_creation import NewBatch, create_batch
from storage.result_count_store import Chosen, Counts, can_combine, split

FIRST = datetime(2026, 1, 28, 23, 59, 59)
COMBINED = [
    fields
    for fields in chain.from_iterable(combinations(RESULT_FIELDS, many) for many in (1, 2, 3))
    if can_combine(fields)
]
SINCE = (None, date(2026, 1, 29), date(2026, 2, 1), date(2026, 3, 1))
UNTIL = (None, date(2026, 2, 28), date(2026, 3, 1), date(2026, 4, 2))
PERIODS = [Chosen(since, until) for since in SINCE for until in UNTIL]
OF_BATCHES = [
    Chosen(batch=1), Chosen(customer="Acme"), Chosen(date(2026, 2, 1), date(2026, 2, 9), 2),
    Chosen(SINCE[1], UNTIL[2], customer="Acme"),
]  # fmt: skip


def result(chance: random.Random) -> dict[str, Any]:
    """An order with a result, or without one, on some day of ten weeks."""
    return {
        "imei": NUMBER,
        "status": chance.choice(["Completed", "Completed", "Completed", "Rejected", "Pending", None]),
        "order_date": chance.choice([FIRST + timedelta(days=chance.randrange(70)), None]),
        "batch_id": chance.choice([1, 2, 3, None]),
        "service_name": chance.choice(["Check", "Check of everything", None]),
        "model": chance.choice(["iPhone 12", "iPhone 13 128GB", "", None]),
        "carrier": chance.choice(["AT&T", "T-Mobile", "Vodafone Österreich", None]),
        "simlock": chance.choice(["Locked", "Unlocked", None]),
        "fmi": chance.choice(["ON", "OFF"]),
        "blacklist": chance.choice(["Clean", None]),
        "verdict": chance.choice(["pass", "review", "fail", None]),
    }


def counted(database: IMEIDatabase, fields: tuple[str, ...], chosen: Chosen) -> Counts:
    """By reading every order."""
    day, found = func.coalesce(func.day_of(orders.c.order_date), ""), Counter[tuple[str, ...]]()
    columns = [func.coalesce(orders.c[name], "") for name in fields]
    query = select(*columns, day, orders.c.batch_id).where(orders.c.status == "Completed", orders.c.verdict > "")
    batches = {chosen.batch} if chosen.batch else {1, 3} if chosen.customer else None
    with database.read() as connection:
        for *values, placed, batch in connection.execute(query):
            if (batches is None or batch in batches) and _is_within(placed, chosen):
                found[tuple(values)] += 1
    return found


def _is_within(day: str, chosen: Chosen) -> bool:
    ends = (chosen.since or date.min).isoformat(), (chosen.until or date.max).isoformat()
    return ends[0] <= day <= ends[1] or (chosen.since, chosen.until) == (None, None)


def test_counts_are_those_of_the_orders_after_any_change(database: IMEIDatabase) -> None:
    chance = random.Random(11)
    for number, customer in enumerate(("Acme", "", "ACME")):
        imeis = [(f"35000000000000{number}", 1)]
        create_batch(database, NewBatch("stock", "command", "269", "Check", 0.1, imeis, customer=customer))
    for step in range(30):
        with database.write() as connection:
            ids = connection.execute(select(orders.c.id)).scalars().all()
            kind = chance.choice(["insert", "insert", "change", "grade", "delete", "add up"])
            some = orders.c.id.in_(chance.sample(ids, min(5, len(ids))))
            if kind == "insert":
                connection.execute(insert(orders), [result(chance) for _ in range(20)])
            elif kind == "change":
                connection.execute(update(orders).where(some).values(result(chance)))
            elif kind == "grade":
                connection.execute(update(orders).where(some).values(verdict=chance.choice(["pass", "fail", None])))
            elif kind == "delete":
                connection.execute(delete(orders).where(some))
            else:
                result_count_store.add_up(connection)
        fields = chance.choice(COMBINED)
        for chosen in chance.sample(PERIODS, 2) + chance.sample(OF_BATCHES, 1):
            found = result_count_store.count(database, fields, chosen)
            assert found == counted(database, fields, chosen), (step, kind, fields, chosen)


def test_placing_orders_notes_nothing_and_a_result_is_noted_once(database: IMEIDatabase) -> None:
    def noted() -> int:
        with database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(result_changes)).scalar_one())

    with database.write() as connection:
        connection.execute(insert(orders), [{"imei": NUMBER, "status": "Pending"} for _ in range(9)])
        connection.execute(update(orders).values(status="Completed", model="iPhone 12" * 200))
        assert noted() == 0
        connection.execute(update(orders).values(verdict="pass", verdict_rule=9))
    assert noted() == 9
    result_count_store.update_counts(database, few=9)
    assert noted() == 9
    result_count_store.update_counts(database, few=8)
    assert noted() == 0
    assert result_count_store.count(database, ("model",), Chosen()) == {(("iPhone 12" * 9)[:80],): 9}


def test_a_period_is_split_into_whole_months_and_days() -> None:
    day = date.fromisoformat
    assert split(None, None) == (("", "9999-12"), [])
    assert split(day("2026-11-01"), day("2026-11-30")) == (("2026-11", "2026-11"), [])
    assert split(day("2026-11-02"), day("2026-12-30")) == (None, [(day("2026-11-02"), day("2026-12-30"))])
    parts = split(day("2025-12-31"), day("2026-03-01"))
    assert parts == (("2026-01", "2026-02"), [(day("2025-12-31"),) * 2, (day("2026-03-01"),) * 2])
    with pytest.raises(ValueError, match="not counted together"):
        result_count_store.count(None, ("model", "carrier", "fmi"), Chosen())  # type: ignore[arg-type]
