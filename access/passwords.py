"""Passwords: which are accepted, and their argon2id hashes. This module must not know users, SQL or requests."""

import re
import secrets
import threading
import unicodedata
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from settings import is_common

#: Characters of a new password.
SHORTEST, LONGEST = 15, 128
#: Characters of a password that are looked at: normal() takes quadratic time for accents in the wrong order.
LONGEST_READ = 1000
#: Keys that lie side by side, in columns and in two rows at a time, beyond what settings.COMMON has.
KEYBOARD = re.compile(
    r"1q2w3e4r(5t)?(6[yz])?(7u)?(8i)?(9o)?(0p)?|q1w2e3r4(t5)?([yz]6)?(u7)?(i8)?(o9)?(p0)?"
    r"|1qaz|2wsx|3edc|4rfv|5tgb|6yhn|7ujm|qaz|wsx|edc|rfv|tgb|yhn|ujm|hjkl|asdfghjkl"
)
#: Long passwords that lists of leaked ones hold, and sayings, without blanks and signs.
KNOWN = re.compile(
    r"correcthorsebatterystaple|thequickbrownfox(jumpsoverthelazydog)?|tobeornottobe(thatisthequestion)?"
    r"|maytheforcebewithyou|iloveyousomuch|manchesterunited|neworleans|kartoffelpuffer|polniypizdec|friendof[a-z]+"
    r"|migrationschool|somanypickles"
)
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
    return unicodedata.normalize("NFC", password[:LONGEST_READ])


def check_new_password(password: str, name: str) -> None:
    """Raise PasswordRefusedError if the user of this name must not choose this password."""
    length = len(normal(password))
    if length < SHORTEST:
        raise PasswordRefusedError(f"The password is too short: it must have {SHORTEST} characters or more.")
    if length > LONGEST:
        raise PasswordRefusedError(f"The password is too long: it must have {LONGEST} characters or fewer.")
    if any(part in password.lower() for part in name.replace("@", ".").split(".") if len(part) >= SHORTEST_NAME):
        raise PasswordRefusedError("The password must not contain the user name.")
    if is_guessable(password.lower()):
        raise PasswordRefusedError(
            "The password is easy to guess: use four words that have nothing to do with each other."
        )


def is_guessable(password: str) -> bool:
    """Return whether a password in lower case is a known one, a repetition, or made of common words and keys."""
    letters = "".join(filter(str.isalpha, password))
    is_repeated = password in (password + password)[1:-1]
    return bool(KNOWN.fullmatch(letters)) or is_repeated or is_common(KEYBOARD.sub("", password))
