"""Batches with their progress, cost and timeline. Reads only; every total is a sum of what is there."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, case, exists, func, or_, select

from database import IMEIDatabase, once, utc_now
from engines import read_prepared
from grading import VerdictCounts
from orders import FOUND_IN_LIST, NAMED_BY_PERSON, BatchState, ChunkState, Outcome, Progress
from schema import IS_LISTED, MILLIONTH, NOT_FINAL, attempts, batches, chunks, items, orders, sql, status_changes, sums
from storage.batch_doubt import at_stake, doubtful
from storage.batch_progress import counted_progresses, read_progresses
from storage.kept_sums import Counts, counts
from storage.rows import Order
from storage.verdict_store import counts_of

#: Message of an item whose doubt was settled → words for the order's timeline.
SETTLED = MappingProxyType({
    NAMED_BY_PERSON: "recorded by hand: a person gave the order id, and the provider confirmed it",
    FOUND_IN_LIST: "recorded by the program: found in the provider's list after the call was in doubt",
})  # fmt: skip
UNFINISHED = batches.c.state.in_([BatchState.RUNNING, BatchState.PAUSED])
UNFINISHED_BATCHES = select(batches).where(UNFINISHED).order_by(batches.c.id)  # for the status bar of every page
STATE = select(batches.c.state, batches.c.revision).where(batches.c.id == bindparam("batch"))  # for each turn of a run
ONE_BATCH = select(batches).where(batches.c.id == bindparam("batch"))  # for its page and its streams
CHUNK_STATES = (
    select(chunks.c.state)
    .where(chunks.c.batch_id == bindparam("batch"))
    .order_by(chunks.c.id)
    .limit(bindparam("most", type_=Integer))
)
#: What comes before an order id in the message of an item.
NAMES_ORDER = ": order "
_CUT = func.place_in(items.c.message, NAMES_ORDER)
_WORDS = case((_CUT > 0, func.substr(items.c.message, 1, _CUT - 1)), else_=items.c.message).label("words")
ERRORS = (
    select(items.c.outcome, _WORDS, func.count().label("imeis"))
    .where(items.c.batch_id == bindparam("batch"), items.c.message.is_not(None))
    .group_by(items.c.outcome, _WORDS)
    .order_by(func.count().desc())
    .limit(50)
)
#: For each look of a run at all batches.
STATES = (
    select(batches.c.id, batches.c.state, batches.c.started_at)
    .where(or_(UNFINISHED, batches.c.id > bindparam("newest"), batches.c.id.in_(bindparam("also", expanding=True))))
    .order_by(batches.c.id)
)
PLACED = ("order_id", "imei", "status", "credits")
PLACED_ORDERS = sql(
    f"SELECT {', '.join(f'json_list(o.{name})' for name in PLACED)}"
    " FROM (SELECT * FROM orders WHERE batch_id = :batch ORDER BY id) o"
)


def progress(database: IMEIDatabase, batch_id: int) -> Progress | None:
    """The batch as it is now, or None for an unknown id."""
    with database.read() as connection:
        rows = read_prepared(connection, ONE_BATCH, {"batch": batch_id}).all()
        return next(iter(counted_progresses(connection, rows)), None)


def under_way_and_recent(connection: Connection, limit: int) -> tuple[list[Progress], list[Progress]]:
    """Return the batches under way, oldest first, and the newest ones, newest first; no scans among the newest.

    Under way are unfinished batches and, of the newest, those that are not settled.
    """
    found = once(connection, _read_under_way_and_recent, limit)
    recent = [batch for batch in reversed(found) if batch.source != "scan"]
    return [batch for batch in found if not batch.is_settled], recent[:limit]


def _read_under_way_and_recent(connection: Connection, limit: int) -> list[Progress]:
    return counted_progresses(connection, read_prepared(connection, _under_way_and_recent(limit)).all())


@cache  # for the header of every page
def _under_way_and_recent(limit: int) -> Select[Any]:
    newest = select(batches.c.id).where(IS_LISTED).order_by(batches.c.id.desc()).limit(limit).scalar_subquery()
    return select(batches).where(or_(UNFINISHED, batches.c.id.in_(newest))).order_by(batches.c.id)


def unfinished_batches(connection: Connection) -> list[Progress]:
    """Batches that are running or paused, oldest first."""
    return read_progresses(connection, UNFINISHED_BATCHES)


def progresses(database: IMEIDatabase, query: Select[Any]) -> list[Progress]:
    """The batches that a SELECT of batches gives, each with its counts, from one snapshot."""
    with database.read() as connection:
        return read_progresses(connection, query)


def batch_counts(database: IMEIDatabase, batch_id: int) -> Counts:
    """Return outcome → IMEIs and chunk state → chunks of a batch: its progress without the sums of its orders."""
    with database.read() as connection:
        return counts(connection, connection.execute(select(batches).where(batches.c.id == batch_id)).all())[batch_id]


def batch_state(database: IMEIDatabase, batch_id: int) -> tuple[BatchState | None, int]:
    """State and revision of a batch, without counting anything; (None, -1) for an unknown id."""
    with database.read() as connection:
        row = connection.execute(STATE, {"batch": batch_id}).first()
    return (BatchState(row.state), row.revision) if row else (None, -1)


@dataclass(frozen=True, slots=True)
class StateOfBatch:
    """Where a batch is, without its counts."""

    batch_id: int
    state: BatchState
    is_started: bool  #: its first call was written


def states_of_batches(database: IMEIDatabase, newest: int, also: Sequence[int]) -> list[StateOfBatch]:
    """Return the batches that are unfinished, have a higher id than newest, or are one of `also`; oldest first."""
    with database.read() as connection:
        rows = connection.execute(STATES, {"newest": newest, "also": list(also)}).all()
    return [StateOfBatch(row.id, BatchState(row.state), row.started_at is not None) for row in rows]


def newest_batch(database: IMEIDatabase) -> int:
    """Return the highest batch id; 0 where there is no batch."""
    with database.read() as connection:
        return int(connection.execute(select(func.coalesce(func.max(batches.c.id), 0))).scalar_one())


def batch_named(database: IMEIDatabase, label: str) -> int | None:
    """Return the newest batch with this label, such as the name of its file; None where there is none."""
    with database.read() as connection:
        return connection.execute(select(func.max(batches.c.id)).where(batches.c.label == label)).scalar()


def who_ordered(database: IMEIDatabase, batch_id: int | None) -> str:
    """Return the name of the user or token that ordered a batch; "" where that is not known."""
    with database.read() as connection:
        return connection.execute(select(batches.c.ordered_by).where(batches.c.id == batch_id)).scalar() or ""


def customer_of(database: IMEIDatabase, batch_id: int | None) -> str:
    """Return the customer that a batch names; "" where it names none."""
    with database.read() as connection:
        return connection.execute(select(batches.c.customer).where(batches.c.id == batch_id)).scalar() or ""


def newest_started(connection: Connection) -> Progress | None:
    """Return the newest batch of which a call was written."""
    started = select(batches).where(batches.c.started_at.is_not(None))
    return next(iter(read_progresses(connection, started.order_by(batches.c.id.desc()).limit(1))), None)


def placed_orders(database: IMEIDatabase, batch_id: int) -> list[dict[str, object]]:
    """order_id, imei, status and credits of every order of a batch, oldest first, in one row of JSON lists."""
    with database.read() as connection:
        listed = connection.execute(PLACED_ORDERS, {"batch": batch_id}).one()
    return [dict(zip(PLACED, values, strict=True)) for values in zip(*map(json.loads, listed), strict=True)]


def revision(database: IMEIDatabase, batch_id: int) -> int | None:
    """The batch's revision: it grows with every change. None for an unknown id."""
    with database.read() as connection:
        return connection.execute(select(batches.c.revision).where(batches.c.id == batch_id)).scalar()


