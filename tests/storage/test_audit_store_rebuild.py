"""What a rebuild looks up and writes: no order twice, no IMEI paid again, and nothing over what we know."""

from datetime import timedelta
from typing import Any

import pytest
from handmade_calls import answered, call, everything, listed, one, outcome, planned, read_balance, unanswered
from simulated_provider import SERVICE, imeis
from sqlalchemy import insert, select, update

from database import IMEIDatabase, utc_now
from orders import ChunkState, ServiceInfo
from schema import batches, chunks, orders
from settings import MAIN_ACCOUNT
from storage import audit_store, balance_store
from storage.audit_store import FROM_ANSWER, FROM_LIST, KeptOrder, Quiet, Restored
from submission.decisions import was_placed

FIRST, SECOND, THIRD = imeis(3)
SECONDS = timedelta(seconds=1)


def store(database: IMEIDatabase, order_id: str | None, imei: str = FIRST, **values: Any) -> int:
    """Store an order of the service; return its row id."""
    row = {"order_id": order_id, "imei": imei, "service_id": SERVICE} | values
    with database.write() as connection:
        return int(connection.execute(insert(orders).values(**row).returning(orders.c.id)).scalar_one())


def row_of(order_id: str, imei: str, notes: str = FROM_LIST, **values: Any) -> dict[str, Any]:
    """The columns of an order that a rebuild writes."""
    named = {"service_id": SERVICE, "service_name": "Check", "status": "Pending", "notes": notes}
    return {"order_id": order_id, "imei": imei} | named | values


def stored(database: IMEIDatabase) -> list[tuple[Any, ...]]:
    """Order id, IMEI, service and batch of every order."""
    query = select(orders.c.order_id, orders.c.imei, orders.c.service_id, orders.c.batch_id).order_by(orders.c.id)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


# What we know


def test_records_are_those_since_a_moment_those_without_a_date_and_those_that_are_asked_for(
    database: IMEIDatabase,
) -> None:
    since = utc_now()
    at, before = store(database, "at", order_date=since), store(database, "before", order_date=since - SECONDS)
    undated, theirs = store(database, None), store(database, "theirs", order_date=since, account="b")

    def rows(*given: Any) -> set[int]:
        return {order.row for order in audit_store.read_records(database, *given).orders}

    assert rows(since, []) == {at, undated, theirs}
    assert rows(since, ["before", "unknown"]) == {at, undated, theirs, before}
    assert rows(None, []) == {at, undated, theirs, before}
    assert rows(since, ["before", "theirs"], "b") == {theirs}
    assert rows(since, ["before"], MAIN_ACCOUNT) == {at, undated, before}


def test_calls_on_the_wire_and_money_at_stake_are_read_beside_the_orders(database: IMEIDatabase) -> None:
    database.store_services([ServiceInfo(SERVICE, "Check", 0.5)], 0.0)
    call(database, [FIRST])
    unanswered(database, call(database, [SECOND]))
    planned(database, 1, first=2)
    found = audit_store.read_records(database, None, [])
    assert found.under_way == {FIRST: frozenset({SERVICE})}
    assert (found.in_doubt, found.at_stake) == (1, 0.1)
    assert (found.prices, found.labels) == ({SERVICE: 0.5}, {SERVICE: SERVICE, "check": SERVICE})
    of_main, of_other = (audit_store.read_records(database, None, [], account) for account in (MAIN_ACCOUNT, "b"))
    assert (of_main.in_doubt, of_main.at_stake) == (1, 0.1)
    assert (of_other.in_doubt, of_other.at_stake) == (0, 0.0)


def test_a_moment_is_quiet_while_no_call_of_the_account_is_on_the_wire(database: IMEIDatabase) -> None:
    assert audit_store.quiet_moment(database, MAIN_ACCOUNT) == Quiet(0, 0)
    chunk = call(database, [FIRST])
    assert audit_store.quiet_moment(database, MAIN_ACCOUNT) is None
    assert audit_store.quiet_moment(database, "b") == Quiet(0, 0)
    unanswered(database, chunk)
    assert audit_store.quiet_moment(database, MAIN_ACCOUNT) == Quiet(chunk.attempt_id, 0)


