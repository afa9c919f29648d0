"""Links to reports: made once, looked up by their hash, worthless after they expired or were revoked.

A link has "hrl_" and 256 random bits. It is shown once; the database holds its SHA-256, so to look it up takes the same
time for every wrong link. The log hides what follows the prefix. This module knows no request and no page.
"""

import hashlib
import logging
import secrets
from datetime import datetime

from database import DatabaseUnavailableError, IMEIDatabase
from storage import link_store
from storage.link_store import NewLink, ReportLink

logger = logging.getLogger(__name__)

LINK_PREFIX = "hrl_"
RANDOM_BYTES = 32


def create_link(database: IMEIDatabase, new: NewLink) -> str:
    """Store a new link and return its secret part; it cannot be read again."""
    secret = LINK_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    link_store.add(database, new, _digest_of(secret))
    return secret


def open_link(database: IMEIDatabase, secret: str, now: datetime) -> ReportLink | None:
    """Return the link with this secret part, and count that it was opened; None where it shows nothing. now: UTC."""
    if not secret.startswith(LINK_PREFIX):
        return None
    found = link_store.find(database, _digest_of(secret))
    if found is None or not found.is_active(now):
        return None
    try:
        link_store.note_open(database, found.id, now)
    except DatabaseUnavailableError as error:  # the report can be read all the same
        logger.warning("A link was opened, which could not be counted: %s", error.sentence)
    return found


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
