"""What is in doubt in one batch: each call with the reason why it is not settled yet, and what was settled so far.

Reads only. settlement.py decides and writes the words that are counted here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, or_, select

from database import IMEIDatabase
from orders import FINAL_STATUSES, FOUND_IN_LIST, NAMED_BY_PERSON, ChunkState, Outcome
from schema import OPEN_CALL, attempts, chunks, items
from storage import batch_undo, call_queries, guards

#: What settlement.py and doubt_moves.py write about an IMEI that was in doubt.
EXISTED = ("ordered already: order %", "ordered before: %")
NOT_PLACED = ("cancelled: it was not placed %", "not placed, as a person decided; %")


@dataclass(frozen=True, slots=True)
class CallInDoubt:
    """A call that may have placed orders which we do not know."""

    chunk_id: int
    imeis: int  #: of it that are in doubt
    sent_at: datetime  #: UTC
    message: str  #: what happened, in the provider's or our words
    reason: str  #: why it is not settled yet; "" before the first look at the provider's list
    cleared: bool  #: a person says that it placed nothing: it is sent again after one more look


@dataclass(frozen=True, slots=True)
class Settled:
    """How many IMEIs of a batch were in doubt and are settled, by what became of them."""

    found: int  #: the provider's list showed an order, which was recorded
    sent_again: int  #: not placed by the call in doubt; sent again and ordered
    existed: int  #: the provider had an order from before the call
    named: int  #: a person gave the order id
    not_placed: int  #: not placed, and not sent again because the rest of the batch was cancelled

    @property
    def total(self) -> int:
        return self.by_itself + self.named

    @property
    def by_itself(self) -> int:
        """Those that the program settled without a person."""
        return self.found + self.sent_again + self.existed + self.not_placed


@dataclass(frozen=True, slots=True)
class Named:
    """An order whose id a person gave."""

    order_id: str
    imei: str
    status: str

    @property
    def can_be_undone(self) -> bool:
        """Whether it has no result yet."""
        return self.status not in FINAL_STATUSES


def calls_in_doubt(database: IMEIDatabase, batch_id: int) -> list[CallInDoubt]:
    """The calls of a batch that are in doubt, oldest first."""
    with database.read() as connection:
        doubtful = {call.chunk_id: call.attempt_id for call in call_queries.doubtful_calls(connection) if call.waits}
        query = (
            select(chunks.c.id, chunks.c.message, chunks.c.cleared, func.count().label("imeis"))
            .join(items, items.c.chunk_id == chunks.c.id)
            .where(OPEN_CALL, chunks.c.state == ChunkState.IN_DOUBT, chunks.c.batch_id == batch_id)
            .where(items.c.outcome == Outcome.IN_DOUBT)
            .group_by(chunks.c.id)
        )
        rows = [row for row in connection.execute(query.order_by(chunks.c.id)) if row.id in doubtful]
        sent = _sent(connection, [doubtful[row.id] for row in rows])
        answers = _answers(connection, [row.id for row in rows])
    return [
        CallInDoubt(
            chunk_id=row.id,
            imeis=row.imeis,
            sent_at=sent[doubtful[row.id]][0],
            message=sent[doubtful[row.id]][1],
            reason="" if (row.id, row.message) in answers else row.message,
            cleared=row.cleared,
        )
        for row in rows
    ]


def named(database: IMEIDatabase, batch_id: int, limit: int) -> list[Named]:
    """The orders of a batch whose ids a person gave, the newest first."""
    with database.read() as connection:
        rows = batch_undo.named_by_person(connection, batch_id, limit)
    return [Named(row.order_id, row.imei, row.status or "") for row in rows]


def imei_in_doubt(database: IMEIDatabase, batch_id: int, item_id: int) -> str | None:
    """The IMEI of an item that is in doubt in this batch, else None."""
    doubtful = (items.c.id == item_id) & (items.c.batch_id == batch_id) & (items.c.outcome == Outcome.IN_DOUBT)
    with database.read() as connection:
        return connection.execute(select(items.c.imei).where(doubtful)).scalar()


def _sent(connection: Connection, attempt_ids: list[int]) -> dict[int, tuple[datetime, str]]:
    """Attempt id → when it was sent, and what was written about its end."""
    found: dict[int, tuple[datetime, str]] = {}
    for part in guards.parts(attempt_ids):
        query = select(attempts.c.id, attempts.c.sent_at, attempts.c.message).where(attempts.c.id.in_(part))
        found |= {row.id: (row.sent_at, row.message) for row in connection.execute(query)}
    return found


def _answers(connection: Connection, chunk_ids: list[int]) -> set[tuple[int, str]]:
    """(chunk id, message of an attempt): what a chunk says until a look at the list gives a reason instead."""
    found: set[tuple[int, str]] = set()
    for part in guards.parts(chunk_ids):
        query = select(attempts.c.chunk_id, attempts.c.message).where(attempts.c.chunk_id.in_(part))
        found |= {(row.chunk_id, row.message) for row in connection.execute(query)}
    return found


def settled(database: IMEIDatabase, batch_id: int) -> Settled:
    """Count what became of the IMEIs of a batch that are in doubt no more."""
    with database.read() as connection:
        return Settled(
            found=_count(connection, batch_id, Outcome.ORDERED, items.c.message == FOUND_IN_LIST),
            sent_again=_sent_again(connection, batch_id),
            existed=_count(connection, batch_id, Outcome.DUPLICATE, _existed()),
            named=_count(connection, batch_id, Outcome.ORDERED, items.c.message == NAMED_BY_PERSON),
            not_placed=_count(connection, batch_id, Outcome.CANCELLED, or_(*map(items.c.message.like, NOT_PLACED))),
        )


def _count(connection: Connection, batch_id: int, outcome: Outcome, said: ColumnElement[bool]) -> int:
    query = select(func.count()).where(items.c.batch_id == batch_id, items.c.outcome == outcome)
    return int(connection.execute(query.where(items.c.message.is_not(None), said)).scalar_one())


def _sent_again(connection: Connection, batch_id: int) -> int:
    """IMEIs that the answer to a repeated call named with an order: it leaves no message."""
    query = select(func.count()).join_from(chunks, items, items.c.chunk_id == chunks.c.id)
    repeated = query.where(chunks.c.batch_id == batch_id, chunks.c.doubt_attempt.is_not(None))
    answered = repeated.where(items.c.outcome == Outcome.ORDERED, func.coalesce(items.c.message, "") == "")
    return int(connection.execute(answered).scalar_one())


def _existed() -> ColumnElement[bool]:
    """Whether an IMEI was sent, and turned out to be ordered before; what was left out unsent has no chunk."""
    return or_(*map(items.c.message.like, EXISTED)) & items.c.chunk_id.is_not(None)
