"""Check logins, and slow down guessing by account and by network without locking anybody out.

Three counters decide how long an attempt waits:

- one account from one network: after FREE_FAILURES failures the wait doubles, up to LONGEST_WAIT;
- one network, for any account: the same after FREE_OF_NETWORK failures, against one password tried on many accounts;
- one account from any network: after ATTACK failures each network has one attempt in LONGEST_WAIT.

A network from which the account has logged in before is slowed by the first counter only, so attacks from elsewhere
do not reach it. At a new network the first attempt is always checked. No counter stops an account for everybody.

An attempt is counted as a failure before the password is checked, and taken back if it is right: attempts at the same
instant cannot pass the limit. This module must not know requests. Times are Unix seconds.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from access.passwords import Passwords
from access.second_factor import accepts_code
from database import IMEIDatabase, Transaction
from storage import login_failure_store, user_store
from storage.login_failure_store import Attempts
from storage.user_store import Secrets, User

#: Failures without a wait. Each further failure doubles the wait.
FREE_FAILURES, FREE_OF_NETWORK = 5, 20
#: Failures of one account from networks that it does not know, after which this counts as an attack.
ATTACK = 20
LONGEST_WAIT = 60.0  #: seconds
FORGET_AFTER = 3600.0  #: seconds without a failure until a counter starts at zero
FORGET_NETWORK = 180 * 86_400.0  #: seconds without a login until a known network is forgotten
#: Against an attacker with more networks than this, only the length of the password helps.
MOST_ROWS = 10_000
#: Characters of a user name that are counted.
LONGEST_NAME = 64


class LoginRefusedError(Exception):
    """User name, password or code is wrong, or an attempt came too early. It never says which."""

    def __init__(self, wait: float) -> None:
        super().__init__("The user name, the password or the code is wrong.")
        self.wait = wait  #: seconds until the next attempt is checked


class Counters(NamedTuple):
    """The three counters of an attempt."""

    pair: Attempts  #: this account from this network
    network: Attempts
    account: Attempts

    def wait(self, now: float) -> float:
        """Return the seconds until the next attempt is checked."""
        until = self.pair.until_at if self.pair.known else max(self.pair.until_at, self.network.until_at)
        return max(0.0, until - now)

    def after_failure(self, now: float) -> "Counters":
        """Return the counters after one more failure."""
        pair, network = _one_more(self.pair, now, FREE_FAILURES), _one_more(self.network, now, FREE_OF_NETWORK)
        if pair.known:
            return Counters(pair, network, self.account)
        account = _one_more(self.account, now, ATTACK)
        if account.failures >= ATTACK:
            pair = replace(pair, until_at=now + LONGEST_WAIT)
        return Counters(pair, network, account)

    def after_success(self, now: float) -> "Counters":
        """Return the counters after the failure that was counted in advance turned out to be a login."""
        account = self.account if self.pair.known else _one_less(self.account, ATTACK)
        known = Attempts(self.pair.subject, last_at=now, known=True)
        return Counters(known, _one_less(self.network, FREE_OF_NETWORK), account)


class Logins:
    """The check of user names and passwords, with limits that all processes share."""

    def __init__(self, database: IMEIDatabase, passwords: Passwords, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    def check(self, name: str, password: str, code: str | None, address: str) -> User:
        """Return the user who logs in. Raises LoginRefusedError.

        code: of the second factor; None checks the password only, of a user who is logged in.
        """
        name = name.strip().lower()[:LONGEST_NAME]
        subjects = subjects_of(name, network_of(address))
        wait = self._count_failure(subjects)
        with self._database.read() as connection:
            secrets = user_store.secrets_of(connection, name)
        is_right = self._passwords.is_right(secrets.password_hash if secrets else None, password)
        if not secrets or not is_right or secrets.user.disabled_at:
            raise LoginRefusedError(wait)
        if code is not None and not accepts_code(self._database, secrets, code, self._clock()):
            raise LoginRefusedError(wait)
        self._count_success(subjects)
        self._rehash(secrets, password)
        return secrets.user

    def _count_failure(self, subjects: tuple[str, str, str]) -> float:
        """Count an attempt as a failure; return the wait after it. Raises LoginRefusedError if it is too early."""
        now = self._clock()
        with self._database.read() as connection:  # a flood of early attempts must not write
            _refuse_early(_counters(connection, subjects), now)
        with self._database.write() as connection:
            login_failure_store.forget(connection, now - FORGET_AFTER, now - FORGET_NETWORK, MOST_ROWS)
            counters = _counters(connection, subjects)
            _refuse_early(counters, now)
            counters = counters.after_failure(now)
            login_failure_store.save(connection, counters)
        return counters.wait(now)

    def _count_success(self, subjects: tuple[str, str, str]) -> None:
        with self._database.write() as connection:
            counters = _counters(connection, subjects)
            login_failure_store.save(connection, counters.after_success(self._clock()))

    def _rehash(self, secrets: Secrets, password: str) -> None:
        """Store a hash with today's parameters where the stored one has others."""
        if self._passwords.is_outdated(secrets.password_hash):
            new = self._passwords.hash(password)
            with self._database.write() as connection:
                user_store.rehash(connection, secrets.user.user_id, secrets.password_hash, new)


def subjects_of(name: str, network: str) -> tuple[str, str, str]:
    """Return the names of the three counters: account and network, network, account."""
    return f"account {name} from {network}", f"network {network}", f"account {name}"


def network_of(address: str) -> str:
    """Return the network that is counted: /24 of IPv4, /64 of IPv6, which one customer has."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return str(ip_network((int(found), 64), strict=False))
        found = found.ipv4_mapped
    return str(ip_network((int(found), 24), strict=False))


def wait_after(failures: int, free: int) -> float:
    """Return the seconds to wait after a number of failures, of which the first are free: 1, 2, 4 … up to 60."""
    return 0.0 if failures < free else min(LONGEST_WAIT, 2.0 ** min(failures - free, 10))


def _counters(connection: Transaction, subjects: tuple[str, str, str]) -> Counters:
    found = login_failure_store.load(connection, subjects)
    return Counters(*(found[subject] for subject in subjects))


def _refuse_early(counters: Counters, now: float) -> None:
    """Raise LoginRefusedError while the next attempt must wait."""
    wait = counters.wait(now)
    if wait > 0:
        raise LoginRefusedError(wait)


def _one_more(attempts: Attempts, now: float, free: int) -> Attempts:
    failures = 1 + (attempts.failures if now - attempts.last_at < FORGET_AFTER else 0)
    return replace(attempts, failures=failures, last_at=now, until_at=now + wait_after(failures, free))


def _one_less(attempts: Attempts, free: int) -> Attempts:
    failures = max(0, attempts.failures - 1)
    return replace(attempts, failures=failures, until_at=attempts.last_at + wait_after(failures, free))
