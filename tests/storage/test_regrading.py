"""Verdicts follow the rules and the age of a result, in short transactions, also after a kill in the middle."""

from datetime import datetime, timedelta

import pytest
from graded_orders import STRICT, plant, verdicts
from sqlalchemy import insert, select, update

from database import IMEIDatabase, utc_now
from grading import DEFAULT_RULES, VerdictCounts, checked_rule
from schema import orders
from storage import kept_sums, order_queries, regrading, verdict_store

NUMBER = "353370080089458"


def versions(database: IMEIDatabase) -> set[int | None]:
    with database.read() as connection:
        return set(connection.execute(select(orders.c.rules_version)).scalars())


def plant_pending(database: IMEIDatabase) -> None:
    with database.write() as connection:
        rows = [{"imei": NUMBER, "order_id": f"P{n}", "status": "Pending"} for n in range(40)]
        connection.execute(insert(orders), rows)


def test_after_an_upgrade_every_result_is_graded_in_short_transactions(database: IMEIDatabase) -> None:
    plant(database, 1200)
    assert regrading.step(database, utc_now()) == regrading.GRADED_AT_ONCE
    assert verdicts(database) == {"pass": 500, None: 700}
    regrading.regrade(database)
    assert verdicts(database) == {"pass": 1200}
    assert regrading.regrade(database) == 0


@pytest.mark.parametrize("counted", [0, 10_000])
def test_new_rules_grade_every_result_again_also_after_a_kill(database: IMEIDatabase, counted: int) -> None:
    plant(database, 1700, simlock="Locked")
    plant_pending(database)
    regrading.regrade(database)
    assert verdicts(database) == {"review": 1700, None: 40}
    kept_sums.tend(database, counted)
    assert regrading.progress(database) is None
    verdict_store.save_rules(database, STRICT, "admin")
    regrading.step(database, utc_now())
    database.close()
    with IMEIDatabase(database.address) as again:  # as after a kill: only what was committed is there
        assert verdicts(again) == {"fail": 500, "review": 1200, None: 40}
        state = regrading.progress(again)
        assert state
        assert (state.version, state.done, state.percent) == (2, 500, 28)
        assert regrading.regrade(again) == 1200
        assert verdicts(again) == {"fail": 1700, None: 40}
        assert versions(again) == {2, None}
        assert regrading.progress(again) is None
        assert order_queries.verdicts(again) == VerdictCounts(failed=1700, pending=40)


def test_a_verdict_follows_the_age_of_its_result(database: IMEIDatabase) -> None:
    placed = datetime(2026, 3, 1, 12)
    plant(database, 700, order_date=placed)
    with database.write() as connection:
        later = orders.c.id > 400
        connection.execute(update(orders).where(later).values(order_date=placed + timedelta(days=9)))
        connection.execute(update(orders).where(orders.c.id == 700).values(order_date=None))
    rules = (*DEFAULT_RULES, checked_rule("review", "older", "30"), checked_rule("fail", "older", "35"))
    rules = (rules[-1], *rules[:-1])
    verdict_store.save_rules(database, rules, "admin")
    seen = []
    for days in (10, 29, 30, 34, 35, 39, 44, 60):
        regrading.regrade(database, now=placed + timedelta(days=days))
        found = verdicts(database)
        seen.append((days, found.get("pass", 0), found.get("review", 0), found.get("fail", 0)))
    assert seen == [
        (10, 700, 0, 0),
        (29, 700, 0, 0),
        (30, 300, 400, 0),
        (34, 300, 400, 0),
        (35, 300, 0, 400),
        (39, 1, 299, 400),
        (44, 1, 0, 699),
        (60, 1, 0, 699),  # an order without a date has no age
    ]
    assert regrading.regrade(database, now=placed + timedelta(days=61)) == 0
