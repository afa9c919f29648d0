"""Who may record intents: a lease with a number in the database, beside the file lock that elects the leader.

A file lock can be deleted, and it does not reach another machine. The number grows each time that a process takes the
lease, and is checked in the transaction that records an intent: a process that was overtaken cannot send any more.
This module knows no HTTP and sends nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from database import utc_now
from schema import leases
from settings import MAIN_ACCOUNT

#: The row of the main account, which a version that knows one account uses.
MAIN_ROW = 1


def held(account: str) -> Select[Any]:
    """Select who has the lease of an account: what check() reads."""
    return select(leases.c.number, leases.c.holder).where(leases.c.account == account)


class LeaseLostError(Exception):
    """Another process has taken the lease: this one must send nothing more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to record intents, as this process took it."""

    number: int
    moved: bool  #: the database file has another path or inode than when the lease was last taken: it may be a copy


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that took the lease last; it may have ended since."""

    name: str  #: such as "process 123 on host"
    taken_at: datetime  #: UTC


def take(connection: Connection, holder: str, place: str, account: str = MAIN_ACCOUNT) -> Lease:
    """Take the lease of an account, whoever has it. holder is a name for the log."""
    row = connection.execute(select(leases).where(leases.c.account == account)).first()
    number = row.number + 1 if row else 1
    values = {"number": number, "holder": holder, "place": place, "taken_at": utc_now(), "account": account}
    if row is not None:
        connection.execute(update(leases).where(leases.c.account == account).values(**values))
    else:
        others = connection.execute(select(func.coalesce(func.max(leases.c.id), MAIN_ROW))).scalar_one()
        row_id = MAIN_ROW if account == MAIN_ACCOUNT else others + 1
        connection.execute(insert(leases).values(id=row_id, **values))
    return Lease(number, moved=row is not None and row.place != place)


def holder_of(connection: Connection) -> Holder | None:
    """Return who took the lease of the main account last; None before the first time."""
    query = select(leases.c.holder, leases.c.taken_at).where(leases.c.account == MAIN_ACCOUNT)
    row = connection.execute(query).first()
    return Holder(row.holder, row.taken_at) if row else None


def check(row: Any, lease: Lease) -> None:
    """Raise LeaseLostError unless the lease is still the one that was taken. row: what held() selects."""
    if row is None or row.number != lease.number:
        raise LeaseLostError(f"{row.holder if row else 'Nobody'} has taken the lease.")
