"""Guessing is slowed for each address by itself, and nobody can lock the owner out."""

import threading

from database import IMEIDatabase
from settings import Settings
from web import login_throttle
from web.login_throttle import (
    ATTACK,
    FREE_FAILURES,
    LONGEST_WAIT,
    Attempts,
    LoginThrottle,
    Seen,
    after_failure,
    wait_after,
)


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert [wait_after(n, 5) for n in (0, 4, 5, 6, 7, 10, 11, 500)] == [0, 0, 1, 2, 4, 32, 60, 60]


def test_the_throttle_forgets_after_an_hour_and_after_the_right_password(database: IMEIDatabase) -> None:
    now = [1000.0]
    throttle = LoginThrottle(database, lambda: now[0])
    for _ in range(FREE_FAILURES):
        throttle.attempt("a", lambda: False)
    assert throttle.attempt("a", lambda: True) == 1.0
    now[0] += 1.0
    assert throttle.attempt("a", lambda: True) is None
    assert throttle.attempt("a", lambda: False) == 0.0
    for _ in range(FREE_FAILURES):
        throttle.attempt("b", lambda: False)
    now[0] += 3601
    assert throttle.attempt("b", lambda: False) == 0.0


def test_an_attack_from_many_addresses_leaves_each_one_attempt_a_minute(database: IMEIDatabase) -> None:
    now = [1000.0]
    throttle = LoginThrottle(database, lambda: now[0])
    for n in range(ATTACK - 1):
        assert throttle.attempt(f"bot{n}", lambda: False) == 0.0
    assert throttle.attempt("bot", lambda: False) == LONGEST_WAIT
    assert throttle.attempt("bot", lambda: True) == LONGEST_WAIT
    now[0] += LONGEST_WAIT
    assert throttle.attempt("bot", lambda: False) == LONGEST_WAIT


def test_under_attack_the_owner_comes_in_from_a_known_and_from_a_new_address(database: IMEIDatabase) -> None:
    """At a new address at once, and after a mistyped password in a minute, however long the attack goes on."""
    now = [1000.0]
    throttle = LoginThrottle(database, lambda: now[0])
    assert throttle.attempt("home", lambda: True) is None
    for n in range(5 * ATTACK):
        throttle.attempt(f"bot{n}", lambda: False)
        now[0] += 0.5
    assert throttle.attempt("home", lambda: False) == 0.0
    assert throttle.attempt("home", lambda: True) is None
    assert throttle.attempt("hotel", lambda: True) is None
    assert throttle.attempt("train", lambda: False) == LONGEST_WAIT
    for n in range(100):
        throttle.attempt(f"bot{n}", lambda: False)
    now[0] += LONGEST_WAIT
    assert throttle.attempt("train", lambda: True) is None


def test_an_attack_is_over_an_hour_after_its_last_guess(database: IMEIDatabase) -> None:
    now = [1000.0]
    throttle = LoginThrottle(database, lambda: now[0])
    for n in range(ATTACK):
        throttle.attempt(f"bot{n}", lambda: False)
    now[0] += login_throttle.FORGET_AFTER
    assert throttle.attempt("train", lambda: False) == 0.0


def test_what_is_remembered_stays_small() -> None:
    seen = Seen({"home": Attempts(known=True)}, Attempts())
    for n in range(login_throttle.REMEMBERED_ADDRESSES + 100):
        seen = after_failure(seen, f"bot{n}", float(n))
    assert len(seen.addresses) == login_throttle.REMEMBERED_ADDRESSES
    assert {"home", f"bot{n}"} <= seen.addresses.keys()


def test_guesses_at_the_same_instant_in_two_processes_are_all_counted(settings: Settings) -> None:
    looked_at: list[int] = []
    start = threading.Barrier(8)

    def guess(number: int) -> None:
        with IMEIDatabase(settings.database_path) as own:
            throttle = LoginThrottle(own)
            start.wait(10)
            throttle.attempt("bot", lambda: wrong(number))

    def wrong(number: int) -> bool:
        looked_at.append(number)
        return False

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(looked_at) == FREE_FAILURES
