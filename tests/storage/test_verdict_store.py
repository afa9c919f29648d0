"""Each result is graded where it is stored, and verdicts follow the rules, also after a kill in the middle."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from web_client import answer_chunks

from database import IMEIDatabase, utc_now
from grading import DEFAULT_RULES, Condition, Rule, StopLoss, Verdict, checked_rule, rules_to_json
from orders import BatchState, IMEIOrder
from results.imports import import_orders, undo_import
from results.sync import reparse, result_values
from schema import orders, rule_versions
from spreadsheets.order_rows import read_orders
from storage import (
    batch_queries,
    batch_states,
    kept_sums,
    order_queries,
    regrading,
    rule_trials,
    stop_loss,
    verdict_store,
)
from storage.batch_creation import NewBatch, create_batch
from storage.result_store import store_results
from storage.verdict_store import VerdictCounts

NUMBER = "353370080089458"
NUMBERS = [f"35000000000{n:04d}" for n in range(3000)]
SERVICE = "Apple FMI + Blacklist"
STRICT = (Rule(Verdict.FAIL, Condition.LOCKED), *DEFAULT_RULES)


def text(fmi: str = "OFF", blacklist: str = "Clean") -> str:
    return f"Model: iPhone 12\nFind My iPhone: {fmi}\nBlacklist Status: {blacklist}\nSIM Lock: Locked"


def plant(database: IMEIDatabase, count: int, **values: Any) -> None:
    """Completed orders without a verdict, as before an upgrade."""
    row = {"status": "Completed", "fmi": "OFF", "service_name": SERVICE, "blacklist": "Clean", "order_date": utc_now()}
    with database.write() as connection:
        connection.execute(
            insert(orders), [row | {"imei": imei, "order_id": imei} | values for imei in NUMBERS[:count]]
        )


def verdicts(database: IMEIDatabase) -> dict[str | None, int]:
    """Verdict → orders, by reading every order."""
    with database.read() as connection:
        return dict(Counter(connection.execute(select(orders.c.verdict)).scalars()))


def versions(database: IMEIDatabase) -> set[int | None]:
    with database.read() as connection:
        return set(connection.execute(select(orders.c.rules_version)).scalars())


@pytest.fixture
def batch(database: IMEIDatabase) -> int:
    batch_id = create_batch(database, NewBatch("stock", "command", "269", SERVICE, 0.1, [(n, 1) for n in NUMBERS[:60]]))
    answer_chunks(database)
    return batch_id


def listed(database: IMEIDatabase, code: str, status: str = "Completed", first: int = 0, last: int = 60) -> int:
    """The provider lists some of the orders with this result."""
    with database.read() as connection:
        rows = connection.execute(select(orders.c.order_id, orders.c.imei).order_by(orders.c.id)).all()[first:last]
    return store_results(database, [IMEIOrder(row.order_id, row.imei, status, code) for row in rows], result_values)


def test_a_new_database_begins_with_the_default_rules(database: IMEIDatabase) -> None:
    with database.read() as connection:
        in_force = verdict_store.rules_in_force(connection)
        assert connection.execute(select(rule_versions.c.rules)).scalar_one() == rules_to_json(DEFAULT_RULES)
    assert (in_force.version, in_force.rules) == (1, DEFAULT_RULES)


def test_a_result_is_graded_in_the_transaction_that_stores_it(database: IMEIDatabase, batch: int) -> None:
    assert verdicts(database) == {None: 60}
    listed(database, text("ON"), last=10)
    listed(database, text(), first=10, last=30)
    listed(database, "Not found", "Rejected", first=30, last=33)
    with database.read() as connection:
        counts = verdict_store.verdict_counts(connection, [batch, 77])
    assert counts == {batch: VerdictCounts(passed=0, review=23, failed=10, pending=27), 77: VerdictCounts()}
    order = order_queries.find_order(database, order_queries.latest_orders(database, batch, 60)[-1].order_id or "")
    assert order
    decision = verdict_store.decision(database, order)
    assert decision
    assert decision.words == "Fail if Find My iPhone is ON"


def test_an_import_its_undoing_and_a_new_parser_grade_too(database: IMEIDatabase) -> None:
    titles = "SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE"
    line = f"Old,{NUMBER},$0.08,Completed,Model: X,,A,Unlocked,X,OFF,2025-11-14 3:33:00"
    import_orders(database, list(read_orders(f"{titles}\r\n{line}".encode())), "old.csv")
    assert verdicts(database) == {"pass": 1}
    worse = line.replace("OFF", "ON")
    import_id, _ = import_orders(database, list(read_orders(f"{titles}\r\n{worse}".encode())), "new.csv")
    assert verdicts(database) == {"fail": 1}
    undo_import(database, import_id)
    assert verdicts(database) == {"pass": 1}
    with database.write() as connection:
        connection.execute(update(orders).values(result_code=text("ON")))
    reparse(database)
    assert verdicts(database) == {"fail": 1}
    with database.write() as connection:
        connection.execute(update(orders).values(order_id="77"))
    assert database.update_order_status("77", "Completed", {"fmi": "OFF"})
    assert verdicts(database) == {None: 1}
    regrading.tend(database)
    assert verdicts(database) == {"review": 1}  # the SIM lock of the text that was read again


def test_the_same_rules_again_make_no_version(database: IMEIDatabase) -> None:
    assert verdict_store.save_rules(database, DEFAULT_RULES, "admin") is None
    saved = verdict_store.save_rules(database, STRICT, "admin")
    assert saved
    assert (saved.version, saved.author) == (2, "admin")
    assert verdict_store.save_rules(database, STRICT, "admin") is None
    assert [one.version for one in verdict_store.rule_history(database, 9)] == [2, 1]


def test_after_an_upgrade_every_result_is_graded_in_short_transactions(database: IMEIDatabase) -> None:
    plant(database, 1200)
    assert regrading.step(database, utc_now()) == regrading.GRADED_AT_ONCE
    assert verdicts(database) == {"pass": 500, None: 700}
    regrading.tend(database)
    assert verdicts(database) == {"pass": 1200}
    assert regrading.tend(database) == 0


@pytest.mark.parametrize("counted", [0, 10_000])
def test_new_rules_grade_every_result_again_also_after_a_kill(database: IMEIDatabase, counted: int) -> None:
    plant(database, 1700, simlock="Locked")
    plant_pending(database)
    regrading.tend(database)
    assert verdicts(database) == {"review": 1700, None: 40}
    kept_sums.tend(database, counted)
    assert regrading.progress(database) is None
    verdict_store.save_rules(database, STRICT, "admin")
    regrading.step(database, utc_now())
    path = database.path
    database.close()
    with IMEIDatabase(path) as again:  # as after a kill: only what was committed is there
        assert verdicts(again) == {"fail": 500, "review": 1200, None: 40}
        state = regrading.progress(again)
        assert state
        assert (state.version, state.done, state.percent) == (2, 500, 28)
        assert regrading.tend(again) == 1200
        assert verdicts(again) == {"fail": 1700, None: 40}
        assert versions(again) == {2, None}
        assert regrading.progress(again) is None
        assert order_queries.verdicts(again) == VerdictCounts(failed=1700, pending=40)


def plant_pending(database: IMEIDatabase) -> None:
    with database.write() as connection:
        rows = [{"imei": NUMBER, "order_id": f"P{n}", "status": "Pending"} for n in range(40)]
        connection.execute(insert(orders), rows)


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
        regrading.tend(database, now=placed + timedelta(days=days))
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
    assert regrading.tend(database, now=placed + timedelta(days=61)) == 0


def test_rules_are_tried_on_the_newest_results_without_writing(database: IMEIDatabase) -> None:
    plant(database, 1100, simlock="Locked")
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.id > 1080).values(fmi="ON"))
    found = rule_trials.try_rules(database, STRICT)
    assert (found.tried, found.changed) == (1000, 980)
    assert found.moves == ((Verdict.REVIEW, Verdict.FAIL, 980),)
    assert len(found.sample) == rule_trials.SHOWN
    assert found.sample[0].why == "Fail if it is SIM locked"
    assert verdicts(database) == {None: 1100}
    assert rule_trials.try_rules(database, DEFAULT_RULES).changed == 0


def state_of(database: IMEIDatabase, batch: int) -> tuple[BatchState, str]:
    found = batch_queries.progress(database, batch)
    assert found
    return found.state, found.notice


def run_again(database: IMEIDatabase, batch: int) -> None:
    """Its calls were answered, so the batch is finished; as if there were more of it."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'running', finished_at = NULL")


