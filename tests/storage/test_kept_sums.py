"""Sums and tallies say exactly what a count of every order says, whatever was changed, and by whom."""

import json
import random
from collections import Counter
from typing import Any

from order_tables import BATCHES, NUMBER, row
from sqlalchemy import delete, func, insert, select, update

from database import IMEIDatabase
from orders import FINAL_STATUSES, Outcome
from schema import batches, orders
from schema import order_totals as totals
from storage import batch_queries, kept_sums, order_queries
from storage.batch_creation import NewBatch, create_batch
from storage.kept_sums import OrderSums, tally_finished

Sums = dict[int, OrderSums]
Added = tuple[dict[str, int], dict[str, int], float, Sums]


def counted(database: IMEIDatabase) -> Added:
    """By reading every order."""
    columns = (orders.c.status, orders.c.service_name, orders.c.credits, orders.c.batch_id, orders.c.verdict)
    with database.read() as connection:
        rows = connection.execute(select(*columns)).all()
    by_status, by_service = (Counter(one[place] or "" for one in rows) for place in (0, 1))
    sums = {batch_id: sums_of([one for one in rows if one.batch_id == batch_id]) for batch_id in BATCHES}
    return dict(by_status), dict(by_service), round(sum(one.credits or 0 for one in rows), 4), sums


def sums_of(rows: list[Any]) -> OrderSums:
    """The sums of these orders, one by one."""
    final = sum(one.status in FINAL_STATUSES for one in rows)
    verdicts = Counter(one.verdict for one in rows)
    amount = sum(round((one.credits or 0) * 1_000_000) for one in rows)
    return OrderSums(amount, final, len(rows) - final, verdicts["pass"], verdicts["review"], verdicts["fail"])


def summed(database: IMEIDatabase) -> Added:
    found = order_queries.statistics(database)
    assert found.total_orders == database.count_orders() == sum(found.by_status.values())
    with database.read() as connection:
        sums = kept_sums.order_sums(connection, BATCHES)
    assert found.total_orders == sum(one.final + one.pending for one in sums.values())
    return found.by_status, found.by_service, found.total_credits, sums


def test_sums_are_right_after_any_change_above_and_below_the_mark(database: IMEIDatabase) -> None:
    chance = random.Random(5)
    for number in BATCHES:
        create_batch(database, NewBatch("stock", "command", "269", "Check", 0.1, [(f"35000000000000{number}", 1)]))
    for step in range(120):
        with database.write() as connection:
            ids = connection.execute(select(orders.c.id)).scalars().all()
            kind = chance.choice(["insert", "insert", "update", "delete", "newest", "roll"])
            if kind == "insert":
                connection.execute(insert(orders), [row(chance) for _ in range(chance.randrange(1, 9))])
            elif kind == "roll":
                kept_sums.roll(connection)
            elif ids and kind == "update":
                some = orders.c.id.in_(chance.sample(ids, min(3, len(ids))))
                connection.execute(update(orders).where(some).values(row(chance)))
            elif ids:
                gone = max(ids) if kind == "newest" else chance.choice(ids)
                connection.execute(delete(orders).where(orders.c.id == gone))
        assert summed(database) == counted(database), (step, kind)


def test_a_row_id_that_is_given_away_again_is_counted(file_database: IMEIDatabase) -> None:
    """An orders table of the program before this one does not keep the ids of removed orders back."""
    with file_database.write() as connection:
        connection.execute(insert(orders), [{"imei": NUMBER, "id": n} for n in (1, 2, 3)])
        kept_sums.roll(connection)
        connection.execute(delete(orders).where(orders.c.id > 1))
        connection.execute(insert(orders).values(imei=NUMBER, id=2))
    assert file_database.count_orders() == 2


def test_placing_orders_writes_nothing_into_the_totals_and_tending_moves_the_mark(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(insert(orders), [{"imei": NUMBER, "credits": 0.08} for _ in range(30)])
        assert kept_sums.uncounted(connection) == 30
    kept_sums.tend(database, few=30)
    with database.read() as connection:
        assert kept_sums.uncounted(connection) == 30  # few enough for pages to count themselves
    kept_sums.tend(database, few=29)
    with database.read() as connection:
        assert kept_sums.uncounted(connection) == 0
        assert connection.execute(select(func.sum(totals.c.orders))).scalar_one() == 30
    assert database.count_orders() == 30


def test_a_finished_batch_is_tallied_and_a_change_is_never_hidden_by_its_tally(
    database: IMEIDatabase, batch: int
) -> None:
    fresh = batch_queries.progress(database, batch)
    assert tally_finished(database) == 1
    assert tally_finished(database) == 0
    assert batch_queries.progress(database, batch) == fresh
    with database.write() as connection:
        stored = json.loads(connection.execute(select(batches.c.tally)).scalar_one())
        assert stored[0] == {"ordered": 2, "refused": 1, "in_doubt": 1}
        connection.exec_driver_sql("UPDATE items SET outcome = 'ordered' WHERE outcome = 'in_doubt'")
        connection.execute(update(batches).values(revision=batches.c.revision + 1))  # as every change of ours does
    changed = batch_queries.progress(database, batch)
    assert changed is not None
    assert (changed.outcomes[Outcome.ORDERED], changed.outcomes[Outcome.IN_DOUBT]) == (3, 0)
