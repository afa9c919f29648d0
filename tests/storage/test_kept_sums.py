"""Sums and tallies say exactly what a count of every order says, whatever was changed, and by whom."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update
from web_client import answer_chunks

from database import IMEIDatabase, utc_now
from orders import Outcome
from schema import batches, orders, totals_mark
from schema import order_totals as totals
from storage import batch_queries, kept_sums, order_queries, order_reports, verdict_store
from storage.batch_creation import NewBatch, create_batch
from storage.kept_sums import tally_finished
from storage.verdict_store import VerdictCounts

NUMBER = "353370080089458"
STATUSES = ["Pending", "Completed", "Rejected", None]
BATCHES = (1, 2)
VERDICTS = ["pass", "review", "fail", None]


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


Verdicts = dict[int, VerdictCounts]
Added = tuple[dict[str, int], dict[str, int], float, Verdicts]


def counted(database: IMEIDatabase) -> Added:
    """By reading every order."""
    columns = (orders.c.status, orders.c.service_name, orders.c.credits, orders.c.batch_id, orders.c.verdict)
    with database.read() as connection:
        rows = connection.execute(select(*columns)).all()
    by_status, by_service = (Counter(one[place] or "" for one in rows) for place in (0, 1))
    verdicts = {
        batch_id: verdict_store.counts_of(Counter(one.verdict or "" for one in rows if one.batch_id == batch_id))
        for batch_id in BATCHES
    }
    return dict(by_status), dict(by_service), round(sum(one.credits or 0 for one in rows), 4), verdicts


def summed(database: IMEIDatabase) -> Added:
    found = order_queries.statistics(database)
    assert found.total_orders == database.count_orders() == sum(found.by_status.values())
    with database.read() as connection:
        verdicts = verdict_store.verdict_counts(connection, BATCHES)
    assert found.total_orders == sum(one.total for one in verdicts.values())
    return found.by_status, found.by_service, found.total_credits, verdicts


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


def test_a_row_id_that_is_given_away_again_is_counted(database: IMEIDatabase) -> None:
    """An orders table of the program before this one does not keep the ids of removed orders back."""
    with database.write() as connection:
        connection.execute(insert(orders), [{"imei": NUMBER, "id": n} for n in (1, 2, 3)])
        kept_sums.roll(connection)
        connection.execute(delete(orders).where(orders.c.id > 1))
        connection.execute(insert(orders).values(imei=NUMBER, id=2))
    assert database.count_orders() == 2


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


def test_reports_and_the_chart_add_up_the_same_before_and_after_the_mark_moves(database: IMEIDatabase) -> None:
    chance = random.Random(6)
    with database.write() as connection:
        connection.execute(insert(orders), [row(chance) | {"batch_id": None} for _ in range(200)])
    before = [order_reports.spend(database, by) for by in order_reports.BY], order_queries.daily(database)
    kept_sums.tend(database, 0)
    assert before == ([order_reports.spend(database, by) for by in order_reports.BY], order_queries.daily(database))
    assert sum(one.orders for one in before[0][0]) == 200


@pytest.fixture
def batch(database: IMEIDatabase) -> int:
    """A finished batch: two ordered, one refused, one in doubt."""
    numbers = [f"35000000000000{n}" for n in range(4)]
    new = NewBatch("stock", "command", "269", "Check", 0.1, [(imei, n) for n, imei in enumerate(numbers)])
    batch_id = create_batch(database, new)
    said = dict(zip(numbers, [Outcome.ORDERED, Outcome.ORDERED, Outcome.REFUSED, Outcome.IN_DOUBT], strict=True))
    answer_chunks(database, lambda imei: (said[imei], ""))
    return batch_id


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


def test_a_batch_has_spent_what_its_orders_cost_whatever_its_price_is_now(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET unit_price = 0.6, revision = revision + 1")
        connection.execute(insert(orders), [{"imei": NUMBER, "batch_id": batch, "credits": 0.6} for _ in range(3)])
        connection.execute(insert(orders).values(imei=NUMBER, credits=70.0))  # of no batch
    for upto in (0, 3, 5, 6):  # counted where they lie, some below the mark, all below it
        with database.write() as connection:
            connection.execute(totals.delete())
            connection.execute(kept_sums.ROLL, {"after": 0, "upto": upto})
            connection.execute(totals_mark.update().values(upto=upto))
        found = batch_queries.progress(database, batch)
        assert found is not None
        assert (round(found.spent, 6), round(found.cost, 6), round(found.at_stake, 6)) == (2.0, 2.6, 0.6), upto
        assert [round(row.spent, 6) for row in order_reports.spend(database, "batch")] == [70.0, 2.0]


def test_an_order_that_existed_before_our_call_costs_nothing_anywhere(database: IMEIDatabase, batch: int) -> None:
    before = batch_queries.progress(database, batch)
    assert before is not None
    values = {"imei": NUMBER, "batch_id": batch, "credits": 0, "existed": True, "order_date": utc_now()}
    with database.write() as connection:
        promised = batch_queries.spent_or_promised(connection)
        connection.execute(insert(orders).values(**values, service_name="Check", status="Completed"))
    for few in (1000, 0):
        kept_sums.tend(database, few)
        after = batch_queries.progress(database, batch)
        assert after is not None
        assert (after.spent, after.cost) == (before.spent, before.cost)
        with database.read() as connection:
            assert batch_queries.spent_or_promised(connection) == promised
        today = batch_queries.today(database)
        assert (today.orders, round(today.spent, 6)) == (3, 0.2)
        assert order_queries.statistics(database).total_credits == 0.2
        assert round(order_queries.daily(database)[-1].spent, 6) == 0.2
        assert all(round(row.spent, 6) == 0.2 for by in order_reports.BY for row in order_reports.spend(database, by))


def test_findings_come_from_the_tally_until_a_result_changes(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", carrier="A"))
    tally_finished(database)
    said = order_reports.finding_summary(database, batch)
    assert [(one.value, one.orders) for one in said if one.field == "carrier"] == [("A", 2)]
    with database.write() as connection:  # as by hand, without a word to the batch
        connection.exec_driver_sql("UPDATE orders SET carrier = 'B' WHERE id = (SELECT max(id) FROM orders)")
    said = order_reports.finding_summary(database, batch)
    assert [(one.value, one.orders) for one in said if one.field == "carrier"] == [("A", 1), ("B", 1)]
