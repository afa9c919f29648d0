"""Codes of an authenticator app (RFC 6238) and recovery codes: each is accepted once."""

from base64 import b32encode
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from access.logins import LoginRefusedError, Logins
from access.passwords import make_passwords
from access.second_factor import (
    matching_step,
    new_secret,
    otpauth_uri,
    renew_recovery_codes,
    reset_second_factor,
    set_up,
    unused_recovery_codes,
)
from access.users import AccessRefusedError, NewUser, add_user, find_user
from database import IMEIDatabase
from people import Role
from storage.user_store import User

PASSWORDS = make_passwords(8)
PASSWORD = "four plain words here"
#: The key of the test vectors in RFC 6238, appendix B: "12345678901234567890".
RFC_SECRET = b32encode(b"12345678901234567890").decode()
NOW = 1_111_111_111.0


@pytest.fixture
def anna(database: IMEIDatabase) -> User:
    return add_user(database, PASSWORDS, NewUser("anna", Role.OPERATOR, PASSWORD))


def code_at(seconds: float) -> str:
    return pyotp.TOTP(RFC_SECRET).generate_otp(int(NOW + seconds) // 30)


def opens(database: IMEIDatabase, code: str, now: float = NOW) -> bool:
    try:
        return bool(Logins(database, PASSWORDS, lambda: now).check("anna", PASSWORD, code, "127.0.0.1"))
    except LoginRefusedError:
        return False


@pytest.mark.parametrize(("now", "code"), [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")])
def test_codes_are_those_of_the_rfc(now: int, code: str) -> None:
    assert matching_step(RFC_SECRET, code, None, now) == now // 30


def test_the_uri_has_what_an_app_needs() -> None:
    secret = new_secret()
    assert len(secret) == 32
    uri = urlsplit(otpauth_uri(secret, "anna"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/HAMMER:anna")
    assert parse_qs(uri.query) == {"secret": [secret], "issuer": ["HAMMER"]}


def test_one_step_of_drift_is_accepted_each_way_and_no_step_twice_or_backwards(
    database: IMEIDatabase, anna: User
) -> None:
    set_up(database, anna, RFC_SECRET, code_at(-600), NOW - 600)
    assert not opens(database, code_at(-60))
    assert not opens(database, code_at(60))
    assert opens(database, code_at(-30))
    assert opens(database, code_at(0))
    assert not opens(database, code_at(0))
    assert not opens(database, code_at(-30))
    assert opens(database, f"{code_at(30)[:3]} {code_at(30)[3:]}")
    for wrong in ("", "000000", "12345", "１２３４５６", code_at(0) + "0"):
        assert not opens(database, wrong, NOW + 600)


def test_the_code_of_the_set_up_is_used_up(database: IMEIDatabase, anna: User) -> None:
    set_up(database, anna, RFC_SECRET, code_at(0), NOW)
    assert not opens(database, code_at(0))


@pytest.mark.parametrize(
    ("secret", "code"),
    [(RFC_SECRET, "000000"), (RFC_SECRET, "１２３４５６"), ("A" * 16, "000000"), ("", ""), ("0" * 32, "1")],
)
def test_nothing_is_set_up_without_a_whole_key_and_its_code(
    database: IMEIDatabase, anna: User, secret: str, code: str
) -> None:
    with pytest.raises(AccessRefusedError):
        set_up(database, anna, secret, code, NOW)
    assert opens(database, "")


def test_each_recovery_code_works_once_and_new_ones_replace_the_old(database: IMEIDatabase, anna: User) -> None:
    codes = set_up(database, anna, RFC_SECRET, code_at(0), NOW)
    assert len(set(codes)) == 10
    assert opens(database, codes[0].upper().replace("-", " "))
    assert not opens(database, codes[0])
    assert opens(database, codes[1])
    assert unused_recovery_codes(database, anna) == 8
    renewed = renew_recovery_codes(database, anna)
    assert not opens(database, codes[2])
    assert opens(database, renewed[2])
    with database.read() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM recovery_codes").all())
    assert not any(code in stored or code.replace("-", "") in stored for code in renewed)


def test_a_reset_forgets_key_and_codes(database: IMEIDatabase, anna: User) -> None:
    codes = set_up(database, anna, RFC_SECRET, code_at(0), NOW)
    assert not opens(database, "")
    reset_second_factor(database, anna.user_id)
    found = find_user(database, anna.user_id)
    assert found
    assert not found.has_second_factor
    assert opens(database, "")
    set_up(database, anna, RFC_SECRET, code_at(0), NOW)
    assert not opens(database, codes[3])
