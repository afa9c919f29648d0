"""Moves of calls to race against each other, and what the tables of chunks, items and batches hold afterwards."""

from collections.abc import Callable, Sequence
from typing import Any

from handmade_calls import (
    listed,
    one,
    record_outcomes,
    unanswered,
)
from plain_sql import run
from sqlalchemy import Connection

from database import IMEIDatabase
from orders import Chunk, ChunkState, ItemOutcome, Outcome
from storage import call_queries, call_records, chunk_moves, doubt_moves
from storage.call_records import write_intents

Move = Callable[[Connection, Chunk], None]


def item_outcomes(chunk: Chunk, *outcomes: Outcome, first_id: int = 1, message: str = "") -> list[ItemOutcome]:
    """One for each IMEI of a call, with order ids from first_id on where it was ordered."""
    return [
        ItemOutcome(
            item.item_id, item.imei, found, str(first_id + n) if found is Outcome.ORDERED else None, message=message
        )
        for n, (item, found) in enumerate(zip(chunk.items, outcomes, strict=True))
    ]


def ordered(connection: Connection, chunk: Chunk) -> None:
    record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.ORDERED] * len(chunk.items)))


def in_doubt(connection: Connection, chunk: Chunk) -> None:
    record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.IN_DOUBT] * len(chunk.items)))


def released(connection: Connection, chunk: Chunk) -> None:
    chunk_moves.release(connection, chunk, "not sent")


def ids_of(chunk: Chunk) -> list[int]:
    return [item.item_id for item in chunk.items]


def repeated(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.repeat(connection, chunk, ids_of(chunk), "again")


def cleared(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.clear(connection, chunk, ids_of(chunk), "a person says so")


def linked(connection: Connection, chunk: Chunk) -> None:
    for n, item in enumerate(chunk.items):
        doubt_moves.link_existing(connection, chunk, item, listed(str(50 + n), item.imei))


def adopted(connection: Connection, chunk: Chunk) -> None:
    call_records.adopt(connection, chunk, item_outcomes(chunk, *[Outcome.ORDERED] * len(chunk.items)))


def chunk_rows(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(id, size, state) of each chunk of a batch."""
    with database.read() as connection:
        query = "SELECT id, size, state FROM chunks WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in run(connection, query, batch_id)]


def outcomes(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(outcome, message, chunk id) of each IMEI of a batch."""
    with database.read() as connection:
        query = "SELECT outcome, message, chunk_id FROM items WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in run(connection, query, batch_id)]


def batch(database: IMEIDatabase, batch_id: int) -> Any:
    """(state, notice, resumes itself, finished at is set) of a batch."""
    query = "SELECT state, notice, resumes_itself, finished_at IS NOT NULL FROM batches WHERE id = ?"
    return one(database, query, batch_id)


def revision(database: IMEIDatabase, batch_id: int) -> int:
    return int(one(database, "SELECT revision FROM batches WHERE id = ?", batch_id))


def place(database: IMEIDatabase, order_id: str, imei: str, service_id: str | None, batch_id: int | None) -> None:
    database.insert_order(
        {"order_id": order_id, "imei": imei, "status": "Pending", "service_id": service_id, "batch_id": batch_id}
    )


def repeat_of(database: IMEIDatabase, chunk: Chunk) -> Chunk:
    """The call that repeats this one, which is on the wire, as the next call; newest on the wire."""
    unanswered(database, chunk)
    with database.write() as connection:
        piece = doubt_moves.repeat(connection, chunk, ids_of(chunk), "not placed")
        write_intents(connection, [piece])
        return next(c for c in call_queries.open_chunks(connection, ChunkState.SENDING) if c.chunk_id == piece)


def among(connection: Connection, numbers: Sequence[str]) -> list[tuple[int, str, str]]:
    """(batch, service, IMEI) of what is planned of these IMEIs."""
    found = call_queries.planned_among(connection, [imei[:14] for imei in numbers])
    return [(item.batch_id, item.service_id, item.imei) for item in found]
