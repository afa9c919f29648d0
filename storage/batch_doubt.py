"""What is in doubt in one batch: each call with the reason why it is not settled yet, and what was settled so far.

Reads only. submission/settlement.py decides and writes the messages that are counted here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, or_, select

from database import IMEIDatabase
from orders import FINAL_STATUSES, FOUND_IN_LIST, NAMED_BY_PERSON, Outcome
from schema import attempts, chunks, items
from storage import batch_store, batch_undo

#: What submission/settlement.py and batch_store.py write about an IMEI that was in doubt.
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
    cleared: bool  #: a person decided that it placed nothing: it is sent again after one more look


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
    """Return the calls of a batch that are in doubt, oldest first."""
    with database.read() as connection:
        calls = [c for c in batch_store.doubtful_calls(connection) if c.waits and c.batch_id == batch_id]
        found = _doubtful_chunks(connection, batch_id)
        calls = [call for call in calls if call.chunk_id in found]
        sent = _sent(connection, [call.attempt_id for call in calls])
        answers = _answers(connection, [call.chunk_id for call in calls])
    return [
        CallInDoubt(
            chunk_id=call.chunk_id,
            imeis=found[call.chunk_id][0],
            sent_at=sent[call.attempt_id][0],
            message=sent[call.attempt_id][1],
            reason="" if (call.chunk_id, found[call.chunk_id][1]) in answers else found[call.chunk_id][1],
            cleared=call.cleared,
        )
        for call in calls
    ]


def _doubtful_chunks(connection: Connection, batch_id: int) -> dict[int, tuple[int, str]]:
    """Return chunk id → how many of its IMEIs are in doubt, and its message, of one batch."""
    query = select(chunks.c.id, chunks.c.message, func.count().label("imeis"))
    query = query.join(items, items.c.chunk_id == chunks.c.id).group_by(chunks.c.id)
    query = query.where(items.c.batch_id == batch_id, items.c.outcome == Outcome.IN_DOUBT)
    return {row.id: (row.imeis, row.message) for row in connection.execute(query)}


def named(database: IMEIDatabase, batch_id: int, limit: int) -> list[Named]:
    """Return the orders of a batch whose ids a person gave, the newest first."""
    with database.read() as connection:
        rows = batch_undo.named_by_person(connection, batch_id, limit)
    return [Named(row.order_id, row.imei, row.status or "") for row in rows]


def imei_in_doubt(database: IMEIDatabase, batch_id: int, item_id: int) -> str | None:
    """Return the IMEI of an item that is in doubt in this batch, else None."""
    doubtful = (items.c.id == item_id) & (items.c.batch_id == batch_id) & (items.c.outcome == Outcome.IN_DOUBT)
    with database.read() as connection:
        return connection.execute(select(items.c.imei).where(doubtful)).scalar()


def _sent(connection: Connection, attempt_ids: list[int]) -> dict[int, tuple[datetime, str]]:
    """Return attempt id → when it was sent, and what was written about its end."""
    found: dict[int, tuple[datetime, str]] = {}
    for part in batch_store.parts(attempt_ids):
        query = select(attempts.c.id, attempts.c.sent_at, attempts.c.message).where(attempts.c.id.in_(part))
        found |= {row.id: (row.sent_at, row.message) for row in connection.execute(query)}
    return found


def _answers(connection: Connection, chunk_ids: list[int]) -> set[tuple[int, str]]:
    """Return (chunk id, message of an attempt): the message of a chunk until a look at the list gives a reason."""
    found: set[tuple[int, str]] = set()
    for part in batch_store.parts(chunk_ids):
        query = select(attempts.c.chunk_id, attempts.c.message).where(attempts.c.chunk_id.in_(part))
        found |= {(row.chunk_id, row.message) for row in connection.execute(query)}
    return found


def settled(database: IMEIDatabase, batch_id: int) -> Settled:
    """Count the IMEIs of a batch that were in doubt and are settled, by what became of them."""
    with database.read() as connection:
        return Settled(
            found=_count(connection, batch_id, Outcome.ORDERED, items.c.message == FOUND_IN_LIST),
            sent_again=_sent_again(connection, batch_id),
            existed=_count(connection, batch_id, Outcome.DUPLICATE, _existed()),
            named=_count(connection, batch_id, Outcome.ORDERED, items.c.message == NAMED_BY_PERSON),
            not_placed=_count(connection, batch_id, Outcome.CANCELLED, or_(*map(items.c.message.like, NOT_PLACED))),
        )


def _count(connection: Connection, batch_id: int, outcome: Outcome, message: ColumnElement[bool]) -> int:
    query = select(func.count()).where(items.c.batch_id == batch_id, items.c.outcome == outcome)
    return int(connection.execute(query.where(items.c.message.is_not(None), message)).scalar_one())


def _sent_again(connection: Connection, batch_id: int) -> int:
    """Count the IMEIs that the answer to a repeated call named with an order: it leaves no message."""
    query = select(func.count()).join_from(chunks, items, items.c.chunk_id == chunks.c.id)
    repeated = query.where(chunks.c.batch_id == batch_id, chunks.c.doubt_attempt.is_not(None))
    answered = repeated.where(items.c.outcome == Outcome.ORDERED, func.coalesce(items.c.message, "") == "")
    return int(connection.execute(answered).scalar_one())


def _existed() -> ColumnElement[bool]:
    """Match IMEIs that were sent and turned out to be ordered before; what was left out unsent has no chunk."""
    return or_(*map(items.c.message.like, EXISTED)) & items.c.chunk_id.is_not(None)
