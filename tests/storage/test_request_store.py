"""Requests to the leader: each transition is guarded, and what is over is forgotten."""

from database import IMEIDatabase
from orders import IMEIOrder, RequestKind, RequestState
from storage import request_store
from storage.request_store import KEPT

ORDER, SERVICES = RequestKind.ORDER, RequestKind.SERVICES
FOUND = IMEIOrder("7", "353370080000001", "Pending")


def finish(database: IMEIDatabase, request_id: int, now: float, failure: str = "") -> bool:
    with database.write() as connection:
        return request_store.finish(connection, request_id, now, "words" if failure else "", failure)


def test_an_identical_request_is_joined_until_it_is_finished(database: IMEIDatabase) -> None:
    first = request_store.leave(database, ORDER, "7", 1.0)
    assert request_store.leave(database, ORDER, "8", 1.0) != first
    assert request_store.leave(database, ORDER, "7", 2.0) == first
    request_store.take(database, [ORDER])
    assert request_store.leave(database, ORDER, "7", 3.0) == first
    assert finish(database, first, 4.0)
    assert request_store.leave(database, ORDER, "7", 5.0) > first


def test_a_request_is_taken_once_the_oldest_first(database: IMEIDatabase) -> None:
    first = request_store.leave(database, ORDER, "7", 1.0)
    second = request_store.leave(database, SERVICES, "", 1.0)
    taken = [request_store.take(database, [ORDER, SERVICES]) for _ in range(3)]
    assert [request and request.request_id for request in taken] == [first, second, None]
    third = request_store.leave(database, RequestKind.AUDIT, "", 1.0)
    assert request_store.take(database, [ORDER, SERVICES]) is None
    waiting = request_store.waiting(database, RequestKind.AUDIT)
    assert waiting is not None
    assert waiting.request_id == third
    assert request_store.waiting(database, RequestKind.AUDIT, "b") is None


def test_only_a_request_that_is_asked_can_be_finished_and_only_once(database: IMEIDatabase) -> None:
    request_id = request_store.leave(database, ORDER, "7", 1.0)
    assert not finish(database, request_id, 2.0)
    request_store.take(database, [ORDER])
    assert finish(database, request_id, 2.0, "NotSentError")
    assert not finish(database, request_id, 3.0)
    found = request_store.get(database, request_id)
    assert found is not None
    assert (found.state, found.error, found.answered_at) == (RequestState.FAILED, "words", 2.0)
    assert request_store.newest_finished(database, ORDER) == found


def test_what_a_dead_leader_was_asking_waits_again_and_what_is_asked_now_does_not(database: IMEIDatabase) -> None:
    dead, alive = (request_store.leave(database, ORDER, name, 1.0) for name in ("7", "8"))
    for _ in range(2):
        request_store.take(database, [ORDER])
    request_store.reopen(database, [ORDER], [alive])
    again = request_store.take(database, [ORDER])
    assert again is not None
    assert again.request_id == dead
    assert request_store.take(database, [ORDER]) is None


def test_a_request_that_is_taken_back_is_not_asked(database: IMEIDatabase) -> None:
    request_id = request_store.leave(database, RequestKind.LEAD, "", 1.0)
    request_store.take_back(database, request_id, 2.0)
    assert request_store.waiting(database, RequestKind.LEAD) is None


def test_orders_are_shown_when_their_request_is_finished_and_replace_those_of_a_leader_that_died(
    database: IMEIDatabase,
) -> None:
    request_id = request_store.leave(database, SERVICES, "", 1.0)
    request = request_store.take(database, [SERVICES])
    assert request is not None
    request_store.store_orders(database, request, [FOUND] * 3)
    assert request_store.newest_orders(database, SERVICES, "", "main") == []
    request_store.store_orders(database, request, [FOUND] * 2)
    finish(database, request_id, 2.0)
    assert request_store.newest_orders(database, SERVICES, "", "main") == [FOUND] * 2


def test_old_requests_are_deleted_with_their_orders_but_the_newest_of_each_kind(database: IMEIDatabase) -> None:
    ids = []
    for at in (0.0, 10.0, 20.0):
        ids.append(request_store.leave(database, ORDER, str(at), at))
        request = request_store.take(database, [ORDER])
        assert request is not None
        request_store.store_orders(database, request, [FOUND])
        finish(database, request.request_id, at)
    with database.write() as connection:
        request_store.forget(connection, KEPT + 15.0)
    kept = [request_id for request_id in ids if request_store.get(database, request_id)]
    assert kept == ids[2:]
    assert request_store.newest_orders(database, ORDER, "0.0", "main") == []
    assert request_store.newest_orders(database, ORDER, "20.0", "main") == [FOUND]
    with database.write() as connection:
        request_store.forget(connection, 9 * KEPT)
    assert request_store.get(database, ids[2]) is not None


def test_calls_are_counted_by_their_age_unless_none_was_made(database: IMEIDatabase) -> None:
    for at, failure in ((100.0, ""), (130.0, "NotSentError"), (140.0, "Limit"), (170.0, "")):
        request_id = request_store.leave(database, ORDER, str(at), at)
        request_store.take(database, [ORDER])
        finish(database, request_id, at, failure)
    ages = request_store.call_ages(database, [ORDER], "Limit", 165.0, 60.0, "main")
    assert ages == [35.0]
