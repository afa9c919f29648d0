"""Starts of calls are reserved in one row: no window has more than the limit, whoever calls and whatever comes late."""

import threading
from dataclasses import replace
from itertools import pairwise

import pytest
from handed_over import ACCOUNT, let_calls_start
from sqlalchemy import update

from database import IMEIDatabase
from schema.cluster_tables import pace
from storage import pace_store
from storage.handed_calls import at_once
from storage.pace_store import LEAST, LENIENT, ORDERS, READS, CallPace, Slots

UNLIMITED = CallPace(0.0, 0.0, None, 61.0, orders_wait=False)
LIMITED = Slots(
    now=1000.0, newest_start=990.0, hold_until=0.0, spacing=0.0, allowance=3, seconds=60.0, orders_wait=False,
    orders=(945.0, 990.0), reads=(950.0,), seen_at=1000.0,
)  # fmt: skip


@pytest.fixture
def database(emptied_database: IMEIDatabase) -> IMEIDatabase:
    return emptied_database


def row_of(database: IMEIDatabase, account: str = ACCOUNT) -> Slots:
    with at_once(database) as connection:
        found = pace_store.slots(connection, account)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changed", "start"),
    [
        ({}, 1005.0),  # 60 s after the third last of orders and reads together
        ({"seconds": 50.0}, 1000.0),  # that has left the window
        ({"allowance": 4}, 1000.0),
        ({"allowance": 2}, 1010.0),
        ({"allowance": None}, 1000.0),
        ({"allowance": None, "spacing": 30.0}, 1020.0),
        ({"allowance": None, "newest_start": 1000.0}, 1000.0 + LEAST),
        ({"hold_until": 1004.0}, 1005.0),
        ({"hold_until": 1006.0}, 1006.0),
        ({"spacing": 15.5}, 1005.5),
    ],
)
def test_a_start_keeps_to_the_window_the_distance_and_the_hold(changed: dict[str, float], start: float) -> None:
    """And no two calls have the same one."""
    assert replace(LIMITED, **changed).next_start() == start  # type: ignore[arg-type]


def test_a_start_is_kept_with_its_kind_as_long_as_it_is_in_the_window() -> None:
    """One that is as old as the window has left it."""
    ordered, read = LIMITED.reserved(ORDERS, 1005.0), replace(LIMITED, seconds=50.0).reserved(READS, 1000.0)
    assert (ordered.orders, ordered.reads, ordered.newest_start) == ((945.0, 990.0, 1005.0), (950.0,), 1005.0)
    assert (read.orders, read.reads, read.newest_start) == ((990.0,), (1000.0,), 1000.0)
    free = replace(LIMITED, allowance=None).reserved(ORDERS, 1000.0)
    assert (free.orders, free.newest_start) == ((945.0, 990.0), 1000.0)  # without a limit no list grows


def test_a_start_in_vain_is_free_again_and_no_other_one_is() -> None:
    """Only that of the newest call lets the next one come earlier."""
    taken = LIMITED.reserved(READS, 1005.0)
    assert taken.without(1005.0) == LIMITED
    assert taken.without(945.0) == replace(taken, orders=(990.0,))
    unlimited = replace(LIMITED, allowance=None, orders=(), reads=(), spacing=2.0).reserved(ORDERS, 1000.0)
    assert unlimited.without(1000.0).newest_start == 998.0


def test_what_is_moved_with_the_clock_keeps_its_distances() -> None:
    moved = LIMITED.earlier(600.0)
    assert (moved.newest_start, moved.hold_until, moved.seen_at) == (390.0, -600.0, 400.0)
    assert (moved.orders, moved.reads, moved.now) == ((345.0, 390.0), (350.0,), 1000.0)


def test_no_window_has_more_calls_than_the_limit(database: IMEIDatabase) -> None:
    """Starts of orders and reads together, in any window; a start that was given back is free again."""
    let_calls_start(database, allowance=4, seconds=10.0)
    starts: list[float] = []
    for turn in range(20):
        with at_once(database) as connection:
            slot = (
                pace_store.reserve_order(connection, "main")
                if turn % 3
                else pace_store.reserve_read(connection, "main", 0.2, UNLIMITED)
            )
        assert slot is not None
        if turn % 5 == 4:
            with at_once(database) as connection:
                pace_store.give_back(connection, "main", slot)
        else:
            starts.append(slot.start)
    assert starts == sorted(starts)
    assert all(later - start >= 10.0 for start, later in zip(starts, starts[4:], strict=False))
    assert starts[-1] - starts[0] < 10.0 * len(starts) / 4


