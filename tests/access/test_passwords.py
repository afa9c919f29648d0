"""New passwords are long and not common; hashes are argon2id and follow today's parameters."""

import time

import pytest

from access.passwords import PasswordRefusedError, check_new_password, make_passwords

GOOD = "four plain words here"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("fourteen chars", "too short"),
        ("x" * 129, "too long"),
        ("anna likes long walks", "user name"),
        ("Password1234567890", "easy to guess"),
        ("qwertyuiop-2026-hello", "easy to guess"),
        ("abababababababababab", "easy to guess"),
        ("familiyafamiliya", "easy to guess"),
        ("1qaz2wsx3edc4rfv", "easy to guess"),
        ("Q1w2e3r4t5y6u7i8o9p0", "easy to guess"),
        ("Correct Horse Battery Staple!", "easy to guess"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, reason: str) -> None:
    with pytest.raises(PasswordRefusedError, match=reason):
        check_new_password(password, "anna")


@pytest.mark.parametrize("password", [GOOD, "blaue Kühe tanzen gern", "y" + "z7-Qw" * 25, "p4ssages of the sea"])
def test_a_long_password_is_accepted_whatever_characters_it_has(password: str) -> None:
    check_new_password(password, "anna")


def test_a_hash_is_argon2id_with_its_own_salt_and_fits_both_forms_of_a_letter() -> None:
    passwords = make_passwords(8)
    first, second = passwords.hash("Ku\u0308he tanzen"), passwords.hash("K\u00fche tanzen")
    assert first.startswith("$argon2id$")
    assert first != second
    assert passwords.is_right(first, "K\u00fche tanzen")
    assert not passwords.is_right(first, "Kuhe tanzen")
    assert not passwords.is_right(None, "K\u00fche tanzen")


def test_accents_in_the_wrong_order_take_little_time() -> None:
    passwords, hostile = make_passwords(8), "a" + "\u0301" * 30_000 + "\u0327" * 30_000
    started = time.thread_time()
    assert not passwords.is_right(None, hostile)
    with pytest.raises(PasswordRefusedError, match="too long"):
        check_new_password(hostile, "anna")
    assert time.thread_time() - started < 0.5


def test_a_hash_with_other_parameters_is_outdated_and_still_checked() -> None:
    old, new = make_passwords(8), make_passwords(16)
    stored = old.hash(GOOD)
    assert new.is_right(stored, GOOD)
    assert new.is_outdated(stored)
    assert not old.is_outdated(stored)
