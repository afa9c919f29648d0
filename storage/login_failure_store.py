"""Failed logins, counted by account, by network and by both. Times are Unix seconds. This module decides nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select

from schema import login_failures, upsert


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed logins of one account, of one network, or of one account from one network."""

    subject: str
    failures: int = 0
    last_at: float = 0.0  #: of the last failure, or of the last login of a known network
    until_at: float = 0.0  #: no attempt is checked before this time
    known: bool = False  #: a login of this account from this network has succeeded


def load(connection: Connection, subjects: Sequence[str]) -> dict[str, Attempts]:
    """Return the attempts of these subjects, also of those that have no row."""
    rows = connection.execute(select(login_failures).where(login_failures.c.subject.in_(subjects)))
    return {subject: Attempts(subject) for subject in subjects} | {row.subject: Attempts(*row) for row in rows}


def save(connection: Connection, changed: Iterable[Attempts]) -> None:
    """Store these attempts."""
    for attempts in changed:
        values = asdict(attempts)
        statement = upsert(login_failures).values(**values)
        connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=values))


def forget(connection: Connection, failed_before: float, known_before: float, most: int) -> None:
    """Delete old rows, and the oldest of more than `most` rows without a successful login."""
    failed = login_failures.c.known.is_(False)
    last_at, subject = login_failures.c.last_at, login_failures.c.subject
    connection.execute(delete(login_failures).where((failed & (last_at < failed_before)) | (last_at < known_before)))
    if connection.execute(select(func.count()).where(failed)).scalar_one() > most:
        newest = select(subject).where(failed).order_by(last_at.desc()).limit(most)
        connection.execute(delete(login_failures).where(failed, subject.not_in(newest)))
