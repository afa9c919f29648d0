"""Passwords: which are accepted, and their argon2id hashes. This module must not know users, SQL or requests."""

import secrets
import threading
import unicodedata
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from settings import is_common

#: Characters of a new password.
SHORTEST, LONGEST = 15, 128
#: A part of a user name that is shorter than this may be in the password.
SHORTEST_NAME = 3
#: Hashes that one process computes at the same time: each uses a core and the memory of `password_memory`.
AT_ONCE = 2


class PasswordRefusedError(Exception):
    """The password must not be used; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Passwords:
    """Makes and checks hashes. A check of an unknown user takes as long as one of a known user."""

    hasher: PasswordHasher
    dummy: str  #: the hash of a password that nobody knows
    slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))

    def hash(self, password: str) -> str:
        """Return the hash of a password, with its parameters and a random salt."""
        with self.slots:
            return self.hasher.hash(normal(password))

    def is_right(self, password_hash: str | None, password: str) -> bool:
        """Return whether the hash is of this password; False, after the same time, for None."""
        with self.slots:
            try:
                self.hasher.verify(password_hash or self.dummy, normal(password))
            except VerifyMismatchError:
                return False
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters than those of today."""
        return self.hasher.check_needs_rehash(password_hash)


def make_passwords(memory_kib: int) -> Passwords:
    """Return passwords with argon2id. OWASP: 19,456 KiB with two passes and one lane, or more."""
    hasher = PasswordHasher(time_cost=2, memory_cost=memory_kib, parallelism=1)
    return Passwords(hasher, hasher.hash(secrets.token_hex()))


def normal(password: str) -> str:
    """Return the password in the form NFC: keyboards write the same letter in different ways."""
    return unicodedata.normalize("NFC", password)


def check_new_password(password: str, name: str) -> None:
    """Raise PasswordRefusedError if the user of this name must not choose this password."""
    length = len(normal(password))
    if length < SHORTEST:
        raise PasswordRefusedError(f"The password is too short: it must have {SHORTEST} characters or more.")
    if length > LONGEST:
        raise PasswordRefusedError(f"The password is too long: it must have {LONGEST} characters or fewer.")
    if any(part in password.lower() for part in name.replace("@", ".").split(".") if len(part) >= SHORTEST_NAME):
        raise PasswordRefusedError("The password must not contain the user name.")
    if is_common(password):
        raise PasswordRefusedError(
            "The password is easy to guess: use four words that have nothing to do with each other."
        )
