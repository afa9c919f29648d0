"""The scans of scan mode, by session, each with what became of it. This module places nothing and knows no request."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, func, insert, select

from database import IMEIDatabase, utc_now
from orders import BatchState, Outcome, is_awaited
from schema import batches, items, orders, scans
from storage.batch_creation import in_flight, known_orders
from storage.rows import EarlierOrder, Order

#: Newest scans whose sessions are listed.
LOOKED_AT = 5000


class Known(NamedTuple):
    """What answers for a phone without another order: an unfinished batch that holds it, or an order."""

    batch_id: int | None
    order: EarlierOrder | None

    @property
    def order_row(self) -> int | None:
        """The row id of the order."""
        return self.order.id if self.order else None

    @property
    def has_result(self) -> bool:
        """Whether nothing more comes: only then a phone may be ordered, and paid, again."""
        return self.order is not None and not is_awaited(self.order.status)


@dataclass(frozen=True, slots=True)
class NewScan:
    """One scan to be stored. Exactly one of batch_id and order_row is given."""

    session: str
    imei: str
    service_id: str
    batch_id: int | None = None
    order_row: int | None = None
    is_new: bool = False  #: whether it made the batch
    scanned_by: str = ""  #: the name of the user


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan as it is now."""

    scan_id: int
    imei: str
    service_id: str
    scanned_at: datetime  #: UTC
    is_new: bool  #: whether it made its batch, so that the session pays for it
    batch_id: int | None
    state: BatchState | None  #: of the batch
    notice: str  #: of the batch: why it is paused
    outcome: Outcome | None  #: of the phone in the batch
    message: str  #: why the outcome is what it is
    order: Order | None


@dataclass(frozen=True, slots=True)
class ScanSession:
    """What one session adds up to."""

    session: str
    scans: int
    started_at: datetime  #: UTC
    last_at: datetime  #: UTC
    spent: float  #: US dollars of the orders that its scans placed
    scanned_by: str  #: a user who scanned in it


def known(database: IMEIDatabase, service_id: str, imei: str) -> Known | None:
    """Return what answers for a phone, or None where it must be ordered."""
    flying = in_flight(database, service_id, [imei]).get(imei)
    if flying is not None:
        return Known(flying, None)
    with database.read() as connection:
        orders_of = known_orders(connection, service_id, [imei])
    return Known(None, orders_of[0]) if orders_of else None


def record(database: IMEIDatabase, new: NewScan) -> int:
    """Store a scan and return its id. A phone that was scanned in this session before keeps its row."""
    with database.write() as connection:
        return record_in(connection, new)


def record_in(connection: Connection, new: NewScan) -> int:
    """Store a scan in this transaction, as record does."""
    earlier = _earlier(connection, new)
    if earlier is not None:
        return earlier
    scan = insert(scans).values(**asdict(new), scanned_at=utc_now()).returning(scans.c.id)
    return int(connection.execute(scan).scalar_one())


def scans_of(database: IMEIDatabase, session: str, limit: int, ids: Sequence[int] | None = None) -> list[Scan]:
    """Return the newest scans of a session, or those of these ids; newest first."""
    query = _scans().where(scans.c.session == session).limit(limit)
    with database.read() as connection:
        return [_scan(row) for row in connection.execute(query if ids is None else query.where(scans.c.id.in_(ids)))]


def session_of(database: IMEIDatabase, session: str) -> ScanSession | None:
    """Return what a session adds up to; None before its first scan."""
    with database.read() as connection:
        row = connection.execute(_sessions().where(scans.c.session == session)).first()
    return ScanSession(*row) if row else None


def sessions(database: IMEIDatabase, limit: int, person: str = "") -> list[ScanSession]:
    """Return the newest sessions, the last one first; person: of this user only."""
    newest = select(scans.c.id).order_by(scans.c.id.desc()).limit(LOOKED_AT)
    newest = newest.where(scans.c.scanned_by == person) if person else newest
    query = _sessions().where(scans.c.id.in_(newest)).order_by(func.max(scans.c.id).desc()).limit(limit)
    with database.read() as connection:
        return [ScanSession(*row) for row in connection.execute(query)]


def last_service(database: IMEIDatabase, session: str) -> str:
    """Return the service of the newest scan of a session, or ""."""
    query = select(scans.c.service_id).where(scans.c.session == session).order_by(scans.c.id.desc()).limit(1)
    with database.read() as connection:
        return connection.execute(query).scalar() or ""


def _earlier(connection: Connection, new: NewScan) -> int | None:
    """Return the newest row of this phone in the session where it answers for the new scan too."""
    same = and_(scans.c.session == new.session, scans.c.imei == new.imei, scans.c.service_id == new.service_id)
    if new.batch_id is not None:
        same = and_(same, scans.c.batch_id == new.batch_id)
    row = connection.execute(_scans().where(same).limit(1)).first()
    if row is None:
        return None
    found = _scan(row)
    if new.batch_id is None and (found.order is None or found.order.id != new.order_row):
        return None  # another desk has checked the phone again since
    return found.scan_id


def _sessions() -> Select[Any]:
    spent = select(func.coalesce(func.sum(orders.c.credits), 0.0)).where(orders.c.batch_id == scans.c.batch_id)
    paid = func.sum(spent.correlate(scans).scalar_subquery()).filter(scans.c.is_new)
    return select(
        scans.c.session,
        func.count(),
        func.min(scans.c.scanned_at),
        func.max(scans.c.scanned_at),
        func.coalesce(paid, 0.0),
        func.max(scans.c.scanned_by),
    ).group_by(scans.c.session)


def _scans() -> Select[Any]:
    of_batch = select(func.max(orders.c.id)).where(orders.c.imei == scans.c.imei, orders.c.batch_id == scans.c.batch_id)
    first = select(func.min(items.c.id)).where(items.c.batch_id == scans.c.batch_id, items.c.imei == scans.c.imei)
    names = (scans.c.id, scans.c.imei, scans.c.service_id, scans.c.scanned_at, scans.c.is_new, scans.c.batch_id)
    return (
        select(*names, batches.c.state, batches.c.notice, items.c.outcome, items.c.message, *orders.c)
        .select_from(scans)
        .outerjoin(batches, batches.c.id == scans.c.batch_id)
        .outerjoin(items, items.c.id == first.correlate(scans).scalar_subquery())
        .outerjoin(orders, orders.c.id == func.coalesce(scans.c.order_row, of_batch.correlate(scans).scalar_subquery()))
        .order_by(scans.c.id.desc())
    )


def _scan(row: Row[Any]) -> Scan:
    scan_id, imei, service_id, scanned_at, is_new, batch_id, state, notice, outcome, message, *order = tuple(row)
    return Scan(
        scan_id,
        imei,
        service_id,
        scanned_at,
        is_new,
        batch_id,
        BatchState(state) if state else None,
        notice or "",
        Outcome(outcome) if outcome else None,
        message or "",
        Order.from_row(order) if order[0] is not None else None,
    )