def test_machines_that_reserve_at_once_get_starts_apart(database: IMEIDatabase) -> None:
    """The row is locked before it is read: no two of them see the same starts."""
    let_calls_start(database, allowance=4, seconds=10.0)
    starts, barrier = list[float](), threading.Barrier(4)

    def reserve() -> None:
        barrier.wait()
        for _ in range(3):
            with at_once(database) as connection:
                slot = pace_store.reserve_order(connection, ACCOUNT)
            starts.append(slot.start if slot else 0.0)

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(starts)
    assert len(set(found)) == 12
    assert all(later - start >= 10.0 for start, later in zip(found, found[4:], strict=False))


def test_a_limit_leaves_a_call_little_time_after_its_start(database: IMEIDatabase) -> None:
    tolerances = []
    for allowance in (None, 5):
        let_calls_start(database, allowance)
        with at_once(database) as connection:
            slots = [
                pace_store.reserve_order(connection, ACCOUNT),
                pace_store.reserve_read(connection, ACCOUNT, 1.0, UNLIMITED),
            ]
        tolerances.append([slot and slot.tolerance for slot in slots])
    assert tolerances == [[5.0, 5.0], [0.5, 0.5]]


def test_a_start_is_reserved_in_one_statement_only_where_there_is_no_limit_and_it_is_soon(
    database: IMEIDatabase,
) -> None:
    """Else nothing is reserved."""
    with at_once(database) as connection:
        assert pace_store.reserve_unlimited(connection, ACCOUNT) is None  # no loop has run
        pace_store.write_pace(connection, ACCOUNT, CallPace(0.0, 5.0, None, 61.0, orders_wait=False))
        first, second = (pace_store.reserve_unlimited(connection, ACCOUNT, 7.0) for _ in range(2))
        assert first and second
        assert second.start - first.start == pytest.approx(5.0)
        assert second.wait == pytest.approx(5.0, abs=2.0)
        assert second.tolerance == LENIENT
        assert pace_store.reserve_unlimited(connection, ACCOUNT, 2.0) is None
        found = pace_store.slots(connection, ACCOUNT)
        assert found and found.newest_start == second.start
    let_calls_start(database, allowance=5)
    with at_once(database) as connection:
        assert pace_store.reserve_unlimited(connection, ACCOUNT) is None
    assert row_of(database).newest_start == second.start


def test_a_start_that_was_given_back_lets_none_come_closer_than_the_distance(database: IMEIDatabase) -> None:
    """Without a limit no list of starts says when the call before it began."""
    with at_once(database) as connection:
        pace_store.write_pace(connection, "main", CallPace(0.0, 5.0, None, 61.0, orders_wait=False))
        made, in_vain = (pace_store.reserve_unlimited(connection, "main") for _ in range(2))
        assert made and in_vain
        pace_store.give_back(connection, "main", in_vain)
        slot = pace_store.reserve_unlimited(connection, "main")
    assert slot is not None
    assert slot.start - made.start == pytest.approx(5.0)


def test_reads_keep_to_their_share_while_orders_wait(database: IMEIDatabase) -> None:
    with at_once(database) as connection:
        pace_store.write_pace(connection, "main", CallPace(0.0, 0.0, 10, 60.0, orders_wait=True))
        reads = [pace_store.reserve_read(connection, "main", 0.2, UNLIMITED) for _ in range(3)]
    assert [slot is None for slot in reads] == [False, False, True]


@pytest.mark.parametrize(
    ("given", "reads"),
    [
        (CallPace(0.0, 0.0, 10, 60.0, orders_wait=False), 3),  # nobody waits
        (CallPace(0.0, 0.0, None, 60.0, orders_wait=True), 3),  # there is no limit to share
        (CallPace(0.0, 0.0, 3, 60.0, orders_wait=True), 1),  # at least one
        (CallPace(0.0, 0.0, 10, 0.0, orders_wait=True), 3),  # the first have left the window
    ],
)
def test_reads_have_a_share_only_of_a_limit_that_orders_wait_for(
    database: IMEIDatabase, given: CallPace, reads: int
) -> None:
    with at_once(database) as connection:
        pace_store.write_pace(connection, ACCOUNT, given)
    found = []
    for _ in range(3):
        with at_once(database) as connection:
            found.append(pace_store.reserve_read(connection, ACCOUNT, 0.2, UNLIMITED))
    assert sum(slot is not None for slot in found) == reads


