"""Tokens on disk: one name for each that is not revoked, and what each was last used for."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from stored_people import add_user

from database import IMEIDatabase, utc_now
from people import Role, Scope
from schema import users
from storage import token_store
from storage.token_store import Maker, NewToken, StoredToken, TokenState

SYNC = NewToken("sync", Role.OPERATOR, frozenset({Scope.ORDER, Scope.READ}), daily_limit=50.0)
NOW, MINUTE = datetime(2026, 3, 1, 12), timedelta(minutes=1)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def stored(database: IMEIDatabase, token_hash: str = "digest") -> StoredToken:
    found = token_store.find(database, token_hash)
    assert found
    return found


def test_a_token_is_found_by_its_hash_with_the_person_who_made_it(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=80.0)
    assert anna.user_id
    token_id = token_store.add(database, replace(SYNC, user_id=anna.user_id, expires_at=NOW), "digest", "1234")
    found = stored(database)
    assert (found.token_id, found.name, found.hint, found.role) == (token_id, "sync", "1234", Role.OPERATOR)
    assert (found.scopes, found.daily_limit, found.expires_at) == (SYNC.scopes, 50.0, NOW)
    assert (found.used_at, found.used_from, found.revoked_at) == (None, "", None)
    assert found.maker == Maker(anna.user_id, "anna", Role.OPERATOR, 80.0, is_disabled=False)
    assert token_store.find(database, "DIGEST") is None
    token_store.add(database, replace(SYNC, name="of the command line"), "other", "5678")
    assert stored(database, "other").maker is None


def test_a_name_is_free_again_after_its_token_was_revoked(database: IMEIDatabase) -> None:
    first = token_store.add(database, SYNC, "first", "1111")
    assert first
    assert token_store.add(database, SYNC, "second", "2222") is None
    assert token_store.find(database, "second") is None
    assert not token_store.revoke(database, first + 1)
    assert token_store.revoke(database, first)
    revoked_at = stored(database, "first").revoked_at
    assert revoked_at
    assert not token_store.revoke(database, first)
    assert stored(database, "first").revoked_at == revoked_at
    second = token_store.add(database, SYNC, "second", "2222")
    third = token_store.add(database, replace(SYNC, name="third"), "third", "3333")
    assert [token.token_id for token in token_store.listed(database)] == [third, second, first]


def test_where_a_token_is_follows_from_its_dates_and_its_maker(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna")
    token_store.add(database, replace(SYNC, user_id=anna.user_id, expires_at=NOW), "digest", "1234")
    assert stored(database).state(NOW - MINUTE) is TokenState.ACTIVE
    assert stored(database).state(NOW) is TokenState.EXPIRED
    with database.write() as connection:
        connection.execute(update(users).values(disabled_at=utc_now()))
    assert stored(database).state(NOW - MINUTE) is TokenState.DISABLED
    assert stored(database).state(NOW) is TokenState.EXPIRED
    token_store.revoke(database, stored(database).token_id)
    assert stored(database).state(NOW - MINUTE) is TokenState.REVOKED


@pytest.mark.parametrize(
    ("used", "before", "is_written"),
    [
        (None, NOW - MINUTE, True),
        (NOW - 2 * MINUTE, NOW - MINUTE, True),
        (NOW - MINUTE, NOW - MINUTE, True),
        (NOW - MINUTE / 2, NOW - MINUTE, False),  # another process was faster
        (NOW, NOW - MINUTE, False),
        (NOW + MINUTE, NOW - MINUTE, True),  # a clock was wrong
    ],
)
def test_a_use_is_written_unless_another_process_wrote_one_just_now(
    file_database: IMEIDatabase, used: datetime | None, before: datetime, is_written: bool
) -> None:
    token_id = token_store.add(file_database, SYNC, "digest", "1234")
    other = token_store.add(file_database, replace(SYNC, name="other"), "other", "5678")
    assert token_id
    assert other
    if used:
        token_store.note_use(file_database, token_id, "10.0.0.1", used, used)
    token_store.note_use(file_database, token_id, "10.0.0.2", NOW, before)
    expected = (NOW, "10.0.0.2") if is_written else (used, "10.0.0.1")
    assert (stored(file_database).used_at, stored(file_database).used_from) == expected
    assert stored(file_database, "other").used_at is None
