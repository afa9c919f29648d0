"""What is in doubt: IMEIs and calls with the reason why they are not settled yet, and what was settled so far.

`doubtful()` is the one query for it; everything else here counts or lists what it finds. Reads only:
submission/settlement.py decides, and writes the messages that are counted here.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, cast, func, or_, select

from database import IMEIDatabase
from orders import FOUND_IN_LIST, NAMED_BY_PERSON, SAYS_IT_EXISTS, ChunkState, Outcome
from schema import OPEN_CALL, attempts, batches, chunks, each_of, items
from storage import call_queries
from storage.rows import DoubtfulItem

#: What submission/settlement.py and doubt_moves.py write about an IMEI that was in doubt.
EXISTED = ("ordered already: order %", "ordered before: %")
NOT_PLACED = ("cancelled: it was not placed%", "not placed, as a person decided; %")


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
class Doubt:
    """The IMEIs in doubt of one batch in numbers."""

    undecided: int  #: that no person has cleared
    cleared: int  #: that a person says were not placed
    mark: str  #: names exactly the undecided ones: it differs as soon as one leaves or another call comes
    answers: tuple[tuple[int, str, int], ...]  #: (chunk id, what is known of the IMEI alone or "", undecided IMEIs)

    @property
    def count(self) -> int:
        """All IMEIs in doubt."""
        return self.undecided + self.cleared


#: When the call of an item was sent the last time (UTC).
SENT_AT = (
    select(func.max(attempts.c.sent_at))
    .where(attempts.c.chunk_id == items.c.chunk_id)
    .correlate(items)
    .scalar_subquery()
    .label("sent_at")
)


def doubtful(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return the SELECT of columns of items in doubt, their chunks and batches, found by the index of open calls."""
    return (
        select(*columns)
        .select_from(items)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .join(batches, batches.c.id == items.c.batch_id)
        .where(OPEN_CALL, chunks.c.state == ChunkState.IN_DOUBT, items.c.outcome == Outcome.IN_DOUBT)
    )


def at_stake(connection: Connection, theirs: ColumnElement[bool] | None = None) -> tuple[int, float]:
    """Return how many IMEIs are in doubt, and the US dollars that they may have cost.

    theirs: a condition on batches; without it, all count.
    """
    query = doubtful(func.count(), func.coalesce(func.sum(batches.c.unit_price), 0.0))
    count, cost = connection.execute(query if theirs is None else query.where(theirs)).one()
    return int(count), float(cost)


def undecided_items(database: IMEIDatabase, batch_id: int, limit: int) -> list[DoubtfulItem]:
    """Return what no person has cleared in a batch; first what the provider says that it has an order of."""
    columns = (items.c.id, items.c.imei, items.c.message, items.c.chunk_id, chunks.c.cleared, items.c.batch_id)
    query = doubtful(*columns, batches.c.label, batches.c.service_name, batches.c.unit_price, SENT_AT)
    query = query.where(items.c.batch_id == batch_id, ~chunks.c.cleared)
    query = query.order_by(func.coalesce(items.c.message, "") != SAYS_IT_EXISTS, items.c.id).limit(limit)
    with database.read() as connection:
        return [DoubtfulItem.from_row(row) for row in connection.execute(query)]


def undecided_ids(connection: Connection, batch_id: int) -> list[int]:
    """Return the ids of the items in doubt of a batch that no person has cleared."""
    query = doubtful(items.c.id).where(items.c.batch_id == batch_id, ~chunks.c.cleared).order_by(items.c.id)
    return list(connection.execute(query).scalars())


def cleared_imeis(database: IMEIDatabase, batch_id: int, limit: int) -> list[str]:
    """Return IMEIs of a batch that a person has cleared, the oldest items first."""
    query = doubtful(items.c.imei).where(items.c.batch_id == batch_id, chunks.c.cleared).order_by(items.c.id)
    with database.read() as connection:
        return list(connection.execute(query.limit(limit)).scalars())