def test_only_a_read_brings_the_row_of_an_account_that_no_loop_has_served(database: IMEIDatabase) -> None:
    """An order waits for the loop. The pace that the loop has written stays as it is."""
    first = CallPace(0.0, 0.0, 2, 30.0, orders_wait=False)
    with at_once(database) as connection:
        assert pace_store.reserve_order(connection, ACCOUNT) is None
        pace_store.give_back(connection, ACCOUNT, pace_store.Slot(1.0, 0.0, 1.0))
        pace_store.hold(connection, ACCOUNT, 60.0)
        pace_store.follow_clock(connection, ACCOUNT)
        assert pace_store.slots(connection, ACCOUNT) is None
        assert pace_store.reserve_read(connection, ACCOUNT, 0.2, first) is not None
        assert pace_store.reserve_read(connection, ACCOUNT, 0.2, UNLIMITED) is not None
    found = row_of(database)
    assert (found.allowance, found.seconds, len(found.reads), found.orders) == (2, 30.0, 2, ())


def test_a_hold_only_grows_and_is_of_one_account(database: IMEIDatabase) -> None:
    """Neither a shorter one nor the pace that the loop writes ends it."""
    for account in (ACCOUNT, "b"):
        with at_once(database) as connection:
            pace_store.write_pace(connection, account, UNLIMITED)
    with at_once(database) as connection:
        pace_store.hold(connection, ACCOUNT, 100.0)
        pace_store.hold(connection, ACCOUNT, 1.0)
        pace_store.write_pace(connection, ACCOUNT, replace(UNLIMITED, hold=5.0))
    held = row_of(database)
    assert 90.0 < held.hold_until - held.now <= 100.0
    assert row_of(database, "b").hold_until <= row_of(database, "b").now
    with at_once(database) as connection:
        pace_store.write_pace(connection, ACCOUNT, replace(UNLIMITED, hold=500.0))
    longer = row_of(database)
    assert longer.hold_until - longer.now > 400.0


def test_a_distance_that_begins_counts_from_now(database: IMEIDatabase) -> None:
    """Calls without a limit leave no start behind, and the last one may have been made a moment ago."""
    let_calls_start(database)
    before = row_of(database)
    assert before.newest_start == 0.0
    with at_once(database) as connection:
        pace_store.write_pace(connection, ACCOUNT, replace(UNLIMITED, spacing=3.0))
    begun = row_of(database)
    assert begun.newest_start >= before.now
    with at_once(database) as connection:
        pace_store.write_pace(connection, ACCOUNT, replace(UNLIMITED, spacing=4.0))
    assert row_of(database).newest_start == begun.newest_start  # it has begun already


def test_the_limit_holds_when_the_clock_of_the_database_is_set_back(database: IMEIDatabase) -> None:
    """Starts lie as far ahead as before: of five calls the fifth waits for the next window."""
    let_calls_start(database, 4)
    with at_once(database) as connection:
        pace_store.follow_clock(connection, ACCOUNT)
        assert all(pace_store.reserve_order(connection, ACCOUNT) for _ in range(3))
    ahead = row_of(database).earlier(-3600.0)
    times = {name: getattr(ahead, name) for name in ("newest_start", "hold_until", "seen_at")}
    with at_once(database) as connection:
        connection.execute(update(pace).values(orders=str(list(ahead.orders)), **times))
    with at_once(database) as connection:
        pace_store.follow_clock(connection, ACCOUNT)
        waits = [slot.wait for _ in range(2) if (slot := pace_store.reserve_order(connection, ACCOUNT))]
    assert waits[0] < 5.0
    assert waits[1] > 50.0


def test_starts_grow_whatever_the_order_of_their_kinds(database: IMEIDatabase) -> None:
    let_calls_start(database)
    found = []
    for _ in range(3):
        with at_once(database) as connection:
            found += [
                pace_store.reserve_unlimited(connection, ACCOUNT),
                pace_store.reserve_order(connection, ACCOUNT),
                pace_store.reserve_read(connection, ACCOUNT, 1.0, UNLIMITED),
            ]
    starts = [slot.start for slot in found if slot]
    assert len(starts) == 9
    assert all(later - start >= LEAST * 0.9 for start, later in pairwise(starts))