def chunk_states(database: IMEIDatabase, batch_id: int, limit: int) -> list[str]:
    """The states (words of ChunkState) of a batch's chunks in the order they are sent."""
    with database.read() as connection:
        return [row.state for row in read_prepared(connection, CHUNK_STATES, {"batch": batch_id, "most": limit})]


def batch_errors(database: IMEIDatabase, batch_id: int) -> list[tuple[Outcome, str, int]]:
    """Return (outcome, words, IMEIs) of every group of items with a message, the largest first.

    Messages that differ in the order id only, such as "ordered already: order 12345", are one group.
    """
    with database.read() as connection:
        rows = read_prepared(connection, ERRORS, {"batch": batch_id})
        return [(Outcome(row.outcome), row.words, row.imeis) for row in rows]


def batch_failures(database: IMEIDatabase, batch_id: int) -> list[dict[str, str]]:
    """imei, outcome and error of every IMEI of a batch that was not ordered."""
    query = select(items.c.imei, items.c.outcome, items.c.message).where(
        items.c.batch_id == batch_id, items.c.outcome.not_in([Outcome.ORDERED, Outcome.WAITING])
    )
    with database.read() as connection:
        return [
            {"imei": row.imei, "outcome": row.outcome, "error": row.message or ""}
            for row in connection.execute(query.order_by(items.c.id))
        ]


