"""Tokens of programs: made once, looked up with each request, worth no more than the person who made them.

A token is "hmr_" and 256 random bits. It is shown once; the database holds its SHA-256, a fast hash, because nobody can
guess 256 random bits. This module knows no request and no page.
"""

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from database import DatabaseUnavailableError, IMEIDatabase, utc_now
from people import Actor, Role, Scope, scopes_of
from storage import token_store
from storage.token_store import NewToken, StoredToken

logger = logging.getLogger(__name__)

PREFIX = "hmr_"
RANDOM_BYTES = 32
#: Characters of the end of a token by which a person recognises it.
HINT = 4
LONGEST_NAME = 60
#: The last use is written at most once in this time.
USE_WRITTEN_EVERY = timedelta(minutes=1)


class TokenError(Exception):
    """The token cannot be made. str() is a sentence for the person who asks for it."""


def create_token(database: IMEIDatabase, new: NewToken) -> str:
    """Store a new token and return it; it cannot be read again. Raises TokenError."""
    _check(new)
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    if token_store.add(database, new, _digest(token), token[-HINT:]) is None:
        raise TokenError(f"There is a token “{new.name}” already. Choose another name, or revoke that token first.")
    logger.info("Created token %s (%s)", new.name, new.role)
    return token


def _check(new: NewToken) -> None:
    if not 1 <= len(new.name) <= LONGEST_NAME or new.name != new.name.strip() or not new.name.isprintable():
        raise TokenError(f"Give the token a name of 1 to {LONGEST_NAME} characters.")
    beyond = sorted(new.scopes - scopes_of(new.role))
    if beyond or not new.scopes:
        raise TokenError(
            f"The role {new.role} does not include the scope {beyond[0]}." if beyond else "Choose at least one scope."
        )
    if new.daily_limit is not None and not 0 < new.daily_limit < float("inf"):
        raise TokenError("The daily limit must be more than $0.")
    if new.expires_at is not None and new.expires_at <= utc_now():
        raise TokenError("The token would expire at once. Choose a later day.")


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
    if found is None or not found.is_valid(now):
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


def parse_scopes(words: str, role: Role) -> frozenset[Scope]:
    """Return the scopes that words name, separated by blanks or commas; all of the role for "". Raises TokenError."""
    try:
        return frozenset(map(Scope, words.replace(",", " ").split())) or scopes_of(role)
    except ValueError as error:
        known = ", ".join(Scope)
        raise TokenError(f"Known scopes: {known}.") from error
