"""Sessions of logged-in users: one row each, by the hash of the random id in the cookie. Times are UTC."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, update

from schema import sessions, users
from storage.user_store import COLUMNS, User

COLUMNS_OF_SESSION = (
    sessions.c.id,
    sessions.c.created_at,
    sessions.c.seen_at,
    sessions.c.proved_at,
    sessions.c.address,
    sessions.c.browser,
)
#: Sessions that are not over, with their users.
OPEN = (
    select(*COLUMNS_OF_SESSION, *COLUMNS)
    .join_from(sessions, users)
    .where(
        sessions.c.ended_at.is_(None),
        sessions.c.seen_at > bindparam("seen_after"),
        sessions.c.created_at > bindparam("created_after"),
        users.c.disabled_at.is_(None),
    )
)
#: The statement of each request, made once.
BY_HASH = OPEN.where(sessions.c.id_hash == bindparam("id_hash"))


@dataclass(frozen=True, slots=True)
class Session:
    """A login of a user in one browser."""

    session_id: int
    created_at: datetime
    seen_at: datetime  #: when a page was last opened
    proved_at: datetime  #: when password and second factor were last given
    address: str
    browser: str  #: such as "Firefox on Linux"
    user: User

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> "Session":
        """Make one of a row of OPEN."""
        session_id, created_at, seen_at, proved_at, address, browser, *user = row
        return cls(session_id, created_at, seen_at, proved_at, address, browser, User.from_row(user))


class Limits(NamedTuple):
    """The oldest times of a session that is not over: the parameters of OPEN."""

    seen_after: datetime
    created_after: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be stored."""

    id_hash: str
    user_id: int
    address: str
    browser: str


def add_session(connection: Connection, new: NewSession, now: datetime, forget_before: datetime) -> None:
    """Store a session that begins now. Delete those that began before forget_before."""
    connection.execute(delete(sessions).where(sessions.c.created_at < forget_before))
    connection.execute(insert(sessions).values(**asdict(new), created_at=now, seen_at=now, proved_at=now))


def find_session(connection: Connection, id_hash: str, limits: Limits) -> Session | None:
    """Return the session of this hash; None where it is over or its user is disabled."""
    row = connection.execute(BY_HASH, {"id_hash": id_hash, **limits._asdict()}).first()
    return Session.from_row(row) if row else None


def open_sessions(connection: Connection, limits: Limits, user_id: int | None = None) -> list[Session]:
    """Return the sessions of a user, or of all users, that are not over, the last seen first."""
    query = OPEN.order_by(sessions.c.seen_at.desc())
    query = query if user_id is None else query.where(sessions.c.user_id == user_id)
    return [Session.from_row(row) for row in connection.execute(query, limits._asdict())]


def mark_seen(connection: Connection, session_id: int, now: datetime) -> None:
    """Record that a page was opened."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def renew(connection: Connection, session_id: int, id_hash: str, now: datetime) -> None:
    """Give a session another id after its user has proved who it is."""
    values = {"id_hash": id_hash, "proved_at": now, "seen_at": now}
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(**values))


def end_session(connection: Connection, session_id: int, user_id: int, reason: str, now: datetime) -> bool:
    """End a session of a user; return whether it was open."""
    return _end(connection, (sessions.c.id == session_id, sessions.c.user_id == user_id), reason, now) == 1


def end_sessions(
    connection: Connection, user_id: int, reason: str, now: datetime, but_session: int | None = None
) -> int:
    """End all sessions of a user, but this one; return how many."""
    return _end(connection, (sessions.c.user_id == user_id, sessions.c.id.is_distinct_from(but_session)), reason, now)


def _end(connection: Connection, where: tuple[ColumnElement[bool], ...], reason: str, now: datetime) -> int:
    is_open = sessions.c.ended_at.is_(None)
    ended = update(sessions).where(is_open, *where).values(ended_at=now, end_reason=reason)
    return connection.execute(ended).rowcount
