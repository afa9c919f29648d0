"""Login throttle: limits how often an address may try a password. Addresses do not slow each other down.

This module must not know Flask. Addresses are texts; times are Unix seconds.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from database import IMEIDatabase

#: Failed logins from one address without a wait. Each further failure doubles the wait.
FREE_FAILURES = 5
#: Failed logins from all addresses that never logged in, after which this counts as an attack. Then such an address has
#: one attempt per LONGEST_WAIT: an attacker with many addresses is slowed down, and the owner waits at most a minute,
#: even at a new address.
ATTACK = 50
LONGEST_WAIT = 60.0  #: seconds
FORGET_AFTER = 3600.0  #: seconds without a failure until an address, or an attack, is forgotten
#: Against an attacker with more addresses than this, only the length of the password helps.
REMEMBERED_ADDRESSES = 1000
ATTEMPTS_KEY = "login_attempts"


@dataclass(frozen=True, slots=True)
class Attempts:
    """The login attempts of one address."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0  #: no further attempt is checked before this time
    known: bool = False  #: a login from this address has succeeded

    def stored(self) -> tuple[int, float, float, bool]:
        """Return the field values in order, for storing them as JSON."""
        return self.failures, self.last, self.until, self.known


@dataclass(frozen=True, slots=True)
class Seen:
    """The login attempts of all addresses."""

    addresses: dict[str, Attempts]
    unknown: Attempts  #: all failures from addresses that never logged in

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until the next attempt from address is allowed."""
        return max(0.0, self.addresses.get(address, Attempts()).until - now)

    def is_attack(self, now: float) -> bool:
        """Return whether there were at least ATTACK failures within the last FORGET_AFTER seconds."""
        return self.unknown.failures >= ATTACK and now - self.unknown.last < FORGET_AFTER


class LoginThrottle:
    """A throttle for failed logins, stored in the database so that all processes share it."""

    def __init__(self, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._lock_path = database.path.with_name("login.lock")
        self._clock = clock

    def attempt(self, address: str, check: Callable[[], bool]) -> float | None:
        """Return None if check() is true, else the seconds to wait before the next attempt (0 for no wait).

        check is not called while the address must wait. Attempts are checked one at a time.
        """
        with _locked(self._lock_path):
            now = self._clock()
            seen = self._load(now)
            wait = seen.wait(address, now)
            if wait > 0:
                return wait
            right = check()
            seen = after_success(seen, address, now) if right else after_failure(seen, address, now)
            self._store(seen)
        return None if right else seen.wait(address, now)

    def _load(self, now: float) -> Seen:
        stored = json.loads(self._database.get_setting(ATTEMPTS_KEY) or "{}")
        found = {who: Attempts(*values) for who, values in stored.get("addresses", {}).items()}
        fresh = {who: a for who, a in found.items() if a.known or now - a.last < FORGET_AFTER}
        return Seen(fresh, Attempts(*stored.get("unknown", ())))

    def _store(self, seen: Seen) -> None:
        addresses = {who: attempts.stored() for who, attempts in seen.addresses.items()}
        kept = {"addresses": addresses, "unknown": seen.unknown.stored()}
        self._database.set_setting(ATTEMPTS_KEY, json.dumps(kept))


def wait_after(failures: int, free: int = FREE_FAILURES) -> float:
    """Return the seconds to wait after a number of failures, of which the first are free: 1, 2, 4 … up to 60."""
    return 0.0 if failures < free else min(LONGEST_WAIT, 2.0 ** min(failures - free, 10))


def after_failure(seen: Seen, address: str, now: float) -> Seen:
    """Return the attempts after a failed login from address."""
    old = seen.addresses.get(address, Attempts())
    unknown = seen.unknown if old.known else _one_more(seen.unknown, now)
    changed = _one_more(old, now)
    guessing = not old.known and Seen({}, unknown).is_attack(now)
    wait = LONGEST_WAIT if guessing else wait_after(changed.failures)
    return Seen(_newest(seen.addresses | {address: replace(changed, until=now + wait)}), unknown)


def after_success(seen: Seen, address: str, now: float) -> Seen:
    """Return the attempts after a successful login from address."""
    return Seen(_newest(seen.addresses | {address: Attempts(last=now, known=True)}), seen.unknown)


def _one_more(attempts: Attempts, now: float) -> Attempts:
    failures = attempts.failures if now - attempts.last < FORGET_AFTER else 0
    return replace(attempts, failures=failures + 1, last=now)


def _newest(addresses: dict[str, Attempts]) -> dict[str, Attempts]:
    """Return at most REMEMBERED_ADDRESSES addresses: those that have logged in first, then the latest."""
    if len(addresses) <= REMEMBERED_ADDRESSES:
        return addresses
    order = sorted(addresses, key=lambda who: (addresses[who].known, addresses[who].last), reverse=True)
    return {who: addresses[who] for who in order[:REMEMBERED_ADDRESSES]}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
