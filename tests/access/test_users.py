"""Users are added and changed under rules, and ADMIN_PASSWORD makes the first admin."""

import pytest

from access.logins import LoginRefusedError, Logins
from access.passwords import make_passwords
from access.users import (
    AccessRefusedError,
    NewUser,
    add_user,
    adopt_environment,
    all_users,
    disable,
    enable,
    find_named,
    find_user,
    has_users,
    keeps_environment_password,
    read_limit,
    set_password,
    set_role,
)
from database import IMEIDatabase
from people import Role
from storage import user_store

PASSWORDS = make_passwords(8)
PASSWORD = "four plain words here"


def add(database: IMEIDatabase, name: str, role: Role = Role.ADMIN) -> int:
    return add_user(database, PASSWORDS, NewUser(name, role, PASSWORD)).user_id


def opens(database: IMEIDatabase, name: str, password: str) -> bool:
    try:
        return bool(Logins(database, PASSWORDS).check(name, password, "", "127.0.0.1"))
    except LoginRefusedError:
        return False


def test_a_user_has_a_name_of_plain_letters_in_lower_case_that_nobody_has(database: IMEIDatabase) -> None:
    user_id = add(database, " Anna.B@example.com ")
    found = find_user(database, user_id)
    assert found
    assert (found.name, found.role, found.daily_limit, found.disabled_at) == (
        "anna.b@example.com",
        Role.ADMIN,
        None,
        None,
    )
    for name in ("anna.b@example.com", "", "a", "an na", "änna", "-anna", "x" * 65, "demo", "<b>"):
        with pytest.raises(AccessRefusedError):
            add(database, name)
    assert [user.name for user in all_users(database)] == ["anna.b@example.com"]
    assert find_named(database, "ANNA.B@example.com").user_id == user_id
    with pytest.raises(AccessRefusedError, match="no user nobody"):
        find_named(database, "nobody")


def test_a_weak_password_changes_nothing(database: IMEIDatabase) -> None:
    with pytest.raises(AccessRefusedError, match="too short"):
        add_user(database, PASSWORDS, NewUser("anna", Role.VIEWER, "short"))
    assert not has_users(database)
    user_id = add(database, "anna")
    with pytest.raises(AccessRefusedError, match="user name"):
        set_password(database, PASSWORDS, user_id, "my name is Anna, and")
    assert opens(database, "anna", PASSWORD)


def test_the_last_admin_and_oneself_keep_their_access(database: IMEIDatabase) -> None:
    anna, berta = add(database, "anna"), add(database, "berta")
    with pytest.raises(AccessRefusedError, match="your own"):
        set_role(database, anna, Role.VIEWER, by=anna)
    with pytest.raises(AccessRefusedError, match="your own"):
        disable(database, anna, by=anna)
    assert disable(database, berta, by=anna)
    with pytest.raises(AccessRefusedError, match="last admin"):
        set_role(database, anna, Role.OPERATOR)
    with pytest.raises(AccessRefusedError, match="last admin"):
        disable(database, anna)
    assert set_role(database, berta, Role.VIEWER)
    assert enable(database, berta)
    assert not enable(database, berta)
    assert not set_role(database, anna, Role.ADMIN)


@pytest.mark.parametrize(("text", "limit"), [("", None), (" 250 ", 250.0), ("$99.50", 99.5), ("0", 0.0)])
def test_a_daily_limit_is_dollars_or_blank(text: str, limit: float | None) -> None:
    assert read_limit(text) == limit


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e10", "ten", "1,5"])
def test_what_is_no_amount_is_no_limit(text: str) -> None:
    with pytest.raises(AccessRefusedError, match="not a number of US dollars"):
        read_limit(text)


def test_the_environment_makes_the_first_admin_and_follows_each_new_value_once(database: IMEIDatabase) -> None:
    adopt_environment(database, PASSWORDS, "")
    assert not has_users(database)
    adopt_environment(database, PASSWORDS, "horse staple")  # 12 characters, as before
    assert opens(database, "admin", "horse staple")
    admin = find_named(database, "admin")
    assert admin.role is Role.ADMIN
    assert keeps_environment_password(database)
    set_password(database, PASSWORDS, admin.user_id, PASSWORD)
    assert not keeps_environment_password(database)
    for _ in range(2):
        adopt_environment(database, PASSWORDS, "horse staple")
        assert opens(database, "admin", PASSWORD)
    adopt_environment(database, PASSWORDS, "another horse")
    assert opens(database, "admin", "another horse")
    adopt_environment(database, PASSWORDS, "")
    assert opens(database, "admin", "another horse")


def test_the_environment_adds_an_admin_only_while_there_is_none(database: IMEIDatabase) -> None:
    add(database, "anna")
    adopt_environment(database, PASSWORDS, "correct horse battery")
    assert [user.name for user in all_users(database)] == ["anna"]
    with database.write() as connection:
        user_store.set_role(connection, find_named(database, "anna").user_id, Role.OPERATOR)
    adopt_environment(database, PASSWORDS, "correct horse battery")
    assert opens(database, "admin", "correct horse battery")