def test_doubt_of_a_batch_is_remembered_after_it_was_settled(database: IMEIDatabase) -> None:
    before = utc_now() - SECONDS
    clear, doubtful = call(database, [FIRST]), call(database, [SECOND])
    answered(database, clear, 1)
    assert not audit_store.finished_with_doubt(database, before)
    unanswered(database, doubtful)
    assert [audit_store.had_doubt(database, chunk.batch_id) for chunk in (clear, doubtful)] == [False, True]
    assert audit_store.finished_with_doubt(database, before)
    assert not audit_store.finished_with_doubt(database, utc_now() + SECONDS)
    for state, is_known in (("running", False), ("finished", True)):
        with database.write() as connection:
            of_doubt = batches.c.id == doubtful.batch_id
            connection.execute(update(batches).where(of_doubt).values(state=state))
        assert audit_store.finished_with_doubt(database, before) is is_known
    was_placed(database, doubtful.items[0].item_id, "2")
    assert audit_store.finished_with_doubt(database, before)
    assert audit_store.had_doubt(database, doubtful.batch_id)


def test_what_a_batch_asked_for_is_known_for_imeis_that_it_holds(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    good = KeptOrder(batch_id, "1", FIRST)
    found = audit_store.planned_by(database, [good, KeptOrder(batch_id, "2", THIRD), KeptOrder(99, "3", FIRST)])
    assert {kept: (plan.service_id, plan.unit_price) for kept, plan in found.items()} == {good: (SERVICE, 0.1)}
    assert audit_store.existing_batches(database, {batch_id, 99}) == {batch_id}
    assert audit_store.existing_batches(database, ()) == frozenset()


def test_a_service_is_written_where_only_its_title_was_known(database: IMEIDatabase) -> None:
    database.store_services([ServiceInfo("269", "Check", 0.1), ServiceInfo("270", "Other", 0.1)], 0.0)
    for order_id, service_id, title in (
        ("1", None, " CHECK "),
        ("2", "270", "Check"),
        ("3", None, "unknown"),
        ("4", None, None),
        ("5", None, "Check"),
    ):
        store(database, order_id, service_id=service_id, service_name=title)
    audit_store.name_services(database, ["1", "2", "3", "4", "none"])
    assert [(row[0], row[2]) for row in stored(database)] == [
        ("1", "269"),
        ("2", "270"),
        ("3", None),
        ("4", None),
        ("5", None),
    ]


def test_an_imei_could_be_paid_again_where_nothing_answers_for_it(database: IMEIDatabase) -> None:
    store(database, "known")
    store(database, "no service", service_id=None)
    store(database, "of another", imei=THIRD)
    kept = [KeptOrder(1, name, FIRST) for name in ("known", "no service", "of another", "unknown")]
    assert audit_store.unknown_among(database, kept) == [kept[1], kept[3]]
    lost = KeptOrder(1, "of another", SECOND)
    assert audit_store.unknown_among(database, [lost]) == [lost]
    chunk = call(database, [SECOND])
    unanswered(database, chunk)
    assert audit_store.unknown_among(database, [lost]) == []  # it is in doubt
    assert audit_store.unknown_among(database, [KeptOrder(1, "known", FIRST[:14] + "9")]) == []  # its check digit
    assert audit_store.unknown_among(database, []) == []


def test_calls_of_another_batch_are_unknown_calls(database: IMEIDatabase) -> None:
    batch_id, chunk_ids = planned(database, 4)
    other, others = planned(database, 2, first=4)
    assert audit_store.count_unknown_calls(database, batch_id, [*chunk_ids, *others, 99]) == 2
    assert audit_store.count_unknown_calls(database, other, chunk_ids) == 2
    assert audit_store.count_unknown_calls(database, batch_id, []) == 0


def test_listed_orders_that_are_not_known_count_where_their_imei_is_planned(database: IMEIDatabase) -> None:
    store(database, "known", SECOND, service_id="270")
    planned(database, 2)
    given = [("known", SECOND), ("new", FIRST), ("", SECOND), ("new", THIRD), ("new", "")]
    assert audit_store.count_unexplained(database, given) == 2


@pytest.mark.parametrize(
    ("notes", "account", "order_ids", "reaches"),
    [
        ("", MAIN_ACCOUNT, ["1"], True),
        ("", MAIN_ACCOUNT, ["2"], False),
        ("", MAIN_ACCOUNT, [], False),
        (FROM_LIST, MAIN_ACCOUNT, ["2"], False),  # it knows none from when it was placed
        (FROM_LIST, MAIN_ACCOUNT, [], True),
        (FROM_ANSWER, MAIN_ACCOUNT, ["1"], False),
        ("", "b", ["2"], False),  # the orders of another account say nothing
        ("", "b", [], True),
        (None, MAIN_ACCOUNT, ["2"], False),
    ],
)
def test_a_list_reaches_back_where_it_shows_an_order_that_was_recorded_when_it_was_placed(
    file_database: IMEIDatabase, notes: str | None, account: str, order_ids: list[str], reaches: bool
) -> None:
    store(file_database, "1", notes=notes)
    store(file_database, None)
    assert audit_store.reaches_back(file_database, account, order_ids) is reaches


# What is written


def test_a_restored_order_is_written_once(database: IMEIDatabase) -> None:
    rows = [row_of("1", FIRST), row_of("2", SECOND)]
    assert audit_store.restore(database, rows) == Restored(new=2)
    assert audit_store.restore(database, rows) == Restored()
    assert stored(database) == [("1", FIRST, SERVICE, None), ("2", SECOND, SERVICE, None)]


def test_a_known_order_gets_the_service_that_was_not_known(database: IMEIDatabase) -> None:
    store(database, "1", service_id=None)
    store(database, "2", service_id="270", service_name="Other")
    store(database, "3", service_id=None)
    assert audit_store.restore(database, [row_of("1", FIRST), row_of("2", FIRST)]) == Restored()
    assert [row[2] for row in stored(database)] == [SERVICE, "270", None]


def test_an_order_of_ours_without_an_id_gets_the_one_of_its_imei_and_service(database: IMEIDatabase) -> None:
    for imei, service_id in ((FIRST, "270"), (SECOND, SERVICE), (FIRST, SERVICE), (FIRST, SERVICE)):
        store(database, None, imei, service_id=service_id)
    assert audit_store.restore(database, [row_of("1", FIRST, account="b")]) == Restored(linked=1)
    assert [row[0] for row in stored(database)] == [None, None, "1", None]
    assert one(database, "SELECT account FROM orders WHERE order_id = '1'") == "b"


def test_an_imei_that_waits_is_taken_out_of_its_call_and_not_paid_again(database: IMEIDatabase) -> None:
    batch_id, [chunk_id] = planned(database, 2)
    assert audit_store.restore(database, [row_of("1", FIRST, service_id=None)]) == Restored(new=1, taken_over=1)
    assert stored(database) == [("1", FIRST, SERVICE, batch_id)]
    assert one(database, "SELECT outcome, chunk_id FROM items WHERE imei = ?", FIRST) == ("ordered", None)
    assert one(database, "SELECT size, state FROM chunks WHERE id = ?", chunk_id) == (1, "planned")
    assert audit_store.restore(database, [row_of("2", SECOND)]) == Restored(new=1, taken_over=1)
    assert one(database, "SELECT state FROM chunks WHERE id = ?", chunk_id) == "cancelled"
    assert one(database, "SELECT state FROM batches WHERE id = ?", batch_id) == "finished"


@pytest.mark.parametrize("state", [ChunkState.SENDING, ChunkState.IN_DOUBT])
def test_an_imei_on_the_wire_or_in_doubt_is_left_to_the_runner(database: IMEIDatabase, state: ChunkState) -> None:
    chunk = call(database, [FIRST])
    if state is ChunkState.IN_DOUBT:
        unanswered(database, chunk)
    before = everything(database)
    assert audit_store.restore(database, [row_of("1", FIRST)]) == Restored(left=1)
    assert everything(database) == before


def test_an_imei_in_doubt_is_settled_by_the_order_of_a_kept_answer(database: IMEIDatabase) -> None:
    chunk = call(database, [FIRST, SECOND])
    unanswered(database, chunk)
    assert audit_store.restore(database, [row_of("1", FIRST, FROM_ANSWER)]) == Restored(new=1)
    assert outcome(database, chunk) == [("ordered", "1"), ("in_doubt", "")]
    assert one(database, "SELECT state FROM chunks") == "in_doubt"
    assert audit_store.restore(database, [row_of("2", SECOND, FROM_ANSWER)]) == Restored(new=1)
    assert one(database, "SELECT state FROM chunks") == "answered"


def test_a_doubt_is_looked_at_before_an_imei_that_waits_elsewhere(database: IMEIDatabase) -> None:
    """An order without a known service may be of either batch: what is in doubt is settled, nothing is taken out."""
    planned(database, 1, service_id="270")
    unanswered(database, call(database, [FIRST]))
    assert audit_store.restore(database, [row_of("1", FIRST, service_id=None)]) == Restored(left=1)
    assert one(database, "SELECT count(*) FROM items WHERE outcome = 'waiting'") == 1


# What explains a charge


@pytest.mark.parametrize(
    ("own_before", "own_since", "restored", "known", "proven"),
    [
        (["100"], ["102"], "101", 0.3, 0.3),
        (["100"], ["102"], "99", 0.0, 0.0),  # older than the reading
        (["100"], ["98"], "101", 0.3, 0.0),  # ids do not count up
        ([], ["102"], "101", 0.3, 0.0),  # nothing says how far ids had counted
        (["x"], ["102"], "101", 0.3, 0.0),
        (["100"], [], "y-1", 0.3, 0.0),
    ],
)
def test_a_restored_order_explains_a_charge_where_its_id_is_newer_than_the_reading(
    file_database: IMEIDatabase, own_before: list[str], own_since: list[str], restored: str, known: float, proven: float
) -> None:
    database = file_database
    for order_id in own_before:
        store(database, order_id, attempt_id=1, credits=9.0)
    store(database, "104", notes=FROM_LIST, credits=9.0)  # restored before the reading
    read_balance(database)
    for order_id in own_since:
        store(database, order_id, attempt_id=2, credits=9.0)
    store(database, restored, notes=FROM_LIST, credits=0.3)
    store(database, "105", notes=FROM_ANSWER, credits=9.0, account="b")
    store(database, "106", notes="by hand", credits=9.0)
    with database.read() as connection:
        first = balance_store.reading_after(connection, 0)
        assert first
        found = [audit_store.restored_since(connection, first, is_proof=is_proof) for is_proof in (False, True)]
    assert found == pytest.approx([known, proven])


def test_only_orders_up_to_the_second_reading_explain_the_first_fall(file_database: IMEIDatabase) -> None:
    database = file_database
    store(database, "100", attempt_id=1)
    for order_id in ("101", "102"):
        read_balance(database)
        store(database, order_id, notes=FROM_ANSWER, credits=0.5)
    with database.read() as connection:
        first = balance_store.reading_after(connection, 0)
        until = balance_store.newest_reading(connection, MAIN_ACCOUNT)
        assert first
        assert until
        assert audit_store.restored_since(connection, first, until) == 0.5
        assert audit_store.restored_since(connection, first) == 1.0
        assert audit_store.restored_since(connection, until) == 0.5


def test_the_list_names_what_an_answer_has_recorded(database: IMEIDatabase) -> None:
    """A list of an answered call restores nothing."""
    chunk = call(database, [FIRST, SECOND])
    shown = answered(database, chunk, 1)
    before = everything(database)
    rows = [row_of(order.id, order.imei) for order in [*shown, listed("1", FIRST)]]
    assert audit_store.restore(database, rows) == Restored()
    assert everything(database) == before
    with database.read() as connection:
        assert connection.execute(select(chunks.c.state)).scalar_one() == ChunkState.ANSWERED