def order_timeline(database: IMEIDatabase, order: Order) -> list[tuple[datetime, str]]:
    """(UTC time, what happened) for one row of orders, oldest first."""
    query = select(status_changes).where(status_changes.c.order_row == order.id).order_by(status_changes.c.id)
    with database.read() as connection:
        attempt = connection.execute(select(attempts).where(attempts.c.id == order.attempt_id)).first()
        moves = connection.execute(query).all()
        settled = _how_settled(connection, order)
    events: list[tuple[datetime | None, str]] = [(order.order_date or order.created_at, "placed with the provider")]
    if attempt is not None:
        events.append((attempt.sent_at, f"sent in a call of {attempt.imeis} (attempt {attempt.number})"))
    if settled:
        events.append((order.created_at, settled))
    events += [(move.changed_at, f"{move.old or 'unknown'} → {move.new}") for move in moves]
    if not moves and order.updated_at and order.updated_at != order.created_at:
        events.append((order.updated_at, f"last update: {order.status}"))
    return sorted(((at, words) for at, words in events if at is not None), key=lambda event: event[0])


def _how_settled(connection: Connection, order: Order) -> str:
    """How an order was found whose call was in doubt; "" for one that the provider's answer named."""
    query = select(items.c.message).where(items.c.batch_id == order.batch_id, items.c.outcome == Outcome.ORDERED)
    message = connection.execute(query.where(items.c.message.in_(SETTLED), items.c.imei == order.imei)).scalar()
    return SETTLED.get(message or "", "")


def planned_imeis(connection: Connection, batch_id: int) -> int:
    """Return how many IMEIs of a batch are planned and not sent."""
    query = select(func.coalesce(func.sum(chunks.c.size), 0))
    planned = query.where(chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED)
    return int(connection.execute(planned).scalar_one())


def committed(database: IMEIDatabase) -> float:
    """US dollars that unfinished batches may still spend, and that items in doubt may have cost."""
    with database.read() as connection:
        return promised(connection)


def spent_or_promised(connection: Connection, theirs: ColumnElement[bool] | None = None) -> float:
    """US dollars of the orders of this UTC day, and those that unfinished batches and doubt may come to.

    theirs: a condition on batches; without it, all count.
    """
    return _placed_today(connection, theirs)[1] + promised(connection, theirs)


@dataclass(frozen=True, slots=True)
class Queue:
    """What unfinished batches of one state have planned and not sent."""

    imeis: int = 0
    chunks: int = 0


