"""Calls in each state without a provider: sent, answered or in doubt; and one look at a list, at a given time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase
from orders import Chunk, IMEIOrder, ItemOutcome, Outcome, PlacedOrder
from storage import balance_store, call_queries
from storage.batch_creation import NewBatch, create_batch
from storage.call_records import record_answers, record_of, record_of_orders, write_intents
from submission.listing import Look
from submission.settlement import Settler

QUIET = 60.0
OTHER = "270"


def call(database: IMEIDatabase, numbers: Sequence[str], service_id: str = SERVICE, recheck: bool = False) -> Chunk:
    """Create a batch of these IMEIs and send its first call; all earlier calls have ended."""
    wanted = [(imei, None) for imei in numbers]
    new = NewBatch("test", "command", service_id, "T-Mobile", 0.1, wanted, recheck=recheck, resend_rejected=recheck)
    batch_id = create_batch(database, new)
    with database.write() as connection:
        planned = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1)]
        return write_intents(connection, planned)[0]


def planned(
    database: IMEIDatabase, count: int, size: int = 2, first: int = 0, service_id: str = SERVICE
) -> tuple[int, list[int]]:
    """Create a batch of `count` IMEIs that was never sent; return its id and those of its chunks."""
    wanted = [(imei, None) for imei in imeis(count, first)]
    batch_id = create_batch(database, NewBatch("test", "command", service_id, "T-Mobile", 0.1, wanted), chunk_size=size)
    with database.read() as connection:
        return batch_id, [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1000)]


def everything(database: IMEIDatabase) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the tables that record orders and calls."""
    tables = ("batches", "chunks", "attempts", "items", "orders")
    with database.read() as connection:
        found = {name: run(connection, f"SELECT * FROM {name} ORDER BY id") for name in tables}
        return {name: [tuple(row) for row in rows] for name, rows in found.items()}


def one(database: IMEIDatabase, query: str, *values: Any) -> Any:
    """Return the only row of a query, or its only value."""
    with database.read() as connection:
        row = tuple(run(connection, query, *values).one())
    return row[0] if len(row) == 1 else row


@contextmanager
def nothing_is_written(database: IMEIDatabase) -> Iterator[None]:
    """Check that the block changes no row."""
    before = everything(database)
    yield
    assert everything(database) == before


def record_outcomes(
    connection: Connection, chunk: Chunk, item_outcomes: Sequence[ItemOutcome], message: str = ""
) -> None:
    """Write these outcomes for a call that is on the wire or in doubt."""
    record_answers(connection, [record_of(chunk, item_outcomes, message)], carefully=True)


def answered(database: IMEIDatabase, chunk: Chunk, first_id: int) -> list[IMEIOrder]:
    """Record a complete answer, with order ids from first_id on; return the orders as the list shows them."""
    placed = tuple(PlacedOrder(str(first_id + n), item.imei) for n, item in enumerate(chunk.items))
    with database.write() as connection:
        record_answers(connection, [record_of_orders(chunk, placed)])
    return [listed(order.id, order.imei, chunk.service_id) for order in placed]


def unanswered(database: IMEIDatabase, chunk: Chunk, said: Sequence[str] = (), words: str = "") -> None:
    """Record a call without a clear answer. said: messages of its first IMEIs; words: message of the call."""
    messages = [*said, *[""] * (len(chunk.items) - len(said))]
    doubts = [
        ItemOutcome(item.item_id, item.imei, Outcome.IN_DOUBT, message=message)
        for item, message in zip(chunk.items, messages, strict=True)
    ]
    with database.write() as connection:
        record_outcomes(connection, chunk, doubts, words)


def listed(order_id: str, imei: str, package: str = SERVICE, at: str = "2026-11-25 10:00:00") -> IMEIOrder:
    return IMEIOrder(order_id, imei, "Pending", "", package, at)


def read_balance(database: IMEIDatabase, credits: float = 100.0) -> None:
    """Record a balance in US dollars at a moment without a call on the wire."""
    with database.write() as connection:
        balance_store.record_reading(connection, credits)


def look(
    database: IMEIDatabase,
    settler: Settler,
    orders: Sequence[IMEIOrder],
    now: float,
    unexplained: float | None = 0.0,
    alone: bool = True,
    **about: Any,
) -> list[str]:
    """Apply one look at a list of these orders. Return the IMEIs that are sent again because of it.

    unexplained: US dollars that left the account beyond what our orders cost; None: the balance is not known.
    about: fields of Look that differ, such as asked_at. Unless said otherwise the provider confirms each order by id.
    """
    with database.write() as connection:
        settler.note(connection, now)
        first = balance_store.reading_after(connection, 0)
        credits = None
        if first is not None and unexplained is not None:
            credits = first.credits - balance_store.spent_since(connection, first).known - unexplained
        usual = {
            "asked_at": now,
            "last_order": call_queries.newest_order(connection),
            "credits": credits,
            "last_rejection": balance_store.newest_rejection(connection),
            "confirmed": {order.id: order for order in orders},
            "prices": dict(
                connection.exec_driver_sql("SELECT service_id, max(unit_price) FROM batches GROUP BY 1").all()
            ),
        }
        piece = settler.apply(connection, Look(tuple(orders), alone=alone, **{**usual, **about}), may_repeat=True)
        claimed = write_intents(connection, [piece] if piece else [])
        return [item.imei for chunk in claimed for item in chunk.items]


def _confirmed_prices(connection: Connection) -> dict[str, float]:
    """Return service id → price, as it was confirmed with the batches."""
    rows = run(connection, "SELECT service_id, max(unit_price) AS price FROM batches GROUP BY service_id")
    return {row.service_id: row.price for row in rows}


def reason(database: IMEIDatabase, chunk: Chunk) -> str:
    """Return the message of a call in doubt."""
    return str(one(database, "SELECT message FROM chunks WHERE id = ?", chunk.chunk_id))


def outcome(database: IMEIDatabase, chunk: Chunk) -> list[tuple[str, str]]:
    """Return (outcome, order id) of each IMEI of a call."""
    query = (
        "SELECT i.outcome, coalesce(o.order_id, '') FROM items i LEFT JOIN orders o"
        " ON o.imei = i.imei AND o.batch_id = i.batch_id WHERE i.batch_id = ? ORDER BY i.id"
    )
    with database.read() as connection:
        return [tuple(row) for row in run(connection, query, chunk.batch_id)]
