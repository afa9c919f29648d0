"""Tokens of programs: made once, looked up with each request, worth no more than the person who made them.

A token is "hmr_" and 256 random bits. It is shown once; the database holds its SHA-256, a fast hash, because nobody can
guess 256 random bits. This module knows no request and no page.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from access.users import AccessRefusedError
from database import DatabaseUnavailableError, IMEIDatabase, utc_now
from people import Actor, Role, Scope, scopes_of
from storage import token_store
from storage.token_store import NewToken, StoredToken, TokenState

logger = logging.getLogger(__name__)

PREFIX = "hmr_"
RANDOM_BYTES = 32
#: Characters of the end of a token by which a person recognises it.
HINT = 4
LONGEST_NAME = 60
#: The last use is written at most once in this time.
USE_WRITTEN_EVERY = timedelta(minutes=1)
#: Most days until a token expires.
LONGEST_DAYS = 3650


def create_token(database: IMEIDatabase, new: NewToken) -> str:
    """Store a new token and return it; it cannot be read again. Raises AccessRefusedError."""
    _check(new)
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    if token_store.add(database, new, _digest(token), token[-HINT:]) is None:
        raise AccessRefusedError(f"There is a token {new.name} already. Choose another name, or revoke that one first.")
    logger.info("Created token %s (%s)", new.name, new.role)
    return token


def _check(new: NewToken) -> None:
    if not 1 <= len(new.name) <= LONGEST_NAME or new.name != new.name.strip() or not new.name.isprintable():
        raise AccessRefusedError(f"Give the token a name of 1 to {LONGEST_NAME} characters.")
    beyond = sorted(new.scopes - scopes_of(new.role))
    if beyond or not new.scopes:
        raise AccessRefusedError(
            f"The role {new.role} does not include the scope {beyond[0]}." if beyond else "Choose at least one scope."
        )


def actor_of(
    database: IMEIDatabase, token: str, address: str | None = None, now: datetime | None = None
) -> Actor | None:
    """Return who a token acts for; None for an unknown, revoked or expired one, and where its maker is disabled.

    address: of the client, to be recorded as the last use; None records nothing. now: UTC, for tests.
    """
    now = now or utc_now()
    if not token.startswith(PREFIX):
        return None
    found = token_store.find(database, _digest(token))
    if found is None or found.state(now) is not TokenState.ACTIVE:
        return None
    if address is not None:
        _note_use(database, found, address, now)
    return _actor(found)


def _actor(found: StoredToken) -> Actor:
    """Return the actor of a token: its role is the lower of its own and its maker's."""
    maker = found.maker
    return Actor(
        name=f"token {found.name}",
        role=found.role if maker is None or maker.role.includes(found.role) else maker.role,
        user_id=maker.user_id if maker else None,
        token_id=found.token_id,
        user_limit=maker.daily_limit if maker else None,
        token_limit=found.daily_limit,
        scopes=found.scopes,
    )


def revoke_token(database: IMEIDatabase, token: StoredToken) -> bool:
    """Revoke a token for good; return whether it was not revoked before."""
    is_revoked = token_store.revoke(database, token.token_id)
    logger.info("Revoked token %s", token.name)
    return is_revoked


def _note_use(database: IMEIDatabase, found: StoredToken, address: str, now: datetime) -> None:
    """Record the last use. A disk that cannot be written to must not stop a program that only reads."""
    before = now - USE_WRITTEN_EVERY
    if found.used_at is not None and before < found.used_at <= now:
        return
    try:
        token_store.note_use(database, found.token_id, address, now, before)
    except DatabaseUnavailableError as error:
        logger.warning("The use of token %s could not be recorded: %s", found.name, error.orig)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def read_scopes(words: Iterable[str], role: Role) -> frozenset[Scope]:
    """Return the scopes that words name; without words all that the role allows. Raises AccessRefusedError."""
    try:
        return frozenset(map(Scope, words)) or scopes_of(role)
    except ValueError as error:
        raise AccessRefusedError(f"A scope is one of {', '.join(Scope)}.") from error


def read_days(text: str) -> datetime | None:
    """Return the UTC time after this number of days; None for a blank text: no end. Raises AccessRefusedError."""
    if not text.strip():
        return None
    if not re.fullmatch("[0-9]{1,4}", text.strip()) or not 1 <= int(text) <= LONGEST_DAYS:
        raise AccessRefusedError(f"A token is valid for 1 to {LONGEST_DAYS} days, or without an end.")
    return utc_now() + timedelta(days=int(text))
