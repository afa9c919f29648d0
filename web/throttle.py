"""How often a password may be guessed: each address waits for itself, and no address ever waits for another.

Knows nothing of Flask. Addresses are texts; times are Unix seconds.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from database import IMEIDatabase

#: Wrong passwords from one address without a wait; each further one doubles the wait.
FREE_FAILURES = 5
#: Wrong passwords from all addresses that never logged in, until this counts as an attack: then an address that never
#: logged in has one attempt in LONGEST_WAIT. A guesser with many addresses is slowed, and the owner waits a minute at
#: most, also at an address that is new.
ATTACK = 50
LONGEST_WAIT = 60.0  #: seconds
FORGET_AFTER = 3600.0  #: seconds without a failure until an address, or an attack, is forgotten
#: A guesser with more addresses than this is held by the length of the password only.
REMEMBERED_ADDRESSES = 1000
ATTEMPTS_KEY = "login_attempts"


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is remembered of the logins from one address."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0  #: no further attempt is looked at before this time
    known: bool = False  #: a login from here has succeeded

    def stored(self) -> tuple[int, float, float, bool]:
        """Return what is kept, in the order of the fields."""
        return self.failures, self.last, self.until, self.known


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of all addresses."""

    addresses: dict[str, Attempts]
    unknown: Attempts  #: all failures at addresses that never logged in

    def wait(self, address: str, now: float) -> float:
        """Return how many seconds the next attempt from address has to wait."""
        return max(0.0, self.addresses.get(address, Attempts()).until - now)

    def is_attack(self, now: float) -> bool:
        """Whether so many passwords were wrong lately that somebody is guessing."""
        return self.unknown.failures >= ATTACK and now - self.unknown.last < FORGET_AFTER


class LoginThrottle:
    """Slows down whoever guesses passwords. Kept in the database, so that all processes count together."""

    def __init__(self, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._lock_path = database.path.with_name("login.lock")
        self._clock = clock

    def attempt(self, address: str, check: Callable[[], bool]) -> float | None:
        """Return None when check() is true, else how many seconds to wait before the next attempt (0 for none).

        check is not called while the address has to wait. One attempt is looked at at a time.
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
    """Return the seconds to wait after so many failures, of which some are free: 1, 2, 4 … up to 60."""
    return 0.0 if failures < free else min(LONGEST_WAIT, 2.0 ** min(failures - free, 10))


def after_failure(seen: Seen, address: str, now: float) -> Seen:
    """Return what is remembered once a password from address was wrong."""
    old = seen.addresses.get(address, Attempts())
    unknown = seen.unknown if old.known else _one_more(seen.unknown, now)
    changed = _one_more(old, now)
    guessing = not old.known and Seen({}, unknown).is_attack(now)
    wait = LONGEST_WAIT if guessing else wait_after(changed.failures)
    return Seen(_newest(seen.addresses | {address: replace(changed, until=now + wait)}), unknown)


def after_success(seen: Seen, address: str, now: float) -> Seen:
    """Return what is remembered once a password from address was right."""
    return Seen(_newest(seen.addresses | {address: Attempts(last=now, known=True)}), seen.unknown)


def _one_more(attempts: Attempts, now: float) -> Attempts:
    failures = attempts.failures if now - attempts.last < FORGET_AFTER else 0
    return replace(attempts, failures=failures + 1, last=now)


def _newest(addresses: dict[str, Attempts]) -> dict[str, Attempts]:
    """Return at most REMEMBERED_ADDRESSES of them: those that once logged in first, then the latest."""
    if len(addresses) <= REMEMBERED_ADDRESSES:
        return addresses
    order = sorted(addresses, key=lambda who: (addresses[who].known, addresses[who].last), reverse=True)
    return {who: addresses[who] for who in order[:REMEMBERED_ADDRESSES]}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