def test_a_batch_whose_first_results_are_bad_is_paused_once(database: IMEIDatabase, batch: int) -> None:
    run_again(database, batch)
    listed(database, text("ON"), last=9)
    assert state_of(database, batch)[0] is BatchState.RUNNING  # off by default
    stop_loss.save(database, StopLoss(50, 20))
    listed(database, "Not found", "Rejected", first=9, last=10)
    assert state_of(database, batch)[0] is BatchState.RUNNING  # 10 of 20 are not more than half
    listed(database, text("ON"), first=10, last=11)
    state, notice = state_of(database, batch)
    assert state is BatchState.PAUSED
    assert notice.startswith("Stop-loss: 11 of the first 11 results fail or are rejected; the limit is 50 % of 20.")
    with database.write() as connection:
        assert batch_states.resume(connection, batch)
    listed(database, text("ON"), first=11, last=40)
    assert state_of(database, batch) == (BatchState.RUNNING, "")


def test_a_batch_whose_first_results_are_good_is_not_judged_by_later_ones(database: IMEIDatabase, batch: int) -> None:
    run_again(database, batch)
    stop_loss.save(database, StopLoss(50, 20))
    listed(database, text().replace("Locked", "Unlocked"), last=20)
    listed(database, text("ON"), first=20, last=60)
    assert state_of(database, batch)[0] is BatchState.RUNNING
