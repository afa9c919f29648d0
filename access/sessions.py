"""Sessions: how they begin, how long they last, and what ends them.

The cookie holds 256 random bits; the database holds their SHA-256. This module must not know requests.
"""

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from database import DatabaseUnavailableError, IMEIDatabase
from storage import session_store
from storage.session_store import Limits, NewSession, Session

#: A session ends this long after its last page, and this long after the login.
IDLE, LONGEST_SESSION = timedelta(hours=12), timedelta(days=7)
#: The time of the last page is written at most this often.
SEEN_EVERY = timedelta(minutes=1)
#: What is sensitive asks for password and second factor again, this long after they were last given.
PROOF_LASTS = timedelta(minutes=10)
#: Rows of sessions are deleted this long after the login.
FORGET_SESSION = timedelta(days=30)
#: What a User-Agent holds, and the word for it; the first that fits.
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone|iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
MOST_OF_ADDRESS = 64


def begin_session(database: IMEIDatabase, user_id: int, address: str, user_agent: str, now: datetime) -> str:
    """Start a session of a user and return the random id for its cookie."""
    token = secrets.token_urlsafe(32)
    new = NewSession(session_hash(token), user_id, address[:MOST_OF_ADDRESS], browser_words(user_agent))
    with database.write() as connection:
        session_store.add_session(connection, new, now, now - FORGET_SESSION)
    return token


def find_session(database: IMEIDatabase, token: str, now: datetime) -> Session | None:
    """Return the session of this cookie; None where it is unknown or over."""
    if not token:
        return None
    with database.read() as connection:
        return session_store.find_session(connection, session_hash(token), limits_at(now))


def remember_visit(database: IMEIDatabase, session: Session, now: datetime) -> None:
    """Extend a session, at most once in SEEN_EVERY. A database that cannot be written now does not stop the page."""
    if now - session.seen_at < SEEN_EVERY:
        return
    try:
        with database.write(is_hurried=True) as connection:
            session_store.mark_seen(connection, session.session_id, now)
    except DatabaseUnavailableError:
        return


def renew_session(database: IMEIDatabase, session: Session, now: datetime) -> str:
    """Record that the user has just proved who it is, and return a new random id for the cookie."""
    token = secrets.token_urlsafe(32)
    with database.write() as connection:
        session_store.renew(connection, session.session_id, session_hash(token), now)
    return token


def is_proved(session: Session, now: datetime) -> bool:
    """Return whether password and second factor were given a short time ago."""
    return now - session.proved_at < PROOF_LASTS


def open_sessions(database: IMEIDatabase, now: datetime, user_id: int | None = None) -> list[Session]:
    """Return the sessions of a user, or of all users, that are not over, the last seen first."""
    with database.read() as connection:
        return session_store.open_sessions(connection, limits_at(now), user_id)


def end_session(database: IMEIDatabase, session_id: int, user_id: int, reason: str, now: datetime) -> bool:
    """End one session of a user; return whether it was open."""
    with database.write() as connection:
        return session_store.end_session(connection, session_id, user_id, reason, now)


def end_sessions(
    database: IMEIDatabase, user_id: int, reason: str, now: datetime, but_session: int | None = None
) -> int:
    """End all sessions of a user, but this one; return how many."""
    with database.write() as connection:
        return session_store.end_sessions(connection, user_id, reason, now, but_session)


def limits_at(now: datetime) -> Limits:
    """Return the oldest times of a session that is not over now."""
    return Limits(seen_after=now - IDLE, created_after=now - LONGEST_SESSION)


def session_hash(token: str) -> str:
    """Return what the database stores of a random id."""
    return hashlib.sha256(token.encode()).hexdigest()


def browser_words(user_agent: str) -> str:
    """Return a browser and its system in words, such as "Firefox on Linux"; "" where neither is known."""
    browser = next((words for part, words in BROWSERS if part in user_agent), "")
    system = next((words for part, words in SYSTEMS if re.search(part, user_agent)), "")
    return " on ".join(filter(None, (browser, system)))
