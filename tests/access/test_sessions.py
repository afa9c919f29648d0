"""A session lasts 12 idle hours and 7 days, and ends with a logout, a new password or role, and a disabled user."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from access.passwords import make_passwords
from access.sessions import (
    IDLE,
    LONGEST_SESSION,
    begin_session,
    browser_words,
    end_session,
    end_sessions,
    find_session,
    open_sessions,
    remember_visit,
)
from access.users import NewUser, add_user, disable, enable, set_daily_limit, set_password, set_role
from database import IMEIDatabase
from people import Role
from storage.user_store import User

PASSWORDS = make_passwords(8)
NOW = datetime(2026, 3, 1, 12)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def anna(database: IMEIDatabase) -> User:
    add_user(database, PASSWORDS, NewUser("root", Role.ADMIN, "four plain words here"))
    return add_user(database, PASSWORDS, NewUser("anna", Role.OPERATOR, "four plain words here", 50.0))


@pytest.fixture
def cookie(database: IMEIDatabase, anna: User) -> str:
    return begin_session(database, anna.user_id, "203.0.113.9", FIREFOX, NOW)


def test_a_session_is_found_by_its_cookie_and_stored_as_a_hash(database: IMEIDatabase, anna: User, cookie: str) -> None:
    found = find_session(database, cookie, NOW)
    assert found
    assert (found.user, found.address, found.browser) == (anna, "203.0.113.9", "Firefox on Linux")
    assert found.user.actor.user_limit == 50.0
    assert len(cookie) >= 43
    assert find_session(database, cookie[:-1], NOW) is find_session(database, "", NOW) is None
    with database.read() as connection:
        assert cookie not in str(connection.exec_driver_sql("SELECT * FROM sessions").all())


def test_a_session_ends_after_idle_hours_and_after_days_of_use(database: IMEIDatabase, cookie: str) -> None:
    assert find_session(database, cookie, NOW + IDLE - timedelta(seconds=1))
    assert find_session(database, cookie, NOW + IDLE) is None
    now, used = NOW, 0
    while found := find_session(database, cookie, now):
        remember_visit(database, found, now)
        now, used = now + timedelta(hours=8), used + 1
    assert now - NOW == LONGEST_SESSION
    assert used == 21


def test_a_visit_is_written_once_a_minute(database: IMEIDatabase, cookie: str) -> None:
    for seconds, seen in ((59, 0), (60, 60), (119, 60), (120, 120)):
        found = find_session(database, cookie, NOW)
        assert found
        remember_visit(database, found, NOW + timedelta(seconds=seconds))
        found = find_session(database, cookie, NOW)
        assert found
        assert found.seen_at == NOW + timedelta(seconds=seen)


def test_a_visit_is_left_out_while_another_connection_writes(
    database: IMEIDatabase, rival: IMEIDatabase, cookie: str
) -> None:
    found = find_session(database, cookie, NOW)
    assert found
    with rival.write():
        remember_visit(database, found, NOW + timedelta(hours=1))
    assert find_session(database, cookie, NOW) == found


@pytest.mark.parametrize(
    "change",
    [
        lambda database, user: set_role(database, user, Role.VIEWER),
        lambda database, user: set_password(database, PASSWORDS, user, "four other words here"),
        lambda database, user: disable(database, user),
        lambda database, user: [disable(database, user), enable(database, user)],
        lambda database, user: end_sessions(database, user, "by hand", NOW),
    ],
    ids=["role", "password", "disabled", "enabled again", "by hand"],
)
def test_a_change_of_a_user_ends_all_sessions_of_this_user_only(
    database: IMEIDatabase, anna: User, cookie: str, change: Callable[[IMEIDatabase, int], object]
) -> None:
    other = add_user(database, PASSWORDS, NewUser("berta", Role.VIEWER, "four plain words here"))
    kept = begin_session(database, other.user_id, "", "", NOW)
    change(database, anna.user_id)
    assert find_session(database, cookie, NOW) is None
    assert find_session(database, kept, NOW)


def test_a_daily_limit_ends_no_session(database: IMEIDatabase, anna: User, cookie: str) -> None:
    assert set_daily_limit(database, anna.user_id, 20.0)
    found = find_session(database, cookie, NOW)
    assert found
    assert found.user.actor.user_limit == 20.0


def test_a_user_ends_own_sessions_and_no_others(database: IMEIDatabase, anna: User, cookie: str) -> None:
    second = begin_session(database, anna.user_id, "", "", NOW + timedelta(seconds=1))
    newer, older = open_sessions(database, NOW, anna.user_id)
    assert not end_session(database, older.session_id, anna.user_id + 1, "by hand", NOW)
    assert end_sessions(database, anna.user_id, "by hand", NOW, newer.session_id) == 1
    assert find_session(database, cookie, NOW) is None
    assert find_session(database, second, NOW)


def test_old_sessions_are_deleted(database: IMEIDatabase, anna: User, cookie: str) -> None:
    begin_session(database, anna.user_id, "", "", NOW + timedelta(days=31))
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 1


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iOS"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge on Windows"),
        ("curl/8.0", ""),
    ],
)
def test_a_browser_is_named_in_words(user_agent: str, words: str) -> None:
    assert browser_words(user_agent) == words
