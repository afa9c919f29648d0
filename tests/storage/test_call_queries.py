"""Queries about calls: what is planned, open or in doubt, and the orders around a call."""

import math
from datetime import datetime, timedelta
from functools import partial

import pytest
from call_moves import among, cleared, ids_of, in_doubt, item_outcomes, linked, place, repeat_of, repeated
from handmade_calls import (
    OTHER,
    answered,
    call,
    planned,
    record_outcomes,
    unanswered,
)
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import insert, update

from database import IMEIDatabase, utc_now
from orders import SAYS_IT_EXISTS, BatchState, Chunk, ChunkState, Outcome, ServiceInfo
from schema import attempts, orders, services
from storage import batch_states, call_queries, chunk_moves, guards
from storage.call_records import write_intents
from storage.guards import IN_LIST


def test_planned_chunks_come_oldest_first_and_no_more_than_asked_for(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 7)
    planned(database, 2, first=20)
    with database.write() as connection:
        write_intents(connection, ids[:1])
        assert call_queries.planned_chunks(connection, batch_id, 2) == [(ids[1], 2), (ids[2], 2)]
        assert call_queries.planned_chunks(connection, batch_id, 9) == [(ids[1], 2), (ids[2], 2), (ids[3], 1)]


def test_open_calls_come_with_their_last_attempt_and_what_is_undecided(database: IMEIDatabase) -> None:
    doubtful, flying, later = (call(database, imeis(2, first=10 * n), SERVICE if n else OTHER) for n in range(3))
    with database.write() as connection:
        record_outcomes(connection, doubtful, item_outcomes(doubtful, Outcome.ORDERED, Outcome.IN_DOUBT))
        chunk_moves.release(connection, flying, "not sent")
        (again,) = write_intents(connection, [flying.chunk_id])
        found = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found == [Chunk(doubtful.chunk_id, doubtful.batch_id, OTHER, 1, doubtful.attempt_id, doubtful.items[1:])]
        assert call_queries.open_chunks(connection, ChunkState.SENDING) == [again, later]
        run(connection, "DELETE FROM attempts WHERE chunk_id = ?", doubtful.chunk_id)
        assert call_queries.open_chunks(connection, ChunkState.IN_DOUBT)[0].attempt_id == 0


def test_labels_lead_to_one_service_and_an_ambiguous_title_to_none(database: IMEIDatabase) -> None:
    rows = [("269", " T-Mobile USA "), ("270", "Same"), ("271", "same "), ("A9", "Letters")]
    with database.write() as connection:
        for position, (service_id, title) in enumerate(rows):
            insert = "INSERT INTO services (service_id, position, title, price, refreshed_at) VALUES (?, ?, ?, 1, 0)"
            run(connection, insert, service_id, position, title)
        found = call_queries.service_labels(connection)
    ids = {"269": "269", "270": "270", "271": "271", "a9": "A9"}
    assert found == {**ids, "t-mobile usa": "269", "letters": "A9"}


def test_a_service_without_a_title_is_not_that_of_orders_without_a_service(database: IMEIDatabase) -> None:
    """Else they would be certainly of another service than that of a call in doubt, which would be made again."""
    listed = [("1", ""), ("2", "3"), ("3", " Check "), ("4", "check"), ("b5", "\t"), ("B5", "Five")]
    database.store_services([ServiceInfo(service_id, title, 0.1) for service_id, title in listed], 1.0)
    with database.read() as connection:
        assert call_queries.service_labels(connection) == {"1": "1", "2": "2", "4": "4", "five": "B5"}


