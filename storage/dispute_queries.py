"""Disputes as pages, files and reports read them: lists, sums, one with its history, and what was paid back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from database import IMEIDatabase, once
from engines import read_prepared
from orders import DisputeKind, DisputeState
from schema import dispute_events, disputes, each_of
from storage.rows import Dispute, DisputeEvent, walked

_DAY = func.coalesce(func.day_of(disputes.c.ordered_at), "")
_KEYS = (_DAY, disputes.c.service_name, func.coalesce(disputes.c.batch_id, 0), disputes.c.kind)
PAID_BACK = (
    select(*_KEYS, func.sum(disputes.c.refund))
    .where(disputes.c.state.in_([DisputeState.REFUNDED, DisputeState.CLOSED]), disputes.c.refund > 0)
    .where(bindparam("first", "") <= _DAY, bindparam("last", "") >= _DAY)
    .group_by(*_KEYS)
)


@dataclass(frozen=True, slots=True)
class DisputeSum:
    """What the disputes of one state and kind add up to."""

    state: DisputeState
    kind: DisputeKind
    count: int
    claimed: float  #: US dollars
    refunded: float  #: US dollars


@dataclass(frozen=True, slots=True)
class PaidBack:
    """What the provider paid back for the orders of one day, service, batch and kind of dispute."""

    day: str  #: UTC day of the orders, such as 2026-11-25; "" where it is unknown
    service_name: str
    batch_id: int  #: 0 for orders of no batch
    kind: DisputeKind
    dollars: float

    @property
    def has_result(self) -> bool:
        """Whether the order has a result: an IMEI in doubt has no order, so its cost is not counted as spent."""
        return self.kind is not DisputeKind.IN_DOUBT


def sums(database: IMEIDatabase) -> list[DisputeSum]:
    """Return what all disputes add up to, by state and kind."""
    query = select(
        disputes.c.state, disputes.c.kind, func.count(), func.sum(disputes.c.price), func.sum(disputes.c.refund)
    ).group_by(disputes.c.state, disputes.c.kind)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [DisputeSum(DisputeState(row[0]), DisputeKind(row[1]), *row[2:]) for row in rows]


def page(
    database: IMEIDatabase, state: DisputeState | None, kind: DisputeKind | None, before: int | None, limit: int
) -> list[Dispute]:
    """Return the newest disputes of a state and a kind, or of all, before an id."""
    query = select(disputes).where(*_terms(state, kind)).order_by(disputes.c.id.desc()).limit(limit)
    return _read(database, query if before is None else query.where(disputes.c.id < before))


def walk(database: IMEIDatabase, state: DisputeState | None, kind: DisputeKind | None) -> Iterator[Dispute]:
    """Yield all disputes of a state and a kind, or all, newest first."""
    return walked(partial(page, database, state, kind))


def find(database: IMEIDatabase, dispute_id: int) -> Dispute | None:
    """Return a dispute."""
    return next(iter(_read(database, select(disputes).where(disputes.c.id == dispute_id))), None)


def of_order(database: IMEIDatabase, order_row: int) -> Dispute | None:
    """Return the dispute of an order."""
    return next(iter(_read(database, select(disputes).where(disputes.c.order_row == order_row))), None)


def by_order_id(database: IMEIDatabase, order_ids: Iterable[str]) -> dict[str, Dispute]:
    """Return the provider's order id → the dispute of that order."""
    found = _read(database, select(disputes).where(disputes.c.order_id.in_(each_of(order_ids))))
    return {dispute.order_id: dispute for dispute in found if dispute.order_id}


def events(database: IMEIDatabase, dispute_id: int) -> list[DisputeEvent]:
    """Return the history of a dispute, oldest first."""
    columns = (dispute_events.c[name] for name in DisputeEvent._fields)
    query = select(*columns).where(dispute_events.c.dispute_id == dispute_id).order_by(dispute_events.c.id)
    with database.read() as connection:
        return [DisputeEvent.from_row(row) for row in connection.execute(query)]


def paid_back(database: IMEIDatabase, since: date | None = None, until: date | None = None) -> list[PaidBack]:
    """Return what was paid back for orders of these UTC days, both included; [] where nothing was.

    Days, services and batches are those of order_totals, so that a report can subtract it from what was spent. Most
    disputes have no refund and are in another state, so this reads few rows.
    """
    with database.read() as connection:
        return list(once(connection, _paid_back, since, until))


def _paid_back(connection: Connection, since: date | None, until: date | None) -> tuple[PaidBack, ...]:
    ends = {"first": since.isoformat() if since else "", "last": (until or date.max).isoformat()}
    rows = read_prepared(connection, PAID_BACK, ends)
    return tuple(PaidBack(row[0], row[1], row[2], DisputeKind(row[3]), row[4]) for row in rows)


def _terms(state: DisputeState | None, kind: DisputeKind | None) -> list[ColumnElement[bool]]:
    terms = [disputes.c.state == state] if state else []
    return terms + ([disputes.c.kind == kind] if kind else [])


def _read(database: IMEIDatabase, query: Select[tuple[object, ...]]) -> list[Dispute]:
    with database.read() as connection:
        return [Dispute.from_row(row) for row in connection.execute(query)]
