"""Users on disk: each change says whether it is one, and no code is accepted twice."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from database import IMEIDatabase
from people import Actor, Role
from schema import users
from storage import user_store

NOW = datetime(2026, 3, 1, 12)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


@pytest.fixture(name="anna")
def anna_fixture(database: IMEIDatabase) -> int:
    """An operator beside an admin."""
    with database.write() as connection:
        user_store.add_user(connection, "root", Role.ADMIN, "hash of root", None, NOW)
        anna = user_store.add_user(connection, "anna", Role.OPERATOR, "hash of anna", 50.0, NOW)
    assert anna
    return anna


def others(database: IMEIDatabase, user_id: int) -> list[object]:
    """Return every column of the other users."""
    with database.read() as connection:
        return list(connection.execute(select(users).where(users.c.id != user_id)))


def test_a_user_is_stored_once_for_each_name_and_found_by_it(database: IMEIDatabase, anna: int) -> None:
    with database.write() as connection:
        assert user_store.add_user(connection, "anna", Role.ADMIN, "another hash", None, NOW) is None
        found = user_store.find_user(connection, anna)
        assert found == user_store.find_named(connection, "anna") == user_store.all_users(connection)[0]
        assert user_store.find_named(connection, "Anna") is user_store.find_user(connection, anna + 1) is None
        assert [user.name for user in user_store.all_users(connection)] == ["anna", "root"]
    assert (found.name, found.role, found.daily_limit, found.has_second_factor) == ("anna", Role.OPERATOR, 50.0, False)
    assert (found.created_at, found.password_at, found.disabled_at) == (NOW, NOW, None)
    assert found.actor == Actor("anna", Role.OPERATOR, user_id=anna, user_limit=50.0)


def test_there_are_users_from_the_first_one_on(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert not user_store.has_users(connection)
        user_store.add_user(connection, "root", Role.ADMIN, "hash", None, NOW)
        assert user_store.has_users(connection)


def test_secrets_are_those_of_the_user_and_are_not_shown(database: IMEIDatabase, anna: int) -> None:
    with database.write() as connection:
        assert user_store.set_second_factor(connection, anna, "TOTPSECRET", 7)
        found = user_store.secrets_of(connection, "anna")
        assert user_store.secrets_of(connection, "nobody") is None
    assert found
    assert (found.user.user_id, found.password_hash, found.totp_secret, found.totp_step) == (
        anna,
        "hash of anna",
        "TOTPSECRET",
        7,
    )
    assert found.user.has_second_factor
    assert "hash of anna" not in repr(found)
    assert "TOTPSECRET" not in repr(found)


def test_a_change_says_whether_it_is_one_and_touches_no_other_user(database: IMEIDatabase, anna: int) -> None:
    before = others(database, anna)
    with database.write() as connection:
        assert not user_store.set_role(connection, anna, Role.OPERATOR)
        assert user_store.set_role(connection, anna, Role.VIEWER)
        assert not user_store.set_daily_limit(connection, anna, 50.0)
        assert user_store.set_daily_limit(connection, anna, None)
        assert not user_store.set_daily_limit(connection, anna, None)
        assert user_store.set_daily_limit(connection, anna, 0.0)
        assert not user_store.enable(connection, anna)
        assert user_store.disable(connection, anna, NOW)
        assert not user_store.disable(connection, anna, NOW + timedelta(days=1))
        found = user_store.find_user(connection, anna)
        assert found
        assert (found.role, found.daily_limit, found.disabled_at) == (Role.VIEWER, 0.0, NOW)
        assert user_store.enable(connection, anna)
        assert user_store.set_password(connection, anna, "new hash", NOW + timedelta(days=2))
        assert not user_store.set_password(connection, anna + 1, "new hash", NOW)
        found = user_store.find_user(connection, anna)
    assert found
    assert (found.disabled_at, found.password_at) == (None, NOW + timedelta(days=2))
    assert others(database, anna) == before


def test_a_hash_is_replaced_only_while_the_password_is_the_same(database: IMEIDatabase, anna: int) -> None:
    with database.write() as connection:
        assert not user_store.rehash(connection, anna, "another hash", "stronger hash")
        assert user_store.rehash(connection, anna, "hash of anna", "stronger hash")
        assert not user_store.rehash(connection, anna, "hash of anna", "late hash")
        found = user_store.secrets_of(connection, "anna")
    assert found
    assert (found.password_hash, found.user.password_at) == ("stronger hash", NOW)


@pytest.mark.parametrize(("last", "step", "is_accepted"), [(None, 1, True), (7, 6, False), (7, 7, False), (7, 8, True)])
def test_a_step_is_accepted_after_the_last_one_only(
    database: IMEIDatabase, anna: int, last: int | None, step: int, is_accepted: bool
) -> None:
    with database.write() as connection:
        user_store.set_second_factor(connection, anna, "SECRET", last)
        assert user_store.use_step(connection, anna, step) is is_accepted
        found = user_store.secrets_of(connection, "anna")
    assert found
    assert found.totp_step == (step if is_accepted else last)


def test_a_recovery_code_is_used_once_by_its_user_and_replaced_with_the_others(
    database: IMEIDatabase, anna: int
) -> None:
    with database.write() as connection:
        root = user_store.find_named(connection, "root")
        assert root
        user_store.replace_recovery_codes(connection, anna, ["a", "b"])
        user_store.replace_recovery_codes(connection, root.user_id, ["c"])
        assert not user_store.use_recovery_code(connection, root.user_id, "a", NOW)
        assert user_store.use_recovery_code(connection, anna, "a", NOW)
        assert not user_store.use_recovery_code(connection, anna, "a", NOW)
        assert user_store.count_recovery_codes(connection, anna) == 1
        user_store.replace_recovery_codes(connection, anna, ["d", "e", "f"])
        assert not user_store.use_recovery_code(connection, anna, "b", NOW)
        assert user_store.count_recovery_codes(connection, anna) == 3
        assert user_store.count_recovery_codes(connection, root.user_id) == 1


def test_an_admin_is_one_who_is_not_disabled(database: IMEIDatabase, anna: int) -> None:
    with database.write() as connection:
        root = user_store.find_named(connection, "root")
        assert root
        assert user_store.has_admin(connection)
        assert not user_store.has_admin(connection, other_than=root.user_id)
        user_store.set_role(connection, anna, Role.ADMIN)
        assert user_store.has_admin(connection, other_than=root.user_id)
        user_store.disable(connection, anna, NOW)
        assert not user_store.has_admin(connection, other_than=root.user_id)
