"""What an audit reads of our records, and what a rebuild writes into them, one transaction each.

This module knows no HTTP and judges nothing; audit.py compares, and decides which values to write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, exists, func, insert, select, update

import batch_store
from database import IMEIDatabase
from orders import BatchState, ChunkState, Outcome
from schema import OPEN_CALL, UNDECIDED, attempts, batches, chunks, items, orders, services

#: Orders written in one transaction.
RESTORED_AT_ONCE = 500


class OurOrder(NamedTuple):
    """An order in our records."""

    row: int
    order_id: str | None  #: None where it came from a file that names none
    imei: str
    service_id: str | None
    credits: float | None  #: US dollars
    placed_at: datetime | None  #: UTC
    batch_id: int | None  #: None where no batch of ours placed it


@dataclass(frozen=True, slots=True)
class Records:
    """Our side, from one snapshot."""

    orders: tuple[OurOrder, ...]  #: those since the date asked for, and those of the ids asked for
    under_way: Mapping[str, frozenset[str]]  #: IMEI → services that it is on the wire for
    labels: Mapping[str, str]  #: service id or title in lower case → service id
    prices: Mapping[str, float]  #: service id → US dollars
    in_doubt: int  #: IMEIs
    at_stake: float  #: US dollars that these may have cost


class Restored(NamedTuple):
    """What became of some orders of the provider."""

    new: int = 0  #: stored
    linked: int = 0  #: the id was given to an order of ours that had none
    taken_over: int = 0  #: of the new ones: IMEIs that waited to be sent, and are ordered now
    left: int = 0  #: in doubt or on the wire: the runner settles them


def read_records(database: IMEIDatabase, since: datetime | None, order_ids: Sequence[str]) -> Records:
    """Our orders since a moment (UTC; None for all), those of order_ids, and what is open."""
    with database.read() as connection:
        found = {row.id: _our_order(row) for row in connection.execute(_window(since))}
        for part in batch_store.parts(order_ids) if since else ():
            rows = connection.execute(_columns().where(orders.c.order_id.in_(part)))
            found |= {row.id: _our_order(row) for row in rows}
        doubtful, at_stake = connection.execute(_doubt()).one()
        prices = connection.execute(select(services.c.service_id, services.c.price))
        return Records(
            orders=tuple(found.values()),
            under_way=_under_way(connection),
            labels=batch_store.service_labels(connection),
            prices={row.service_id: row.price for row in prices},
            in_doubt=int(doubtful),
            at_stake=float(at_stake),
        )


def _columns() -> Select[Any]:
    names = ("id", "order_id", "imei", "service_id", "credits", "order_date", "batch_id")
    return select(*(orders.c[name] for name in names))


def _window(since: datetime | None) -> Select[Any]:
    return _columns() if since is None else _columns().where(orders.c.order_date >= since)


def _our_order(row: Any) -> OurOrder:
    return OurOrder(*row)


def _doubt() -> Select[Any]:
    return (
        select(func.count(), func.coalesce(func.sum(batches.c.unit_price), 0.0))
        .select_from(items)
        .join(batches, batches.c.id == items.c.batch_id)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(OPEN_CALL, chunks.c.state == ChunkState.IN_DOUBT, items.c.outcome == Outcome.IN_DOUBT)
    )


def _under_way(connection: Connection) -> dict[str, frozenset[str]]:
    query = (
        select(items.c.imei, items.c.service_id)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(OPEN_CALL, chunks.c.state == ChunkState.SENDING, items.c.outcome == Outcome.WAITING)
    )
    found: dict[str, frozenset[str]] = {}
    for imei, service_id in connection.execute(query):
        found[imei] = found.get(imei, frozenset()) | {service_id}
    return found


def finished_with_doubt(database: IMEIDatabase, since: datetime) -> bool:
    """Whether a batch has finished after since (UTC) of which a call was in doubt."""
    query = select(
        exists()
        .where(batches.c.state == BatchState.FINISHED, batches.c.finished_at > since)
        .where(chunks.c.batch_id == batches.c.id, attempts.c.chunk_id == chunks.c.id)
        .where(attempts.c.result == "in doubt")
    )
    with database.read() as connection:
        return bool(connection.execute(query).scalar_one())


def restore(database: IMEIDatabase, rows: Sequence[Mapping[str, Any]]) -> Restored:
    """Write these orders (columns of the orders table), as far as their ids are new. Safe to repeat.

    An IMEI of a call that is planned is taken out of it, so that it is not paid again. One that is in doubt or
    on the wire is left: the runner adopts its order, and would send it again if the order were known.
    """
    done = Restored()
    for start in range(0, len(rows), RESTORED_AT_ONCE):
        with database.write() as connection:
            for row in rows[start : start + RESTORED_AT_ONCE]:
                done = Restored(*(a + b for a, b in zip(done, _restore(connection, row), strict=True)))
    return done


def _restore(connection: Connection, row: Mapping[str, Any]) -> Restored:
    if connection.execute(select(orders.c.id).where(orders.c.order_id == row["order_id"])).first():
        return Restored()
    item = _open_item(connection, row)
    if item is not None and item.state != ChunkState.PLANNED:
        return Restored(left=1)
    if item is None and _link(connection, row):
        return Restored(linked=1)
    if item is None:
        connection.execute(insert(orders).values(**row))
        return Restored(new=1)
    connection.execute(insert(orders).values(**{**row, "service_id": item.service_id, "batch_id": item.batch_id}))
    _take_over(connection, item)
    return Restored(new=1, taken_over=1)


def _open_item(connection: Connection, row: Mapping[str, Any]) -> Any:
    """The undecided item of this IMEI, of any service where the order's own is not known; None if there is none."""
    query = (
        select(items.c.id, items.c.batch_id, items.c.chunk_id, items.c.service_id, chunks.c.state)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(items.c.imei == row["imei"], UNDECIDED)
    )
    if row["service_id"]:
        query = query.where(items.c.service_id == row["service_id"])
    return connection.execute(query.order_by(chunks.c.state != ChunkState.IN_DOUBT, items.c.id)).first()


def _link(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Give the order's id to an order of ours without one, of the same IMEI and service. Returns whether."""
    nameless = orders.c.order_id.is_(None) & (orders.c.imei == row["imei"])
    nameless &= orders.c.service_id == row["service_id"]
    first = select(func.min(orders.c.id)).where(nameless).scalar_subquery()
    linked = connection.execute(update(orders).where(orders.c.id == first).values(order_id=row["order_id"]))
    return linked.rowcount == 1


def _take_over(connection: Connection, item: Any) -> None:
    """waiting → ordered for an item of a planned chunk, which goes on without it or ends."""
    moved = connection.execute(
        update(items)
        .where(items.c.id == item.id, items.c.outcome == Outcome.WAITING)
        .values(outcome=Outcome.ORDERED, chunk_id=None, message="found in the provider's list")
    )
    batch_store.expect(moved.rowcount == 1, f"item {item.id} is not waiting")
    left = select(func.count()).where(items.c.chunk_id == item.chunk_id).scalar_subquery()
    planned = update(chunks).where(chunks.c.id == item.chunk_id, chunks.c.state == ChunkState.PLANNED)
    connection.execute(planned.values(size=left))
    connection.execute(
        planned.where(chunks.c.size == 0).values(state=ChunkState.CANCELLED, message="all of it was ordered already")
    )
    batch_store.touch(connection, item.batch_id)
    batch_store.finish_if_done(connection, item.batch_id)
