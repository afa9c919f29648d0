"""Which account an IMEI belongs to: the one that has an order of it from the same service.

An IMEI + service is never sent through two accounts. Chunks are cut so when a batch is created, and each claim of a
chunk that belongs to no account looks again: a file, the provider's list or a late answer may have brought an order
since. An IMEI in doubt with an account is in flight, so no chunk of another batch holds it. Reads and moves only.
"""

import json
from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, func, literal, select, update

from database import Transaction
from orders import ChunkState, Outcome
from schema import OPEN_CALL, DayStart, attempts, batches, chunks, items, orders, sql
from storage.call_queries import CALLER, newest_order, of_account
from storage.chunk_moves import insert_chunk
from storage.guards import expect

#: The newest order of each IMEI with a service decides.
HOMES = sql(
    "SELECT imei, account FROM orders WHERE service_id = :service"
    " AND imei IN (SELECT value FROM each(:imeis AS TEXT) given) ORDER BY id"
)
#: The orders of the items of chunks that belong to no account, oldest first.
ORDERED_BEFORE = sql(
    "SELECT i.chunk_id, i.id, o.account FROM items i"
    " JOIN chunks c ON c.id = i.chunk_id AND c.account IS NULL"
    " JOIN orders o ON o.imei = i.imei AND o.service_id = i.service_id"
    " WHERE i.chunk_id IN (SELECT value FROM each(:ids AS INTEGER) given) ORDER BY o.id"
)


def homes(connection: Connection, service_id: str, imeis: Sequence[str]) -> dict[str, str]:
    """Return IMEI → the account that has ordered it from this service; the others may be sent through any."""
    given = {"service": service_id, "imeis": json.dumps(list(imeis))}
    return {row.imei: row.account for row in connection.execute(HOMES, given)}


def send_home(connection: Transaction, chunk_ids: Sequence[int], account: str) -> set[int]:
    """Move the IMEIs of planned chunks of no account that another account has ordered into chunks of that account.

    The newest order of an IMEI decides. Returns the chunks that are smaller now, or belong to another account: they
    must not be claimed in this turn.
    """
    rows = connection.execute(ORDERED_BEFORE, {"ids": json.dumps(list(chunk_ids))}).all()
    found: dict[tuple[int, str], list[int]] = {}
    for (chunk_id, item_id), other in {(row.chunk_id, row.id): row.account for row in rows}.items():
        if other != account:
            found.setdefault((chunk_id, other), []).append(item_id)
    for (chunk_id, other), item_ids in found.items():
        _move(connection, chunk_id, other, item_ids)
    return {chunk_id for chunk_id, _ in found}


def _move(connection: Transaction, chunk_id: int, account: str, item_ids: Sequence[int]) -> None:
    this = (chunks.c.id == chunk_id) & (chunks.c.state == ChunkState.PLANNED)
    row = connection.execute(select(chunks.c.batch_id, chunks.c.size).where(this)).first()
    expect(row is not None, f"chunk {chunk_id} is not planned")
    if row is not None and row.size > len(item_ids):
        insert_chunk(connection, row.batch_id, item_ids, account)
        connection.execute(update(chunks).where(this).values(size=row.size - len(item_ids)))
    else:
        connection.execute(update(chunks).where(this).values(account=account))


# What the money of an account is bound by


def at_risk(connection: Connection, account: str) -> float:
    """Return the US dollars that the calls of an account on the wire and in doubt may cost."""
    undecided = items.c.outcome.in_([Outcome.WAITING, Outcome.IN_DOUBT])
    query = (
        select(func.coalesce(func.sum(batches.c.unit_price), 0.0))
        .select_from(chunks)
        .join(batches, batches.c.id == chunks.c.batch_id)
        .join(items, items.c.chunk_id == chunks.c.id)
        .where(OPEN_CALL, account == CALLER, undecided)
    )
    return float(connection.execute(query).scalar_one())


def spent_after(
    connection: Connection, account: str, row_id: int, attempt_id: int = 0, day: date | None = None
) -> tuple[float, int]:
    """Return the US dollars of an account's orders after a row id, and the row id up to which they are summed.

    attempt_id: only those of calls that began with it or later; day: only those of this UTC day.
    """
    newest = newest_order(connection)
    mine = of_account(account) & ~orders.c.existed
    if row_id:
        mine &= orders.c.id > row_id
    if attempt_id:
        mine &= orders.c.attempt_id >= attempt_id
    if day is not None:
        mine &= orders.c.order_date >= literal(day, DayStart)
    spent = connection.execute(select(func.coalesce(func.sum(orders.c.credits), 0.0)).where(mine)).scalar_one()
    return float(spent), newest


def on_the_wire(connection: Connection) -> dict[str, int]:
    """Return account → calls that are being made."""
    query = select(CALLER.label("account"), func.count().label("calls")).where(
        OPEN_CALL, chunks.c.state == ChunkState.SENDING
    )
    return {row.account: row.calls for row in connection.execute(query.group_by(CALLER))}


def accounts_of_batch(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return account → calls that it has made of a batch."""
    query = select(attempts.c.account, func.count().label("calls")).join(chunks, chunks.c.id == attempts.c.chunk_id)
    query = query.where(chunks.c.batch_id == batch_id).group_by(attempts.c.account)
    return {row.account: row.calls for row in connection.execute(query)}


def account_of_item(connection: Connection, item_id: int) -> str:
    """Return the account that has made the call of an item."""
    query = select(CALLER).select_from(items).join(chunks, chunks.c.id == items.c.chunk_id)
    return str(connection.execute(query.where(items.c.id == item_id)).scalar_one())


def accounts_in_doubt(connection: Connection, batch_id: int) -> list[str]:
    """Return the accounts whose calls of a batch are in doubt."""
    query = select(CALLER).distinct().where(OPEN_CALL, chunks.c.batch_id == batch_id)
    return sorted(connection.execute(query.where(chunks.c.state == ChunkState.IN_DOUBT)).scalars())