def test_the_calls_in_doubt_are_those_that_wait_and_those_that_are_being_repeated(database: IMEIDatabase) -> None:
    call(database, imeis(1, first=50))  # on the wire, and no doubt about it
    waiting, repeating = call(database, imeis(2)), call(database, imeis(3, first=10), OTHER)
    unanswered(database, waiting)
    again = repeat_of(database, repeating)
    with database.write() as connection:
        cleared(connection, waiting)
        found = call_queries.doubtful_calls(connection)
    doubt = call_queries.DoubtfulCall
    on_the_wire = (again.chunk_id, again.batch_id, OTHER, repeating.attempt_id, 3)
    cleared_one = (again.chunk_id + 1, waiting.batch_id, SERVICE, waiting.attempt_id, 2)
    assert found == [
        doubt(*on_the_wire, waits=False, paused=False, cleared=False),
        doubt(*cleared_one, waits=True, paused=False, cleared=True),
    ]


def test_a_repeat_that_is_only_planned_is_no_call_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with database.write() as connection:
        repeated(connection, chunk)
        assert call_queries.doubtful_calls(connection) == []


def test_a_call_in_doubt_says_that_its_batch_is_paused(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    with database.write() as connection:
        (chunk,) = write_intents(connection, ids[:1])
        in_doubt(connection, chunk)
        assert batch_states.state_of(connection, batch_id) is BatchState.RUNNING
        batch_states.pause(connection, batch_id, "by a person")
        assert [found.paused for found in call_queries.doubtful_calls(connection)] == [True]
        assert batch_states.state_of(connection, batch_id) is BatchState.PAUSED
        assert batch_states.unit_price(connection, batch_id) == 0.1


def test_an_attempt_that_placed_nothing_is_not_the_one_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(1))
    with database.write() as connection:
        chunk_moves.release(connection, chunk, "not sent")
        (second,) = write_intents(connection, [chunk.chunk_id])
        in_doubt(connection, second)
        (found,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found.attempt_id == second.attempt_id
        run(connection, "UPDATE attempts SET result = 'not placed' WHERE id = ?", second.attempt_id)
        run(connection, "UPDATE attempts SET result = NULL WHERE id = ?", chunk.attempt_id)
        (found,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found.attempt_id == chunk.attempt_id
        assert [doubtful.attempt_id for doubtful in call_queries.doubtful_calls(connection)] == [chunk.attempt_id]


def test_the_orders_around_a_call_are_those_that_our_calls_placed_newest_first(database: IMEIDatabase) -> None:
    first, other = call(database, imeis(2)), call(database, imeis(2, first=10), OTHER)
    answered(database, first, 1)
    answered(database, other, 11)
    second, third = call(database, imeis(2, first=20)), call(database, imeis(1, first=30))
    answered(database, third, 31)
    answered(database, second, 21)
    place(database, "99", imeis(100)[99], SERVICE, None)
    existing = call(database, imeis(1, first=40))
    unanswered(database, existing)
    with database.write() as connection:
        last = call_queries.newest_order(connection)
        linked(connection, existing)
        assert call_queries.newest_order(connection) > last
        connection.exec_driver_sql("UPDATE orders SET attempt_id = 1 WHERE order_id = '50'")
        before = call_queries.orders_before
        assert before(connection, 7, 9) == ["22", "21", "31", "12", "11", "2", "1"]
        assert before(connection, 7, 3) == ["22", "21", "31"]
        assert before(connection, 5, 9, SERVICE) == ["31", "2", "1"]
        assert before(connection, last + 1, 9)[0] == "22"  # neither an imported one nor one that existed before
        assert before(connection, 0, 9) == []
        since = partial(call_queries.orders_since, account="main")
        found = since(connection, 4, last, 9, SERVICE)
        assert list(found.items()) == [("22", second.attempt_id), ("21", second.attempt_id), ("31", third.attempt_id)]
        assert list(since(connection, 4, last, 2, SERVICE)) == ["22", "21"]
        assert list(since(connection, 2, last, 9, OTHER)) == ["12", "11"]
        assert list(since(connection, 4, last + 1, 9, SERVICE)) == ["22", "21", "31"]
        assert list(since(connection, 4, 6, 9, SERVICE)) == ["21", "31"]
        assert call_queries.known_when_sent(connection, third.attempt_id) == 4
        assert call_queries.known_when_sent(connection, 99) == 0


def test_without_orders_the_newest_one_is_none(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert call_queries.newest_order(connection) == 0


def test_the_owner_of_an_order_is_its_imei_and_the_attempt_that_placed_it(database: IMEIDatabase) -> None:
    first = call(database, imeis(2))
    answered(database, first, 1)
    place(database, "99", imeis(100)[99], SERVICE, None)
    with database.read() as connection:
        owners = call_queries.order_owners(connection, ["1", "99", "77"])
        assert owners == {"1": (imeis(1)[0], first.attempt_id), "99": (imeis(100)[99], 0)}


def test_the_services_of_orders_are_those_that_an_account_ordered(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(1)), 1)
    answered(database, call(database, imeis(1, first=1), OTHER), 2)
    place(database, "99", imeis(100)[99], "", None)
    with database.read() as connection:
        assert call_queries.services_of(connection, ["1", "2", "99", "77"]) == {"1": SERVICE, "2": OTHER}
        assert call_queries.services_of(connection, ["1"], "second") == {}


def test_of_a_call_in_doubt_it_is_known_of_which_imeis_the_provider_says_that_they_are_ordered(
    database: IMEIDatabase,
) -> None:
    chunk, other = call(database, imeis(3)), call(database, imeis(1, first=10))
    unsettled = Outcome.IN_DOUBT
    answer = item_outcomes(chunk, unsettled, unsettled, Outcome.REFUSED, message=SAYS_IT_EXISTS)
    answer[1] = answer[1]._replace(message="sent, but the answer does not name it")
    with database.write() as connection:
        record_outcomes(connection, chunk, answer)
        record_outcomes(connection, other, item_outcomes(other, unsettled, message=SAYS_IT_EXISTS))
        assert call_queries.claimed_to_exist(connection, chunk.chunk_id) == {ids_of(chunk)[0]}


def test_planned_among_are_the_imeis_that_running_batches_have_not_sent(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    stopped, _ = planned(database, 1, first=10)
    numbers = [*imeis(4), *imeis(1, first=10)]
    with database.write() as connection:
        write_intents(connection, ids[:1])
        batch_states.pause(connection, stopped, "by a person")
        found = among(connection, [*numbers[:3], *numbers[4:]])
        assert found == [(batch_id, SERVICE, numbers[2])]
        batch_states.resume(connection, stopped)
        found = among(connection, numbers)
        assert sorted(found) == [(batch_id, SERVICE, n) for n in numbers[2:4]] + [(stopped, SERVICE, numbers[4])]
        chunk_moves.leave_out(connection, SERVICE, numbers[2], "ordered already")
        assert among(connection, numbers[:3]) == []


def test_owners_of_more_orders_than_fit_one_list_are_found(database: IMEIDatabase) -> None:
    count = 2 * IN_LIST + 1
    with database.write() as connection:
        rows = [{"order_id": str(n), "imei": "1", "status": "Pending"} for n in range(count)]
        connection.execute(orders.insert(), rows)
        assert len(call_queries.order_owners(connection, [str(n) for n in range(count)])) == count
    assert [len(part) for part in guards.parts(range(count))] == [IN_LIST, IN_LIST, 1]


def test_attempts_are_ordered_by_their_ids(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert call_queries.newest_attempt(connection) == 0
    first, second = call(database, imeis(1)), call(database, imeis(1, first=10))
    with database.read() as connection:
        assert call_queries.newest_attempt(connection) == second.attempt_id
        assert first.attempt_id < second.attempt_id
        assert call_queries.attempt_message(connection, 99) == ""


def test_the_age_of_an_attempt_counts_from_its_beginning_and_never_backwards(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = call(database, imeis(1))
    now = utc_now()
    monkeypatch.setattr(call_queries, "utc_now", lambda: now)

    def at(column: str, seconds: float | None) -> None:
        value = None if seconds is None else (now - timedelta(seconds=seconds)).isoformat(" ")
        run(connection, f"UPDATE attempts SET {column} = ?", value)

    with database.write() as connection:
        at("sent_at", 50.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 50.0
        assert call_queries.attempt_ages(connection, 60.0) == [50.0]
        assert call_queries.attempt_ages(connection, 50.0) == []
        at("ended_at", 20.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 50.0
        at("sent_at", -3600.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 0.0
        assert call_queries.attempt_ages(connection, 60.0) == [0.0]
        assert call_queries.seconds_since(connection, 99) == 0.0


def test_of_planned_imeis_it_is_known_whether_an_order_of_them_was_final_already(database: IMEIDatabase) -> None:
    _, ids = planned(database, 4)
    with database.write() as connection:
        write_intents(connection, ids[1:])
        rows = [("1", 0, SERVICE, "Completed"), ("2", 1, SERVICE, "Pending"), ("3", 1, OTHER, "Completed")]
        for order_id, n, service_id, status in rows:
            order = {"order_id": order_id, "imei": imeis(4)[n], "status": status, "service_id": service_id}
            connection.execute(orders.insert(), order)
        last = int(connection.exec_driver_sql("SELECT max(id) FROM orders").scalar_one())
        found = call_queries.planned_items(connection, imeis(4), last)
        assert sorted(found) == [(SERVICE, imeis(1)[0], True), (SERVICE, imeis(2)[1], False)]
        assert call_queries.planned_items(connection, imeis(1), last - 2) == [(SERVICE, imeis(1)[0], True)]
        assert call_queries.planned_items(connection, imeis(1), 0) == [(SERVICE, imeis(1)[0], False)]
        assert call_queries.planned_items(connection, imeis(2, first=50), last) == []


def test_a_price_is_the_one_that_the_provider_listed_last(database: IMEIDatabase) -> None:
    with database.write() as connection:
        for service_id, price in ((SERVICE, 0.08), (OTHER, 2.5)):
            row = {"service_id": service_id, "position": 1, "title": "a", "price": price, "refreshed_at": 0.0}
            connection.execute(insert(services).values(**row))
        assert call_queries.listed_price(connection, OTHER, 9.0) == 2.5
        assert call_queries.listed_price(connection, "999", 9.0) == 9.0
        assert call_queries.listed_prices(connection) == {SERVICE: 0.08, OTHER: 2.5}


def test_the_lowest_price_since_a_moment_counts_the_one_that_was_in_force_then(database: IMEIDatabase) -> None:
    for moment, price in ((1000.0, 0.01), (2000.0, 0.3), (3000.0, 0.2), (4000.0, 0.4)):
        database.store_services([ServiceInfo(SERVICE, "T-Mobile", price), ServiceInfo(OTHER, "Sprint", 0.005)], moment)
    lowest = {}
    with database.read() as connection:
        for moment in (500, 1000, 1999, 2000, 3500, 4000, 9000):
            since = datetime(1970, 1, 1) + timedelta(seconds=moment)
            lowest[moment] = call_queries.lowest_price(connection, SERVICE, since)
        assert call_queries.lowest_price(connection, "999", since) == math.inf
    assert lowest == {500: 0.01, 1000: 0.01, 1999: 0.01, 2000: 0.2, 3500: 0.2, 4000: 0.4, 9000: 0.4}


def test_the_time_of_a_call_is_that_of_its_attempt(database: IMEIDatabase) -> None:
    first, second = call(database, imeis(1)), call(database, imeis(1, first=10))
    with database.write() as connection:
        earlier = utc_now() - timedelta(hours=1)
        connection.execute(update(attempts).where(attempts.c.id == first.attempt_id).values(sent_at=earlier))
        assert call_queries.sent_at(connection, first.attempt_id) == earlier
        assert call_queries.sent_at(connection, second.attempt_id) != earlier
        assert call_queries.sent_at(connection, 99) is None
