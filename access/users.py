"""Changes of users, with what each change ends. Pages and commands call these; this module must not know requests.

Every function raises AccessRefusedError, before anything is changed, where the change is not allowed.
"""

import logging
import re
from dataclasses import dataclass, field
from datetime import datetime

from access.passwords import PasswordRefusedError, Passwords, check_new_password
from amounts import read_dollars
from database import IMEIDatabase, Transaction, read_setting, utc_now, write_setting
from people import COMMAND_LINE, DEMO_USER, Role
from storage import session_store, user_store
from storage.user_store import User

logger = logging.getLogger(__name__)

#: The user that ADMIN_PASSWORD makes.
FIRST_ADMIN = "admin"
#: Where the hash of the last ADMIN_PASSWORD is kept that became the password of FIRST_ADMIN.
TAKEN_KEY = "admin_password_taken"
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
RESERVED = (DEMO_USER.name, COMMAND_LINE.name)
HIGHEST_LIMIT = 1e9  #: US dollars


class AccessRefusedError(Exception):
    """The change of a user is not allowed; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be added."""

    name: str
    role: Role
    password: str = field(repr=False)
    daily_limit: float | None = None  #: US dollars in one UTC day; None: no limit


def add_user(database: IMEIDatabase, passwords: Passwords, new: NewUser) -> User:
    """Store a new user."""
    name = new.name.strip().lower()
    if not NAME.fullmatch(name) or name in RESERVED:
        raise AccessRefusedError(
            "A user name has 2 to 64 letters a-z, digits, dots, dashes, underscores or @, and begins with a letter"
            " or a digit."
        )
    password_hash = _hash_of(passwords, new.password, name)
    with database.write() as connection:
        user_id = user_store.add_user(connection, name, new.role, password_hash, new.daily_limit, utc_now())
        if user_id is None:
            raise AccessRefusedError(f"There is a user {name} already.")
        return _existing(connection, user_id)


def find_user(database: IMEIDatabase, user_id: int) -> User | None:
    """Return the user with this id."""
    with database.read() as connection:
        return user_store.find_user(connection, user_id)


def find_named(database: IMEIDatabase, name: str) -> User:
    """Return the user of this name."""
    with database.read() as connection:
        user = user_store.find_named(connection, name.strip().lower())
    if user is None:
        raise AccessRefusedError(f"There is no user {name}.")
    return user


def all_users(database: IMEIDatabase) -> list[User]:
    """Return every user, by name."""
    with database.read() as connection:
        return user_store.all_users(connection)


def has_users(database: IMEIDatabase) -> bool:
    """Return whether there is any user."""
    with database.read() as connection:
        return user_store.has_users(connection)


def set_role(database: IMEIDatabase, user_id: int, role: Role, by: int | None = None) -> bool:
    """Give a user a role; if it is another one, end the user's sessions and return True."""
    with database.write() as connection:
        user = _existing(connection, user_id)
        if user.role is Role.ADMIN and role is not Role.ADMIN:
            _refuse_to_lose_admin(connection, user, by)
        changed = user_store.set_role(connection, user_id, role)
        if changed:
            session_store.end_sessions(connection, user_id, "role changed", utc_now())
    return changed


def set_daily_limit(database: IMEIDatabase, user_id: int, limit: float | None) -> bool:
    """Give a user a daily limit in US dollars; return whether it is another one than before."""
    with database.write() as connection:
        _existing(connection, user_id)
        return user_store.set_daily_limit(connection, user_id, limit)


def set_password(database: IMEIDatabase, passwords: Passwords, user_id: int, password: str) -> None:
    """Give a user another password and end the user's sessions."""
    with database.read() as connection:
        user = _existing(connection, user_id)
    password_hash = _hash_of(passwords, password, user.name)
    with database.write() as connection:
        _store_password(connection, user_id, password_hash, utc_now())


def disable(database: IMEIDatabase, user_id: int, by: int | None = None) -> bool:
    """Refuse a user from now on and end the user's sessions; return whether that is a change."""
    with database.write() as connection:
        user = _existing(connection, user_id)
        _refuse_to_lose_admin(connection, user, by)
        session_store.end_sessions(connection, user_id, "user disabled", utc_now())
        return user_store.disable(connection, user_id, utc_now())


def enable(database: IMEIDatabase, user_id: int) -> bool:
    """Accept a disabled user again; return whether that is a change."""
    with database.write() as connection:
        _existing(connection, user_id)
        return user_store.enable(connection, user_id)


def read_limit(text: str) -> float | None:
    """Return the daily limit in a text, in US dollars; None for a blank text, which is no limit."""
    if not text.strip():
        return None
    limit = read_dollars(text)
    if not 0 <= limit <= HIGHEST_LIMIT:
        raise AccessRefusedError(f"The daily limit {text} is not a number of US dollars, such as 250 or 99.50.")
    return limit


def adopt_environment(database: IMEIDatabase, passwords: Passwords, admin_password: str) -> None:
    """Make ADMIN_PASSWORD the password of the user "admin", once for each new value of the variable.

    Without any admin, "admin" is added. A password that was changed on a page stays until the variable changes too.
    """
    if not admin_password:
        return
    with database.read() as connection:
        known = user_store.has_admin(connection)
        taken = read_setting(connection, TAKEN_KEY)
    if known and passwords.is_right(taken, admin_password):
        return
    new_hash, now = passwords.hash(admin_password), utc_now()
    with database.write() as connection:
        if read_setting(connection, TAKEN_KEY) != taken:
            return  # another process of this start has done it
        admin = user_store.find_named(connection, FIRST_ADMIN)
        if admin:
            _store_password(connection, admin.user_id, new_hash, now)
            logger.info("ADMIN_PASSWORD is the new password of the user %s", FIRST_ADMIN)
        elif not user_store.has_admin(connection):
            user_store.add_user(connection, FIRST_ADMIN, Role.ADMIN, new_hash, None, now)
            logger.info("Added the user %s with ADMIN_PASSWORD", FIRST_ADMIN)
        else:
            logger.warning("ADMIN_PASSWORD has no effect: there are admins with other names than %s", FIRST_ADMIN)
        write_setting(connection, TAKEN_KEY, new_hash)


def keeps_environment_password(database: IMEIDatabase) -> bool:
    """Return whether "admin" still has the password that ADMIN_PASSWORD gave."""
    with database.read() as connection:
        admin = user_store.secrets_of(connection, FIRST_ADMIN)
        return admin is not None and admin.password_hash == read_setting(connection, TAKEN_KEY)


def _hash_of(passwords: Passwords, password: str, name: str) -> str:
    try:
        check_new_password(password, name)
    except PasswordRefusedError as error:
        raise AccessRefusedError(str(error)) from error
    return passwords.hash(password)


def _store_password(connection: Transaction, user_id: int, password_hash: str, now: datetime) -> None:
    user_store.set_password(connection, user_id, password_hash, now)
    session_store.end_sessions(connection, user_id, "password changed", now)


def _existing(connection: Transaction, user_id: int) -> User:
    user = user_store.find_user(connection, user_id)
    if user is None:
        raise AccessRefusedError("This user does not exist.")
    return user


def _refuse_to_lose_admin(connection: Transaction, user: User, by: int | None) -> None:
    """Raise AccessRefusedError where the user is the one who acts, or the last admin."""
    if user.user_id == by:
        raise AccessRefusedError("You cannot take away your own access. Ask another admin.")
    if user.role is Role.ADMIN and not user.disabled_at and not user_store.has_admin(connection, user.user_id):
        raise AccessRefusedError("This is the last admin. Make another user an admin first.")