def queues(connection: Connection) -> dict[BatchState, Queue]:
    """Return what running and what paused batches have planned and not sent."""
    query = select(batches.c.state, func.sum(chunks.c.size), func.count()).group_by(batches.c.state)
    query = query.join(chunks, chunks.c.batch_id == batches.c.id).where(UNFINISHED)
    rows = connection.execute(query.where(chunks.c.state == ChunkState.PLANNED))
    found = {BatchState(state): Queue(imeis, count) for state, imeis, count in rows}
    return {state: found.get(state, Queue()) for state in (BatchState.RUNNING, BatchState.PAUSED)}


@dataclass(frozen=True, slots=True)
class Today:
    """This UTC day, and what is open whatever its day."""

    orders: int
    spent: float  #: US dollars
    verdicts: VerdictCounts  #: of these orders
    in_doubt: int  #: IMEIs
    at_stake: float  #: US dollars that these may have cost
    oldest_pending: datetime | None  #: UTC; when the oldest order without its result was placed


def today(connection: Connection) -> Today:
    """Return what this UTC day has brought so far."""
    oldest = connection.execute(select(func.min(orders.c.order_date)).where(NOT_FINAL)).scalar()
    return Today(*_placed_today(connection), *at_stake(connection), oldest)


def _placed_today(
    connection: Connection, theirs: ColumnElement[bool] | None = None
) -> tuple[int, float, VerdictCounts]:
    """Return the orders of this UTC day, also those dated ahead, their US dollars, and their verdicts.

    The day is looked up first, then the batch of each sum: a condition on batches of years costs no more.
    """
    added = sums()
    query = select(added.c.verdict, func.sum(added.c.orders), func.sum(added.c.millionths))
    query = query.where(added.c.day >= utc_now().date().isoformat()).group_by(added.c.verdict)
    if theirs is not None:
        query = query.where(exists().where(batches.c.id == added.c.batch_id, theirs))
    rows = connection.execute(query).all()
    counts = {verdict: int(count) for verdict, count, _ in rows}
    return sum(counts.values()), sum(int(amount) for *_, amount in rows) * MILLIONTH, counts_of(counts)


def promised(connection: Connection, theirs: ColumnElement[bool] | None = None) -> float:
    """Return the US dollars that unfinished batches may still spend, and that items in doubt may have cost.

    theirs: a condition on batches; without it, all count.
    """
    waiting = _waiting(func.coalesce(func.sum(batches.c.unit_price), 0.0))
    waiting = waiting if theirs is None else waiting.where(theirs)
    return float(connection.execute(waiting).scalar_one()) + at_stake(connection, theirs)[1]


def _waiting(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return the SELECT of columns of the items that unfinished batches have yet to send, and of these batches."""
    is_waiting = (items.c.batch_id == batches.c.id) & (items.c.outcome == Outcome.WAITING)
    return select(*columns).select_from(batches).join(items, is_waiting).where(UNFINISHED)


def spent_or_promised_by_batch(connection: Connection, theirs: ColumnElement[bool]) -> dict[int, float]:
    """Return batch id → its part of spent_or_promised(); theirs: a condition on batches."""
    added, found = sums(), defaultdict[int, float](float)
    is_theirs = exists().where(batches.c.id == added.c.batch_id, theirs)
    placed = select(added.c.batch_id, func.total(added.c.millionths)).group_by(added.c.batch_id)
    for batch_id, millionths in connection.execute(
        placed.where(added.c.day >= utc_now().date().isoformat(), is_theirs)
    ):
        found[batch_id] += int(millionths) * MILLIONTH
    cost = batches.c.id, func.sum(batches.c.unit_price)
    for query in (_waiting(*cost), doubtful(*cost)):
        for batch_id, dollars in connection.execute(query.where(theirs).group_by(batches.c.id)):
            found[batch_id] += dollars
    return found
