"""Sessions on disk: found by their hash while they last, ended once, and only for their user."""

from datetime import datetime, timedelta

import pytest

from database import IMEIDatabase
from people import Role
from storage import session_store, user_store
from storage.session_store import Limits, NewSession

NOW, SECOND = datetime(2026, 3, 1, 12), timedelta(seconds=1)
#: Of sessions that began, or were seen, at NOW at the earliest.
LIMITS = Limits(NOW - SECOND, NOW - SECOND)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


@pytest.fixture(name="people")
def people_fixture(database: IMEIDatabase) -> list[int]:
    """Two users, each with one session; the second was seen last."""
    with database.write() as connection:
        found = []
        for place, name in enumerate(("anna", "berta")):
            user_id = user_store.add_user(connection, name, Role.VIEWER, "hash", None, NOW)
            assert user_id
            new = NewSession(f"hash of {name}", user_id, "203.0.113.9", "Firefox")
            session_store.add_session(connection, new, NOW + place * SECOND, NOW)
            found.append(user_id)
    return found


def test_a_session_is_found_by_its_hash_with_its_user(database: IMEIDatabase, people: list[int]) -> None:
    with database.read() as connection:
        found = session_store.find_session(connection, "hash of anna", LIMITS)
        assert session_store.find_session(connection, "hash of carla", LIMITS) is None
    assert found
    assert (found.user.user_id, found.user.name, found.address, found.browser) == (
        people[0],
        "anna",
        "203.0.113.9",
        "Firefox",
    )
    assert found.created_at == found.seen_at == found.proved_at == NOW


def test_a_session_is_over_at_either_limit_and_with_its_user(database: IMEIDatabase, people: list[int]) -> None:
    for limits in (Limits(NOW, NOW - SECOND), Limits(NOW - SECOND, NOW)):
        with database.read() as connection:
            assert session_store.find_session(connection, "hash of anna", limits) is None
            assert session_store.find_session(connection, "hash of berta", limits)
            assert session_store.open_sessions(connection, limits, people[0]) == []
            assert len(session_store.open_sessions(connection, limits)) == 1
    with database.write() as connection:
        user_store.disable(connection, people[0], NOW)
        assert session_store.find_session(connection, "hash of anna", LIMITS) is None
        assert session_store.open_sessions(connection, LIMITS, people[0]) == []


def test_the_session_that_was_seen_last_comes_first(database: IMEIDatabase, people: list[int]) -> None:
    with database.write() as connection:
        older, newer = (session.session_id for session in reversed(session_store.open_sessions(connection, LIMITS)))
        session_store.mark_seen(connection, older, NOW + 5 * SECOND)
        first, second = session_store.open_sessions(connection, LIMITS)
    assert (first.session_id, first.seen_at, first.proved_at) == (older, NOW + 5 * SECOND, NOW)
    assert (second.session_id, second.seen_at) == (newer, NOW + SECOND)


def test_a_renewed_session_has_another_hash_and_a_new_proof(database: IMEIDatabase, people: list[int]) -> None:
    with database.write() as connection:
        [session] = session_store.open_sessions(connection, LIMITS, people[0])
        session_store.renew(connection, session.session_id, "new hash", NOW + SECOND)
        assert session_store.find_session(connection, "hash of anna", LIMITS) is None
        found = session_store.find_session(connection, "new hash", LIMITS)
        other = session_store.find_session(connection, "hash of berta", LIMITS)
    assert found
    assert other
    assert (found.session_id, found.created_at, found.seen_at, found.proved_at) == (
        session.session_id,
        NOW,
        NOW + SECOND,
        NOW + SECOND,
    )
    assert other.user.user_id == people[1]


def test_a_session_is_ended_once_by_its_user_or_with_all_others(database: IMEIDatabase, people: list[int]) -> None:
    anna, berta = people
    with database.write() as connection:
        [session] = session_store.open_sessions(connection, LIMITS, anna)
        assert not session_store.end_session(connection, session.session_id, berta, "by hand", NOW)
        assert session_store.end_session(connection, session.session_id, anna, "by hand", NOW)
        assert not session_store.end_session(connection, session.session_id, anna, "again", NOW)
        for name in ("second", "third"):
            session_store.add_session(connection, NewSession(name, anna, "", ""), NOW, NOW)
        kept = session_store.find_session(connection, "third", LIMITS)
        assert kept
        assert session_store.end_sessions(connection, anna, "by hand", NOW, but_session=kept.session_id) == 1
        assert session_store.open_sessions(connection, LIMITS, anna) == [kept]
        assert session_store.end_sessions(connection, anna, "all", NOW) == 1
        assert len(session_store.open_sessions(connection, LIMITS, berta)) == 1
        reasons = connection.exec_driver_sql("SELECT end_reason FROM sessions ORDER BY id").scalars().all()
    assert reasons == ["by hand", "", "by hand", "all"]


def test_sessions_that_began_long_ago_are_deleted_with_the_next_login(
    database: IMEIDatabase, people: list[int]
) -> None:
    with database.write() as connection:
        session_store.add_session(connection, NewSession("new", people[0], "", ""), NOW, NOW + SECOND)
        kept = connection.exec_driver_sql("SELECT id_hash FROM sessions ORDER BY id").scalars().all()
    assert kept == ["hash of berta", "new"]
