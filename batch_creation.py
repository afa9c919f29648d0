"""How confirmed IMEIs become a batch: what must not be sent again is left out in the same transaction.

This module plans and writes; it sends nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from batch_store import finish_if_done, insert_chunk, parts, resume
from database import IMEIDatabase, utc_now
from orders import FINAL_STATUSES, BatchState, Outcome
from schema import batches, items, orders


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What the user confirmed. imeis are (IMEI, source row) pairs."""

    label: str
    source: str  #: "upload", "paste", "single", "command" or "api"
    service_id: str
    service_name: str
    unit_price: float  #: US dollars an IMEI
    imeis: Sequence[tuple[str, int | None]]
    fingerprint: str = ""  #: of service and IMEIs; an unfinished batch with the same one is continued
    confirm_token: str | None = None  #: one token makes one batch, however often it is sent
    recheck: bool = False  #: the user wants settled orders of the same service placed again


def fingerprint(service_id: str, imeis: Iterable[str]) -> str:
    """A name for "these IMEIs with this service", in whatever order they stand."""
    digest = hashlib.sha256(service_id.encode())
    for imei in sorted(set(imeis)):
        digest.update(b"," + imei.encode())
    return digest.hexdigest()


def create_batch(database: IMEIDatabase, new: NewBatch, chunk_size: int = 100) -> int:
    """Write batch, items and chunks in one transaction and return the batch id.

    A known confirm token, or an unfinished batch of the same fingerprint, gives that batch back (running
    again). IMEIs that are in flight, in doubt or already ordered with this service become duplicates.
    """
    with database.write() as connection:
        earlier = _earlier_batch(connection, new)
        if earlier is not None:
            return earlier
        left_out = _left_out(connection, new)
        batch_id = _insert_batch(connection, new)
        waiting = _insert_items(connection, batch_id, new, left_out)
        _plan_chunks(connection, batch_id, waiting, chunk_size)
        finish_if_done(connection, batch_id)
        return batch_id


def _earlier_batch(connection: Connection, new: NewBatch) -> int | None:
    if new.confirm_token is not None:
        known = connection.execute(
            select(batches.c.id).where(batches.c.confirm_token == new.confirm_token)
        ).scalar()
        if known is not None:
            return int(known)
    if not new.fingerprint:
        return None
    unfinished = connection.execute(
        select(batches.c.id).where(
            batches.c.fingerprint == new.fingerprint, batches.c.state != BatchState.FINISHED
        )
    ).scalar()
    if unfinished is None:
        return None
    resume(connection, int(unfinished))
    return int(unfinished)


def _left_out(connection: Connection, new: NewBatch) -> dict[str, str]:
    """IMEI → why it must not be sent again."""
    imeis = [imei for imei, _ in new.imeis]
    found = {
        row.imei: f"in batch {row.batch_id} already, not answered yet"
        for row in _open_items(connection, new.service_id, imeis)
    }
    for order in known_orders(connection, new.service_id, imeis):
        if not (new.recheck and order["status"] in FINAL_STATUSES):
            found.setdefault(order["imei"], f"ordered already: order {order['order_id']}")
    return found


def _open_items(connection: Connection, service_id: str, imeis: Sequence[str]) -> Iterable[Any]:
    for part in parts(imeis):
        yield from connection.execute(
            select(items.c.imei, items.c.batch_id, items.c.outcome).where(
                items.c.service_id == service_id,
                items.c.imei.in_(part),
                items.c.outcome.in_([Outcome.WAITING, Outcome.IN_DOUBT]),
            )
        )


def known_orders(connection: Connection, service_id: str, imeis: Sequence[str]) -> Iterable[RowMapping]:
    """The newest order of each IMEI with this service: imei, order_id, status, dates and verdict columns."""
    columns = [
        orders.c[name]
        for name in (
            "imei",
            "order_id",
            "status",
            "order_date",
            "carrier",
            "simlock",
            "model",
            "fmi",
            "blacklist",
        )
    ]
    for part in parts(imeis):
        newest = (
            select(func.max(orders.c.id))
            .where(orders.c.imei.in_(part), orders.c.service_id == service_id)
            .group_by(orders.c.imei)
        )
        yield from connection.execute(select(*columns).where(orders.c.id.in_(newest))).mappings()


def in_flight(database: IMEIDatabase, service_id: str, imeis: Sequence[str]) -> dict[str, int]:
    """IMEI → batch id of those that wait or are in doubt with this service."""
    with database.read() as connection:
        return {row.imei: row.batch_id for row in _open_items(connection, service_id, imeis)}


def _insert_batch(connection: Connection, new: NewBatch) -> int:
    key = connection.execute(
        insert(batches).values(
            label=new.label,
            source=new.source,
            service_id=new.service_id,
            service_name=new.service_name,
            unit_price=new.unit_price,
            total=len(new.imeis),
            state=BatchState.RUNNING,
            confirm_token=new.confirm_token,
            fingerprint=new.fingerprint,
            created_at=utc_now(),
        )
    ).inserted_primary_key
    return int(key[0]) if key else 0


def _insert_items(connection: Connection, batch_id: int, new: NewBatch, left_out: Mapping[str, str]) -> int:
    """Insert the items, duplicates without a chunk. Returns how many wait."""
    seen = dict(left_out)
    rows = []
    for imei, row in new.imeis:
        outcome, message = (Outcome.DUPLICATE, seen[imei]) if imei in seen else (Outcome.WAITING, None)
        seen.setdefault(imei, "stands more than once in this batch")
        rows.append((batch_id, new.service_id, imei, row, outcome.value, message))
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO items (batch_id, service_id, imei, source_row, outcome, message)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
    return sum(row[4] == Outcome.WAITING.value for row in rows)


def _plan_chunks(connection: Connection, batch_id: int, waiting: int, size: int) -> None:
    ids = [
        row[0]
        for row in connection.execute(
            select(items.c.id)
            .where(items.c.batch_id == batch_id, items.c.outcome == Outcome.WAITING)
            .order_by(items.c.id)
        )
    ]
    for start in range(0, waiting, size):
        insert_chunk(connection, batch_id, ids[start : start + size])
