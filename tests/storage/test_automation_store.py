"""Automations on disk: only who has seen the newest state changes it, and a line of the log for each run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from handmade_calls import planned
from sqlalchemy import insert, update
from web_client import answer_chunks

from database import IMEIDatabase, Transaction, utc_now
from orders import AutomationKind, BatchState, OrderStatus, RunKind, ServiceInfo
from people import DEMO_USER
from schema import automation_runs, batches, orders, status_changes
from storage import automation_store
from storage.automation_store import (
    Automation,
    ChangedMeanwhileError,
    NewRun,
    Run,
    Terms,
    UnreadableFilterError,
    filter_text,
    read_stored_filter,
)
from storage.order_terms import OrderFilter

TERMS = Terms("Second stage", "fmi=OFF", "269", 0.1, 0.2)
NOW, DAY = datetime(2026, 3, 1, 12), timedelta(days=1)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def create(
    database: IMEIDatabase, name: str = TERMS.name, kind: AutomationKind = AutomationKind.FOLLOW_UP, is_on: bool = True
) -> int:
    """Store an automation; return its id."""
    with database.write() as connection:
        automation_id = automation_store.create(connection, kind, replace(TERMS, name=name), DEMO_USER)
        if is_on:
            automation_store.turn_on(connection, get(connection, automation_id), DEMO_USER, None)
    return automation_id


def get(connection: Any, automation_id: int) -> Automation:
    found = automation_store.find_automation(connection, automation_id)
    assert found
    return found


def found(database: IMEIDatabase, automation_id: int) -> Automation:
    with database.read() as connection:
        return get(connection, automation_id)


def add_run(database: IMEIDatabase, automation_id: int, batch_id: int | None = None, **values: Any) -> int:
    """Write a run; values: columns that differ. Return its id."""
    with database.write() as connection:
        new = NewRun(RunKind.BY_ITSELF, "anna", 3, 2, 0.1, {"waiting for money": 1}, ["a", "b"], "words")
        run_id = automation_store.add_run(connection, get(connection, automation_id), new, batch_id)
        if values:
            connection.execute(update(automation_runs).where(automation_runs.c.id == run_id).values(**values))
    return run_id


# Filters


@pytest.mark.parametrize(
    "chosen",
    [
        OrderFilter(fmi="OFF"),
        OrderFilter(q="35", batch=7, since=date(2026, 1, 2), until=date(2026, 2, 3), mismatch=True, tag="a & b=c"),
    ],
)
def test_a_filter_is_read_as_it_was_stored_and_takes_completed_orders(chosen: OrderFilter) -> None:
    text = filter_text(chosen)
    assert read_stored_filter(text) == replace(chosen, status=OrderStatus.COMPLETED)
    assert replace(TERMS, filter=text).chosen == read_stored_filter(text)


@pytest.mark.parametrize(
    "text",
    ["", "colour=red", "since=2026-99-01", "batch=x", "fmi=OFF&", "fmi=", "fmi=ON&fmi=OFF", "status=Completed", "row=1",
     "batch=07", "mismatch=0"],
)  # fmt: skip
def test_a_filter_that_is_not_wholly_understood_selects_nothing(text: str) -> None:
    with pytest.raises(UnreadableFilterError, match="cannot be read"):
        read_stored_filter(text)


# Reading


def test_an_automation_is_stored_off_and_read_whole(database: IMEIDatabase) -> None:
    automation_id = create(database, kind=AutomationKind.RECHECK, is_on=False)
    stored = found(database, automation_id)
    assert (stored.automation_id, stored.terms, stored.kind) == (automation_id, TERMS, AutomationKind.RECHECK)
    assert (stored.is_on, stored.notice, stored.user_id, stored.due_at) == (False, "", None, None)
    assert (stored.ordered_by, stored.revision, stored.rechecks) == (DEMO_USER.name, 0, True)
    assert stored.orders_as == "rule Second stage"
    with database.read() as connection:
        assert automation_store.find_automation(connection, automation_id + 1) is None


def test_automations_are_listed_by_name_and_run_by_age(database: IMEIDatabase) -> None:
    second, first, off = create(database, "b"), create(database, "a"), create(database, "c", is_on=False)
    with database.read() as connection:
        listed = [one.automation_id for one in automation_store.all_automations(connection)]
        running = [one.automation_id for one in automation_store.automations_on(connection)]
        taken = [automation_store.is_name_taken(connection, name, second) for name in ("a", "b", "d")]
        assert automation_store.is_name_taken(connection, "b", None)
    assert (listed, running, taken) == ([first, second, off], [second, first], [True, False, False])


def test_a_service_that_was_never_listed_is_named_by_its_id(database: IMEIDatabase) -> None:
    database.store_services([ServiceInfo("269", "Check", 0.1), ServiceInfo("270", "Other", 0.1)], 0.0)
    with database.read() as connection:
        titles = automation_store.service_titles(connection, iter(["269", "5"]))
    assert titles == {"269": "Check", "5": "service 5"}


# Changing


def test_one_that_is_turned_on_looks_at_results_from_then_on(database: IMEIDatabase) -> None:
    automation_id = create(database, is_on=False)
    with database.write() as connection:
        row = connection.execute(insert(orders).values(imei="1").returning(orders.c.id)).scalar_one()
        change = {"order_row": row, "new": "Completed", "changed_at": NOW}
        connection.execute(insert(status_changes), [change] * 3)
        automation_store.set_notice(connection, get(connection, automation_id), "It waits.")
        automation_store.turn_on(connection, get(connection, automation_id), DEMO_USER, NOW)
    stored = found(database, automation_id)
    assert (stored.is_on, stored.notice, stored.after_change, stored.due_at) == (True, "", 3, NOW)


def test_a_change_or_a_reason_turns_it_off(database: IMEIDatabase) -> None:
    automation_id = create(database)
    with database.write() as connection:
        automation_store.change(connection, get(connection, automation_id), replace(TERMS, max_price=0.5), "Edited.")
    stored = found(database, automation_id)
    assert (stored.is_on, stored.notice, stored.terms.max_price) == (False, "Edited.", 0.5)
    with database.write() as connection:
        automation_store.turn_on(connection, get(connection, automation_id), DEMO_USER, NOW)
        automation_store.turn_off(connection, get(connection, automation_id), "The price rose.")
    stored = found(database, automation_id)
    assert (stored.is_on, stored.notice, stored.due_at) == (False, "The price rose.", None)


@pytest.mark.parametrize(
    "move",
    [
        lambda connection, seen: automation_store.change(connection, seen, TERMS, ""),
        lambda connection, seen: automation_store.turn_on(connection, seen, DEMO_USER, NOW),
        lambda connection, seen: automation_store.turn_off(connection, seen, "why"),
        lambda connection, seen: automation_store.advance(connection, seen, after_change=9),
        lambda connection, seen: automation_store.advance(connection, seen, is_still_on=False, after_change=9),
    ],
    ids=["change", "turn on", "turn off", "advance", "advance by hand"],
)
def test_who_has_not_seen_the_newest_state_changes_nothing(
    database: IMEIDatabase, move: Callable[[Transaction, Automation], None]
) -> None:
    """And each change makes all others outdated that were decided before it."""
    automation_id, other = create(database), create(database, "other")
    before = found(database, automation_id), found(database, other)
    with database.write() as connection:
        move(connection, before[0])
    after = found(database, automation_id)
    assert after.revision == before[0].revision + 1
    with pytest.raises(ChangedMeanwhileError, match="Second stage"), database.write() as connection:
        move(connection, before[0])
    assert (found(database, automation_id), found(database, other)) == (after, before[1])


def test_a_notice_is_written_for_what_was_seen_and_outdates_nothing(database: IMEIDatabase) -> None:
    automation_id, other = create(database), create(database, "other")
    seen = found(database, automation_id)
    with database.write() as connection:
        automation_store.set_notice(connection, seen, "It waits.")
    assert found(database, automation_id) == replace(seen, notice="It waits.")
    with database.write() as connection:
        automation_store.advance(connection, seen, notice="")
        automation_store.set_notice(connection, seen, "It waits.")
    assert (found(database, automation_id).notice, found(database, other).notice) == ("", "")


def test_one_that_was_turned_off_does_nothing_by_itself_and_may_be_run_by_hand(database: IMEIDatabase) -> None:
    automation_id = create(database, is_on=False)
    with pytest.raises(ChangedMeanwhileError), database.write() as connection:
        automation_store.advance(connection, get(connection, automation_id))
    with database.write() as connection:
        automation_store.advance(connection, get(connection, automation_id), is_still_on=False)


def test_all_that_are_on_are_turned_off_together(database: IMEIDatabase) -> None:
    first, second, off = create(database, "a"), create(database, "b"), create(database, "c", is_on=False)
    seen = {one: found(database, one) for one in (first, second, off)}
    with database.write() as connection:
        automation_store.turn_on(connection, seen[second], DEMO_USER, NOW)
        automation_store.turn_all_off(connection, "Restored.")
    for one in (first, second):
        assert (found(database, one).is_on, found(database, one).notice) == (False, "Restored.")
        assert found(database, one).due_at is None
        with pytest.raises(ChangedMeanwhileError), database.write() as connection:
            automation_store.turn_on(connection, seen[one], DEMO_USER, None)
    assert found(database, off) == seen[off]


def test_an_imei_is_ordered_once_by_each_automation(database: IMEIDatabase) -> None:
    first, second = create(database, "a"), create(database, "b")
    run_id = add_run(database, first)
    with database.write() as connection:
        automation_store.note_ordered(connection, first, run_id, ["1", "2", "1"])
        automation_store.note_ordered(connection, second, run_id, ["1"])
    with pytest.raises(ChangedMeanwhileError, match="one of these phones"), database.write() as connection:
        automation_store.note_ordered(connection, first, run_id, ["3", "2"])
    with database.write() as connection:
        automation_store.note_ordered(connection, first, run_id, ["3"])


# The log


def test_a_run_is_read_as_it_was_written(database: IMEIDatabase) -> None:
    automation_id = create(database)
    run_id, batch_id = add_run(database, automation_id), planned(database, 1)[0]
    with database.read() as connection:
        run = automation_store.find_run(connection, run_id)
        assert automation_store.find_run(connection, run_id + 1) is None
        assert not automation_store.has_run(connection, batch_id)
    assert isinstance(run, Run)
    assert (run.automation_id, run.kind, run.actor, run.found, run.sent, run.price) == (
        automation_id, RunKind.BY_ITSELF, "anna", 3, 2, 0.1,
    )  # fmt: skip
    assert (run.left_out, run.samples, run.words) == ({"waiting for money": 1}, ["a", "b"], "words")
    assert (run.batch_id, run.compared, run.changed, run.changes) == (None, 0, 0, {})
    assert run.cost == pytest.approx(0.2)
    add_run(database, automation_id, batch_id)
    with database.read() as connection:
        assert automation_store.has_run(connection, batch_id)


def test_only_a_recheck_with_a_batch_waits_for_results_to_compare(database: IMEIDatabase) -> None:
    follow_up, recheck = create(database), create(database, "b", AutomationKind.RECHECK)
    numbers = iter(range(9))
    runs = [
        add_run(database, automation_id, planned(database, 1, first=next(numbers))[0] if has_batch else None)
        for automation_id in (follow_up, recheck)
        for has_batch in (False, True)
    ]
    with database.read() as connection:
        found_runs = [automation_store.find_run(connection, run_id) for run_id in runs]
    assert [run and run.is_compared for run in found_runs] == [True, True, True, False]


def test_the_log_of_each_begins_with_its_newest_run(database: IMEIDatabase) -> None:
    first, second, idle = create(database, "a"), create(database, "b"), create(database, "c")
    runs = [add_run(database, one) for one in (first, second, first)]
    with database.read() as connection:
        assert [run.run_id for run in automation_store.runs_of(connection, first, 10)] == [runs[2], runs[0]]
        assert [run.run_id for run in automation_store.runs_of(connection, first, 1)] == [runs[2]]
        assert automation_store.runs_of(connection, idle, 10) == []
        last = automation_store.last_runs(connection)
    assert {automation_id: run.run_id for automation_id, run in last.items()} == {first: runs[2], second: runs[1]}


# Money and results


def test_what_it_ordered_today_and_may_still_order_counts_to_its_limit(database: IMEIDatabase) -> None:
    first, second = create(database, "a"), create(database, "b")
    mine, old, theirs = (planned(database, count, first=10 * count)[0] for count in (2, 3, 1))
    for automation_id, batch_id in ((first, mine), (first, old), (second, theirs)):
        add_run(database, automation_id, batch_id)
    add_run(database, second)  # ordered nothing
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(update(orders).values(credits=0.1))
        yesterday = utc_now() - DAY
        connection.execute(update(orders).where(orders.c.batch_id == old).values(order_date=yesterday))
    with database.read() as connection:
        assert automation_store.spent_on_day(connection, first) == pytest.approx(0.2)
        assert automation_store.spent_today(connection) == pytest.approx({first: 0.2, second: 0.1})
        assert not automation_store.is_over_limit(connection, get(connection, first))
    add_run(database, first, planned(database, 1)[0])  # waits: it may still cost this
    with database.read() as connection:
        assert automation_store.spent_on_day(connection, first) == pytest.approx(0.3)
        assert automation_store.is_over_limit(connection, get(connection, first))
        assert not automation_store.is_over_limit(connection, get(connection, second))


def test_batches_that_are_running_or_paused_are_unfinished(database: IMEIDatabase) -> None:
    automation_id, other = create(database), create(database, "other")
    ids = [planned(database, 1, first=place)[0] for place in range(4)]
    for batch_id in ids:
        add_run(database, other if batch_id == ids[3] else automation_id, batch_id)
    add_run(database, automation_id)
    with database.write() as connection:
        of = {BatchState.FINISHED: ids[0], BatchState.PAUSED: ids[1]}
        for state, batch_id in of.items():
            connection.execute(update(batches).where(batches.c.id == batch_id).values(state=state, notice=f"{state}"))
        unfinished = automation_store.unfinished_batches_of(connection, automation_id)
    assert [tuple(batch) for batch in unfinished] == [
        (ids[1], "paused", "paused", False),
        (ids[2], "running", "", False),
    ]


def test_bad_results_are_those_of_the_newest_batches_since_it_was_turned_on(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation_id, other = create(database), create(database, "other")
    since = found(database, automation_id).changed_at
    said = [("fail", "Completed"), ("review", "Rejected"), ("pass", "Completed"), ("fail", "Completed")]
    results: list[dict[str, Any]] = [{"imei": "1", "verdict": verdict, "status": status} for verdict, status in said]
    results.append({"imei": "1", "verdict": None, "status": "Pending"})
    for place, automation in enumerate((automation_id, automation_id, automation_id, other)):
        batch_id, _ = planned(database, 1, first=place)
        add_run(database, automation, batch_id, at=since - timedelta(seconds=1) if place == 0 else since)
        with database.write() as connection:
            connection.execute(insert(orders), [result | {"batch_id": batch_id} for result in results])
            if place == 2:
                worse = {"imei": "1", "batch_id": batch_id, "verdict": "fail", "status": "Completed"}
                connection.execute(insert(orders).values(**worse))

    def bad(newest: int) -> tuple[int, int]:
        with database.read() as connection:
            return automation_store.bad_results_since(connection, get(connection, automation_id), newest)

    assert [bad(newest) for newest in (1, 2, 5, 100)] == [(1, 1), (2, 2), (4, 5), (7, 9)]
    monkeypatch.setattr(automation_store, "JUDGED_RUNS", 1)
    assert bad(100) == (4, 5)