def imeis_in_doubt(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return IMEI → item id of what is in doubt in a batch, in the order of the batch."""
    query = doubtful(items.c.imei, items.c.id).where(items.c.batch_id == batch_id).order_by(items.c.id)
    return {row.imei: row.id for row in connection.execute(query)}


def doubt_of(connection: Connection, batch_id: int) -> Doubt:
    """Return what is in doubt in a batch, in numbers: counted by the database, a row for each call and message."""
    words = func.coalesce(items.c.message, "").label("words")
    count, ids = func.count().label("imeis"), cast(func.sum(items.c.id), items.c.id.type).label("ids")
    query = doubtful(items.c.chunk_id, chunks.c.cleared, words, SENT_AT, count, ids)
    query = query.where(items.c.batch_id == batch_id).group_by(items.c.chunk_id, chunks.c.cleared, words)
    groups = connection.execute(query.order_by(items.c.chunk_id, words)).all()
    undecided = [row for row in groups if not row.cleared]
    return Doubt(
        undecided=sum(row.imeis for row in undecided),
        cleared=sum(row.imeis for row in groups if row.cleared),
        mark=_mark(undecided),
        answers=tuple((row.chunk_id, row.words, row.imeis) for row in undecided),
    )


def _mark(groups: Iterable[Any]) -> str:
    """Return a name for exactly these items: they leave a call and never join one, so count and sum of ids tell."""
    calls: dict[tuple[int, datetime | None], tuple[int, int]] = {}
    for row in groups:
        imeis, ids = calls.get((row.chunk_id, row.sent_at), (0, 0))
        calls[row.chunk_id, row.sent_at] = imeis + row.imeis, ids + row.ids
    return hashlib.sha256(repr(sorted(calls.items())).encode()).hexdigest()


def calls_in_doubt(database: IMEIDatabase, batch_id: int) -> list[CallInDoubt]:
    """Return the calls of a batch that are in doubt, oldest first."""
    query = doubtful(chunks.c.id, chunks.c.message, chunks.c.cleared, func.count().label("imeis"))
    query = query.where(chunks.c.batch_id == batch_id).group_by(chunks.c.id).order_by(chunks.c.id)
    with database.read() as connection:
        newest = {call.chunk_id: call.attempt_id for call in call_queries.doubtful_calls(connection) if call.waits}
        rows = [row for row in connection.execute(query) if row.id in newest]
        sent = _sent(connection, [newest[row.id] for row in rows])
        answers = _answers(connection, [row.id for row in rows])
    return [
        CallInDoubt(
            chunk_id=row.id,
            imeis=row.imeis,
            sent_at=sent[newest[row.id]][0],
            message=sent[newest[row.id]][1],
            reason="" if (row.id, row.message) in answers else row.message,
            cleared=row.cleared,
        )
        for row in rows
    ]


def imei_in_doubt(database: IMEIDatabase, batch_id: int, item_id: int) -> str | None:
    """Return the IMEI of an item that is in doubt in this batch, else None."""
    of_batch = (items.c.id == item_id) & (items.c.batch_id == batch_id)
    with database.read() as connection:
        return connection.execute(doubtful(items.c.imei).where(of_batch)).scalar()


def _sent(connection: Connection, attempt_ids: list[int]) -> dict[int, tuple[datetime, str]]:
    """Return attempt id → when it was sent, and what was written about its end."""
    query = select(attempts.c.id, attempts.c.sent_at, attempts.c.message)
    rows = connection.execute(query.where(attempts.c.id.in_(each_of(attempt_ids, "INTEGER"))))
    return {row.id: (row.sent_at, row.message) for row in rows}


def _answers(connection: Connection, chunk_ids: list[int]) -> set[tuple[int, str]]:
    """Return (chunk id, message of an attempt): the message of a chunk until a look at the list gives a reason."""
    query = select(attempts.c.chunk_id, attempts.c.message)
    rows = connection.execute(query.where(attempts.c.chunk_id.in_(each_of(chunk_ids, "INTEGER"))))
    return {(row.chunk_id, row.message) for row in rows}


def settled(database: IMEIDatabase, batch_id: int) -> Settled:
    """Count the IMEIs of a batch that were in doubt and are settled, by what became of them."""
    with database.read() as connection:
        return Settled(**connection.execute(_settled(), {"batch": batch_id}).one()._asdict())


@cache
def _settled() -> Select[Any]:
    """Select all counts of Settled at once: a page of a batch asks for each."""
    counts = {
        "found": _count(Outcome.ORDERED, items.c.message == FOUND_IN_LIST),
        "sent_again": _sent_again(),
        "existed": _count(Outcome.DUPLICATE, _existed()),
        "named": _count(Outcome.ORDERED, items.c.message == NAMED_BY_PERSON),
        "not_placed": _count(Outcome.CANCELLED, or_(*map(items.c.message.like, NOT_PLACED))),
    }
    return select(*(count.scalar_subquery().label(name) for name, count in counts.items()))


def _count(outcome: Outcome, message: ColumnElement[bool]) -> Select[Any]:
    query = select(func.count()).where(items.c.batch_id == bindparam("batch"), items.c.outcome == outcome)
    return query.where(items.c.message.is_not(None), message)


def _sent_again() -> Select[Any]:
    """Count the IMEIs that the answer to a repeated call named with an order: it leaves no message."""
    query = select(func.count()).join_from(chunks, items, items.c.chunk_id == chunks.c.id)
    repeated = query.where(chunks.c.batch_id == bindparam("batch"), chunks.c.doubt_attempt.is_not(None))
    return repeated.where(items.c.outcome == Outcome.ORDERED, func.coalesce(items.c.message, "") == "")


def _existed() -> ColumnElement[bool]:
    """Match IMEIs that were sent and turned out to be ordered before; what was left out unsent has no chunk."""
    return or_(*map(items.c.message.like, EXISTED)) & items.c.chunk_id.is_not(None)
