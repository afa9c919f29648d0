"""Scans on disk: one row for a phone of a session, what answers for it, and what a session has paid."""

from typing import Any

import pytest
from handmade_calls import planned
from simulated_provider import SERVICE, imeis
from sqlalchemy import insert, update
from web_client import answer_chunks

from database import IMEIDatabase, utc_now
from orders import BatchState, OrderStatus, Outcome
from schema import orders, scans
from storage import scan_store
from storage.scan_store import Known, NewScan

FIRST, SECOND = imeis(2)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def order(database: IMEIDatabase, imei: str = FIRST, **values: Any) -> int:
    """Store an order of no batch; return its row id."""
    row = {"imei": imei, "service_id": SERVICE, "status": OrderStatus.COMPLETED} | values
    with database.write() as connection:
        return int(connection.execute(insert(orders).values(**row).returning(orders.c.id)).scalar_one())


def ordered(session: str, batch_id: int, imei: str = FIRST, is_new: bool = True, by: str = "anna") -> NewScan:
    return NewScan(session, imei, SERVICE, batch_id=batch_id, is_new=is_new, scanned_by=by)


def test_an_unfinished_batch_or_an_order_answers_for_a_phone(database: IMEIDatabase) -> None:
    assert scan_store.known(database, SERVICE, FIRST) is None
    row = order(database)
    found = scan_store.known(database, SERVICE, FIRST)
    assert found is not None
    assert (found.batch_id, found.order_row, found.has_result) == (None, row, True)
    assert scan_store.known(database, "another", FIRST) is None
    batch_id, _ = planned(database, 2)
    assert scan_store.known(database, SERVICE, SECOND) == Known(batch_id, None)


def test_a_phone_of_an_unfinished_batch_may_not_be_paid_again() -> None:
    assert not Known(1, None).has_result
    assert Known(1, None).order_row is None


@pytest.mark.parametrize(
    ("status", "has_result"),
    [
        ("Pending", False),
        (None, True),  # of a file that names no status: nothing is asked for
        ("Completed", True),
        ("Rejected", True),
    ],
)
def test_only_a_phone_whose_result_is_here_may_be_paid_again(
    database: IMEIDatabase, status: str | None, has_result: bool
) -> None:
    order(database, status=status)
    found = scan_store.known(database, SERVICE, FIRST)
    assert found is not None and found.has_result is has_result


def test_a_phone_of_one_batch_is_one_scan_of_a_session(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    first = scan_store.record(database, ordered("desk", batch_id))
    assert scan_store.record(database, ordered("desk", batch_id, is_new=False)) == first
    others = [
        scan_store.record(database, ordered("evening", batch_id)),
        scan_store.record(database, ordered("desk", batch_id, SECOND)),
        scan_store.record(database, ordered("desk", planned(database, 1, first=9)[0])),
    ]
    assert len({first, *others}) == 4
    assert scan_store.record(database, ordered("desk", batch_id)) == first
    assert [scan.scan_id for scan in scan_store.scans_of(database, "desk", 10)] == [others[2], others[1], first]


def test_a_known_phone_is_one_scan_until_another_order_answers_for_it(database: IMEIDatabase) -> None:
    older = NewScan("desk", FIRST, SERVICE, order_row=order(database))
    first = scan_store.record(database, older)
    assert scan_store.record(database, older) == first
    newer = scan_store.record(database, NewScan("desk", FIRST, SERVICE, order_row=order(database)))
    assert newer != first
    other_service = scan_store.record(database, NewScan("desk", FIRST, "another", order_row=older.order_row))
    assert other_service not in (first, newer)


def test_a_phone_that_this_session_ordered_is_one_scan_with_the_order_of_its_batch(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 1)
    first = scan_store.record(database, ordered("desk", batch_id))
    answer_chunks(database)
    [scan] = scan_store.scans_of(database, "desk", 10)
    assert scan.order
    assert scan_store.record(database, NewScan("desk", FIRST, SERVICE, order_row=scan.order.id)) == first


def test_a_scan_has_its_batch_outcome_and_order(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2, size=2)
    for imei in (FIRST, SECOND):
        scan_store.record(database, ordered("desk", batch_id, imei))
    before = scan_store.scans_of(database, "desk", 1)
    assert [(scan.imei, scan.outcome, scan.order) for scan in before] == [(SECOND, Outcome.WAITING, None)]
    answer_chunks(database, lambda imei: (Outcome.ORDERED if imei == FIRST else Outcome.REFUSED, "no such phone"))
    refused, placed = scan_store.scans_of(database, "desk", 10)
    assert (refused.imei, refused.outcome, refused.message, refused.order) == (
        SECOND,
        Outcome.REFUSED,
        "no such phone",
        None,
    )
    assert placed.order
    assert (placed.outcome, placed.order.imei, placed.order.batch_id) == (Outcome.ORDERED, FIRST, batch_id)
    assert (placed.state, placed.notice, placed.is_new, placed.service_id) == (BatchState.FINISHED, "", True, SERVICE)
    order(database)  # a later one, of no batch
    assert scan_store.scans_of(database, "desk", 10, [placed.scan_id]) == [placed]
    assert scan_store.scans_of(database, "evening", 10, [placed.scan_id]) == []
    assert scan_store.scans_of(database, "desk", 10, []) == []


def test_a_session_pays_for_the_orders_that_its_scans_placed(database: IMEIDatabase) -> None:
    assert scan_store.session_of(database, "desk") is None
    mine, theirs = planned(database, 1)[0], planned(database, 1, first=1)[0]
    scan_store.record(database, ordered("desk", mine))
    scan_store.record(database, ordered("desk", theirs, SECOND, is_new=False))
    scan_store.record(database, ordered("evening", theirs, SECOND, by="berta"))
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(update(orders).values(credits=0.25))
    found = scan_store.session_of(database, "desk")
    assert found
    assert (found.session, found.scans, found.spent, found.scanned_by) == ("desk", 2, 0.25, "anna")
    assert found.started_at <= found.last_at
    assert [one.session for one in scan_store.sessions(database, 10)] == ["evening", "desk"]
    assert [one.session for one in scan_store.sessions(database, 1)] == ["evening"]
    assert scan_store.sessions(database, 10, "anna") == [found]
    assert scan_store.sessions(database, 10, "carla") == []


def test_sessions_of_older_scans_are_not_listed(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    row = order(database)
    for session in ("old", "new", "new"):
        with database.write() as connection:
            values = {"session": session, "imei": FIRST, "service_id": SERVICE, "order_row": row}
            connection.execute(insert(scans).values(**values, is_new=False, scanned_at=utc_now()))
    monkeypatch.setattr(scan_store, "LOOKED_AT", 2)
    assert [one.session for one in scan_store.sessions(database, 10)] == ["new"]


def test_the_last_service_of_a_session_is_that_of_its_newest_scan(database: IMEIDatabase) -> None:
    assert scan_store.last_service(database, "desk") == ""
    row = order(database)
    for session, service_id in (("desk", "1"), ("desk", "2"), ("evening", "3")):
        scan_store.record(database, NewScan(session, FIRST, service_id, order_row=row))
    assert scan_store.last_service(database, "desk") == "2"
