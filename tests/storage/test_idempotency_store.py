"""Idempotency keys on disk: claimed by one request, answered once, and kept for a week."""

from dataclasses import replace
from datetime import timedelta

import pytest
from handmade_calls import planned
from sqlalchemy import select, update

from database import IMEIDatabase, utc_now
from schema import idempotency_keys
from storage.idempotency_store import KEPT, LOST_AFTER, KeyInUseError, KeyReusedError, RequestKey, bind, claim, release

KEY = RequestKey("token 1", "k", "digest")
OTHERS = (replace(KEY, caller="token 2"), replace(KEY, key="k2"))
SECOND = timedelta(seconds=1)


def grow_old(database: IMEIDatabase, age: timedelta) -> None:
    """Let every key be this old."""
    with database.write() as connection:
        connection.execute(update(idempotency_keys).values(created_at=utc_now() - age))


def answer(database: IMEIDatabase, key: RequestKey, text: str = "{}", batch_id: int | None = None) -> None:
    with database.write() as connection:
        bind(connection, key, batch_id, text)


def test_a_key_is_claimed_by_one_request_of_one_caller(database: IMEIDatabase) -> None:
    for key in (KEY, *OTHERS):
        assert claim(database, key) is None
    for key in (KEY, *OTHERS):
        with pytest.raises(KeyInUseError):
            claim(database, key)


def test_an_answer_is_given_again_to_the_same_request_only(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 1)
    for key in (KEY, *OTHERS):
        claim(database, key)
    answer(database, KEY, "the answer", batch_id)
    assert claim(database, KEY) == "the answer"
    with database.read() as connection:
        bound = connection.execute(select(idempotency_keys).where(idempotency_keys.c.batch_id == batch_id)).one()
    assert (bound.caller, bound.key) == (KEY.caller, KEY.key)
    with pytest.raises(KeyReusedError):
        claim(database, replace(KEY, body_hash="another"))
    for key in OTHERS:
        with pytest.raises(KeyInUseError):
            claim(database, key)


def test_a_key_in_use_is_no_reason_to_take_another_request_for_it(database: IMEIDatabase) -> None:
    """Also after the first request is lost: what it did is not known."""
    claim(database, KEY)
    grow_old(database, LOST_AFTER + SECOND)
    with pytest.raises(KeyReusedError):
        claim(database, replace(KEY, body_hash="another"))


def test_a_key_that_was_taken_over_makes_no_second_batch(database: IMEIDatabase) -> None:
    """The first request lasts so long that its key counts as lost. Whichever ends first has the batch."""
    assert claim(database, KEY) is None
    with pytest.raises(KeyInUseError):
        claim(database, KEY)
    grow_old(database, LOST_AFTER + SECOND)
    assert claim(database, KEY) is None
    with pytest.raises(KeyInUseError):  # the one that took it over has its own time
        claim(database, KEY)
    answer(database, KEY)
    with pytest.raises(KeyInUseError):
        answer(database, KEY)
    assert claim(database, KEY) == "{}"


def test_no_answer_is_stored_for_a_key_that_is_not_claimed_by_this_request(database: IMEIDatabase) -> None:
    claim(database, KEY)
    for key in (*OTHERS, replace(KEY, body_hash="another")):
        with pytest.raises(KeyInUseError):
            answer(database, key)
    answer(database, KEY)


def test_two_requests_that_answer_at_once_are_undone_but_for_one(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    """Both have claimed the key; what the second wrote with its answer goes with it."""
    claim(database, KEY)
    answer(rival, KEY, "first")
    with pytest.raises(KeyInUseError), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO settings (key, value) VALUES ('a', 'b')")
        bind(connection, KEY, None, "second")
    assert database.get_setting("a") is None
    assert claim(database, KEY) == "first"


def test_a_refused_request_gives_up_its_own_claim_and_no_answer(database: IMEIDatabase) -> None:
    for key in (KEY, *OTHERS):
        claim(database, key)
    release(database, KEY)
    assert claim(database, KEY) is None
    with pytest.raises(KeyInUseError):
        claim(database, OTHERS[0])
    answer(database, KEY)
    release(database, KEY)
    assert claim(database, KEY) == "{}"


def test_an_answer_is_kept_for_a_week(database: IMEIDatabase) -> None:
    claim(database, KEY)
    answer(database, KEY)
    grow_old(database, KEPT - SECOND)
    assert claim(database, KEY) == "{}"
    grow_old(database, KEPT + SECOND)
    assert claim(database, KEY) is None
