"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for its loss.

A code is six digits of a 30 s step. The step before and the one after are accepted too, and no step twice. A recovery
code has 120 random bits, so that a plain SHA-256 protects it. This module must not know requests.
"""

import hashlib
import hmac
import logging
import re
import secrets
from base64 import b32encode

import pyotp

from access.users import AccessRefusedError
from database import IMEIDatabase, utc_now
from storage import session_store, user_store
from storage.user_store import Secrets, User

logger = logging.getLogger(__name__)

ISSUER = "HAMMER"
STEP = 30  #: seconds
#: What clocks may differ: the steps around the current one.
DRIFT = (0, -1, 1)
RECOVERY_CODES, RECOVERY_BYTES = 10, 15
SECRET = re.compile(r"[A-Z2-7]{32}")
CODE = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """Return 160 random bits in base32, for an authenticator app."""
    return pyotp.random_base32()


def is_secret(text: str) -> bool:
    """Return whether a text has the form of new_secret."""
    return SECRET.fullmatch(text) is not None


def otpauth_uri(secret: str, name: str) -> str:
    """Return the address by which an app adds the secret of a user."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def set_up(database: IMEIDatabase, user: User, secret: str, code: str, now: float) -> list[str]:
    """Store a secret that the user's app has, as a code proves, and return new recovery codes.

    All sessions of the user end. Raises AccessRefusedError. now: Unix time.
    """
    if not is_secret(secret):
        raise AccessRefusedError("The key of the form is not valid. Reload the page and add the new key to your app.")
    step = matching_step(secret, code, None, now)
    if step is None:
        raise AccessRefusedError("The code is wrong. Check the clock of your device and enter the next code.")
    codes = _new_codes()
    with database.write() as connection:
        user_store.set_second_factor(connection, user.user_id, secret, step)
        user_store.replace_recovery_codes(connection, user.user_id, map(_digest, codes))
        session_store.end_sessions(connection, user.user_id, "second factor changed", utc_now())
    return codes


def renew_recovery_codes(database: IMEIDatabase, user: User) -> list[str]:
    """Return new recovery codes of a user; the old ones are void."""
    codes = _new_codes()
    with database.write() as connection:
        user_store.replace_recovery_codes(connection, user.user_id, map(_digest, codes))
    return codes


def reset_second_factor(database: IMEIDatabase, user_id: int) -> None:
    """Forget the second factor of a user, who has lost it, and end the user's sessions."""
    with database.write() as connection:
        user_store.set_second_factor(connection, user_id, None, None)
        user_store.replace_recovery_codes(connection, user_id, ())
        session_store.end_sessions(connection, user_id, "second factor reset", utc_now())


def unused_recovery_codes(database: IMEIDatabase, user: User) -> int:
    """Return how many recovery codes of a user are left."""
    with database.read() as connection:
        return user_store.count_recovery_codes(connection, user.user_id)


def accepts_code(database: IMEIDatabase, found: Secrets, given: str, now: float) -> bool:
    """Return whether a code proves the second factor of a user, and use it up. now: Unix time."""
    user, code = found.user, "".join(given.split())
    if not found.totp_secret:
        return True
    if not CODE.fullmatch(code):
        return bool(code) and _uses_recovery_code(database, user, code)
    step = matching_step(found.totp_secret, code, found.totp_step, now)
    if step is None:
        if matching_step(found.totp_secret, code, None, now) is not None:
            logger.warning("A code of user %s was used a second time and refused", user.name)
        return False
    with database.write() as connection:
        return user_store.use_step(connection, user.user_id, step)


def matching_step(secret: str, code: str, last_step: int | None, now: float) -> int | None:
    """Return the time step of a code, if it is near now and after the last accepted one."""
    code = "".join(code.split())
    if not CODE.fullmatch(code):
        return None
    totp, current = pyotp.TOTP(secret), int(now) // STEP
    steps = [current + drift for drift in DRIFT if last_step is None or current + drift > last_step]
    return next((step for step in steps if hmac.compare_digest(totp.generate_otp(step), code)), None)


def _uses_recovery_code(database: IMEIDatabase, user: User, code: str) -> bool:
    with database.write() as connection:
        used = user_store.use_recovery_code(connection, user.user_id, _digest(code), utc_now())
    if used:
        logger.warning("User %s used a recovery code", user.name)
    return used


def _new_codes() -> list[str]:
    """Return recovery codes such as "abcd-efgh-…", of 24 letters and digits."""
    texts = (b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES))
    return ["-".join(re.findall("....", text)) for text in texts]


def _digest(code: str) -> str:
    return hashlib.sha256(code.replace("-", "").lower().encode()).hexdigest()
