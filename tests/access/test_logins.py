"""Guessing is slowed by account and by network, and nobody can lock an account out."""

import threading

import pytest

from access.logins import (
    ATTACK,
    FORGET_AFTER,
    FREE_FAILURES,
    FREE_OF_NETWORK,
    LONGEST_WAIT,
    LoginRefusedError,
    Logins,
    network_of,
    wait_after,
)
from access.passwords import make_passwords
from access.users import NewUser, add_user, disable
from database import IMEIDatabase
from people import Role
from settings import Settings
from storage import user_store

PASSWORD = "four plain words here"
HOME, HOTEL = "198.18.7.7", "198.19.7.7"
PASSWORDS = make_passwords(8)


class Guesses:
    """Logins at a time that the test decides."""

    def __init__(self, database: IMEIDatabase) -> None:
        self.now = 1_000_000.0
        self.logins = Logins(database, PASSWORDS, lambda: self.now)

    def wait(self, name: str, password: str, address: str) -> float | None:
        """Return None for a login, else the seconds to wait."""
        try:
            self.logins.check(name, password, "", address)
        except LoginRefusedError as error:
            return error.wait
        return None

    def attack(self, count: int, name: str = "anna", every: float = 0.0) -> None:
        """Guess the password of an account from as many networks."""
        for number in range(count):
            self.wait(name, "wrong", f"10.{number // 256}.{number % 256}.1")
            self.now += every


@pytest.fixture
def guesses(database: IMEIDatabase) -> Guesses:
    for name in ("anna", "berta"):
        add_user(database, PASSWORDS, NewUser(name, Role.OPERATOR, PASSWORD))
    return Guesses(database)


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert [wait_after(n, 5) for n in (0, 4, 5, 6, 7, 10, 11, 500)] == [0, 0, 1, 2, 4, 32, 60, 60]


def test_a_name_is_found_in_any_case_and_everything_else_is_refused_in_one_way(guesses: Guesses) -> None:
    assert guesses.logins.check(" Anna ", PASSWORD, "", HOME).name == "anna"
    for name, password in (("anna", "wrong"), ("nobody", PASSWORD), ("", ""), ("anna", PASSWORD.upper())):
        assert guesses.wait(name, password, HOME) == 0.0


def test_a_disabled_user_is_refused(guesses: Guesses, database: IMEIDatabase) -> None:
    disable(database, add_user(database, PASSWORDS, NewUser("carla", Role.VIEWER, PASSWORD)).user_id)
    assert guesses.wait("carla", PASSWORD, HOME) == 0.0


def test_after_five_failures_even_the_right_password_waits_and_an_hour_forgets_them(guesses: Guesses) -> None:
    for _ in range(FREE_FAILURES):
        guesses.wait("anna", "wrong", HOME)
    assert guesses.wait("anna", PASSWORD, HOME) == 1.0
    guesses.now += 1.0
    assert guesses.wait("anna", PASSWORD, HOME) is None
    assert guesses.wait("anna", "wrong", HOME) == 0.0
    for _ in range(FREE_FAILURES):
        guesses.wait("berta", "wrong", HOTEL)
    guesses.now += FORGET_AFTER + 1
    assert guesses.wait("berta", "wrong", HOTEL) == 0.0


def test_one_password_tried_on_many_accounts_slows_the_network_and_no_login_of_another_account_resets_it(
    guesses: Guesses,
) -> None:
    assert guesses.wait("berta", PASSWORD, HOTEL) is None
    for number in range(FREE_OF_NETWORK):
        guesses.wait(f"user{number}", "wrong", HOTEL)
    assert guesses.wait("berta", PASSWORD, HOTEL) is None
    assert guesses.wait("anna", PASSWORD, HOTEL) == 1.0


def test_an_attack_on_an_account_leaves_each_new_network_one_attempt_a_minute(guesses: Guesses) -> None:
    guesses.attack(ATTACK - 1)
    assert guesses.wait("anna", "wrong", HOTEL) == LONGEST_WAIT
    assert guesses.wait("anna", PASSWORD, HOTEL) == LONGEST_WAIT
    guesses.now += LONGEST_WAIT
    assert guesses.wait("anna", "wrong", HOTEL) == LONGEST_WAIT
    assert guesses.wait("berta", "wrong", HOTEL) == 0.0


def test_under_attack_the_owner_logs_in_from_a_known_network_and_from_a_new_one(guesses: Guesses) -> None:
    """At a new network at once, and after a mistyped password in a minute, however long the attack goes on."""
    assert guesses.wait("anna", PASSWORD, HOME) is None
    guesses.attack(5 * ATTACK, every=0.5)
    assert guesses.wait("anna", "wrong", HOME) == 0.0
    assert guesses.wait("anna", PASSWORD, HOME) is None
    assert guesses.wait("anna", PASSWORD, "192.0.2.1") is None
    assert guesses.wait("anna", "wrong", HOTEL) == LONGEST_WAIT
    guesses.attack(ATTACK)
    guesses.now += LONGEST_WAIT
    assert guesses.wait("anna", PASSWORD, HOTEL) is None


def test_what_is_remembered_stays_small(
    guesses: Guesses, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("access.logins.MOST_ROWS", 30)
    assert guesses.wait("anna", PASSWORD, HOME) is None
    guesses.attack(40, every=0.1)
    with database.read() as connection:
        kept = connection.exec_driver_sql("SELECT subject FROM login_failures").scalars().all()
    assert len(kept) <= 30 + 4
    assert "account anna from 198.18.7.0/24" in kept


def test_guesses_at_the_same_instant_in_two_processes_are_all_counted(settings: Settings, guesses: Guesses) -> None:
    checked: list[str] = []
    start = threading.Barrier(8)

    def guess() -> None:
        with IMEIDatabase(settings.database_path) as own:
            passwords = make_passwords(8)
            start.wait(10)
            try:
                Logins(own, Recording(passwords.hasher, passwords.dummy), lambda: 5.0).check("anna", "wrong", "", HOME)
            except LoginRefusedError:
                pass

    class Recording(type(PASSWORDS)):  # type: ignore[misc]
        def is_right(self, password_hash: str | None, password: str) -> bool:
            checked.append(password)
            return False

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(checked) == FREE_FAILURES


def test_a_login_renews_a_hash_with_old_parameters(guesses: Guesses, database: IMEIDatabase) -> None:
    Logins(database, make_passwords(16)).check("anna", PASSWORD, "", HOME)
    with database.read() as connection:
        found = user_store.secrets_of(connection, "anna")
    assert found
    assert "m=16" in found.password_hash
    assert guesses.wait("anna", PASSWORD, HOME) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("198.51.100.7", "198.51.100.0/24"),
        ("::ffff:198.51.100.7", "198.51.100.0/24"),
        ("", "unknown"),
    ],
)
def test_one_customer_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
