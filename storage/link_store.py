"""Links that show the report of a batch without a login. The link itself is never stored, only its SHA-256."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import bindparam, insert, select, update

from database import IMEIDatabase, utc_now
from schema import batches, report_links

COLUMNS = report_links.c
#: Links on the page of the settings.
MOST_LISTED = 500


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to be made."""

    batch_id: int
    created_by: str  #: the name of the user or token
    expires_at: datetime  #: UTC
    has_prices: bool
    has_imeis: bool
    has_csv: bool


class ReportLink(NamedTuple):
    """A link without its secret. Times are UTC."""

    id: int
    batch_id: int
    label: str  #: of the batch
    has_prices: bool
    has_imeis: bool
    has_csv: bool
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    opened_at: datetime | None  #: the last time
    opens: int

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of LINKS."""
        return cls._make(row)

    def is_active(self, now: datetime) -> bool:
        """Return whether it shows the report at this UTC time."""
        return self.revoked_at is None and now < self.expires_at


_OF_LINK = ("has_prices", "has_imeis", "has_csv", "created_at", "created_by", "expires_at", "revoked_at", "opened_at")
LINKS = select(
    COLUMNS.id, COLUMNS.batch_id, batches.c.label, *(COLUMNS[name] for name in _OF_LINK), COLUMNS.opens
).join(batches, batches.c.id == COLUMNS.batch_id)
BY_HASH = LINKS.where(COLUMNS.token_hash == bindparam("digest"))


def add(database: IMEIDatabase, new: NewLink, token_hash: str) -> int:
    """Store a link by its SHA-256 in hexadecimal, and return its id."""
    link = insert(report_links).values(**asdict(new), token_hash=token_hash, created_at=utc_now())
    with database.write() as connection:
        return int(connection.execute(link.returning(COLUMNS.id)).scalar_one())


def find(database: IMEIDatabase, token_hash: str) -> ReportLink | None:
    """Return the link with this SHA-256, also a revoked or expired one."""
    with database.read() as connection:
        row = connection.execute(BY_HASH, {"digest": token_hash}).first()
    return ReportLink.from_row(row) if row else None


def listed(database: IMEIDatabase, batch_id: int | None = None) -> list[ReportLink]:
    """Return the newest links of a batch, or of all; revoked ones last."""
    query = LINKS.order_by(COLUMNS.revoked_at.is_not(None), COLUMNS.id.desc()).limit(MOST_LISTED)
    with database.read() as connection:
        rows = connection.execute(query if batch_id is None else query.where(COLUMNS.batch_id == batch_id)).all()
    return [ReportLink.from_row(row) for row in rows]


def revoke(database: IMEIDatabase, batch_id: int, link_id: int) -> bool:
    """Revoke a link of a batch; return whether it was not revoked before."""
    is_it = (COLUMNS.id == link_id) & (COLUMNS.batch_id == batch_id) & COLUMNS.revoked_at.is_(None)
    with database.write() as connection:
        return connection.execute(update(report_links).where(is_it).values(revoked_at=utc_now())).rowcount == 1


def note_open(database: IMEIDatabase, link_id: int, now: datetime) -> None:
    """Count one more time that a link was opened, at a UTC time."""
    change = update(report_links).where(COLUMNS.id == link_id)
    with database.write() as connection:
        connection.execute(change.values(opens=COLUMNS.opens + 1, opened_at=now))
