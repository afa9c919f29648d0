"""What the loop and the settlement of doubt read about calls: planned, sent and in doubt, and the orders around them.

Reads only.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, bindparam, case, exists, func, or_, select, text

from database import utc_now
from orders import (
    FINAL_STATUSES,
    SAYS_IT_EXISTS,
    BatchState,
    Chunk,
    ChunkState,
    Item,
    ItemOutcome,
    Outcome,
)
from schema import (
    OF_MORE_ACCOUNTS,
    OPEN_CALL,
    UNDECIDED,
    attempts,
    batches,
    chunks,
    each_of,
    items,
    orders,
    service_prices,
    services,
    sql,
)
from settings import MAIN_ACCOUNT
from storage.batch_states import OF_THIS_BATCH
from storage.handed_calls import database_clock

#: The result of an attempt that certainly placed nothing.
NOT_PLACED = "not placed"
#: The plus makes SQLite search by IMEI, which has few orders, and not through those of the whole batch.
OF_BATCH = text("+orders.batch_id = items.batch_id")
PLANNED = (
    select(chunks.c.id, chunks.c.size)
    .where(chunks.c.batch_id == OF_THIS_BATCH, chunks.c.state == ChunkState.PLANNED)
    .where(or_(chunks.c.account.is_(None), chunks.c.account == bindparam("whose")))
    .order_by(chunks.c.id)
    .limit(bindparam("most"))
)
#: The account that is asked about; None: all.
ASKED = bindparam("whose", type_=Text)
NEWEST_ATTEMPT = select(attempts.c.id).order_by(attempts.c.id.desc()).limit(1)
NEWEST_ATTEMPT_OF = NEWEST_ATTEMPT.where(attempts.c.account == bindparam("whose"))
#: What each look at the provider's list asks, most of it for each call in doubt: to make a statement takes longer than
#: to run it.
KNOWN_WHEN_SENT = select(attempts.c.after_order).where(attempts.c.id == bindparam("this_attempt"))
SENT_AT = select(attempts.c.sent_at).where(attempts.c.id == bindparam("this_attempt"))
AMONG_IDS = orders.c.order_id.in_(sql("SELECT value FROM each(:ids AS TEXT) listed"))
OF_ASKED = orders.c.account == func.coalesce(ASKED, orders.c.account)
OWNERS = select(orders.c.order_id, orders.c.imei, orders.c.attempt_id).where(AMONG_IDS, OF_ASKED)
SERVICES_OF = select(orders.c.order_id, orders.c.service_id).where(AMONG_IDS, OF_ASKED)
#: coalesce() keeps SQLite from the index of statuses, which holds all orders with a result.
FINAL_AMONG = select(orders.c.order_id).where(AMONG_IDS, func.coalesce(orders.c.status, "").in_(FINAL_STATUSES))
PLANNED_ITEMS = (
    select(
        items.c.service_id,
        items.c.imei,
        exists().where(
            and_(orders.c.imei == items.c.imei, orders.c.service_id == items.c.service_id),
            orders.c.id <= bindparam("last"),
            orders.c.status.in_(FINAL_STATUSES),
        ),
    )
    .join(chunks, chunks.c.id == items.c.chunk_id)
    .where(
        UNDECIDED,
        chunks.c.state == ChunkState.PLANNED,
        items.c.imei.in_(sql("SELECT value FROM each(:imeis AS TEXT) listed")),
    )
)
LABELS = select(services.c.service_id, services.c.title)
NEWEST_ORDER = select(func.coalesce(func.max(orders.c.id), 0))
OF_THIS_CHUNK = items.c.chunk_id == bindparam("this_chunk")
UNDECIDED_OF = (
    select(items.c.id, items.c.imei).where(OF_THIS_CHUNK, items.c.outcome == bindparam("which")).order_by(items.c.id)
)
CLAIMED_TO_EXIST = select(items.c.id).where(
    OF_THIS_CHUNK, items.c.outcome == Outcome.IN_DOUBT, items.c.message == SAYS_IT_EXISTS
)
RECORDED_LATE = (
    select(items.c.id, items.c.imei, func.max(orders.c.order_id).label("order_id"))
    .join(orders, and_(orders.c.imei == items.c.imei, OF_BATCH))
    .where(OF_THIS_CHUNK, items.c.outcome == Outcome.IN_DOUBT)
    .where(orders.c.attempt_id.is_not(None), ~orders.c.existed)
    .group_by(items.c.id)
)
#: The account that makes, or has made, the calls of a chunk.
CALLER: Any = func.coalesce(chunks.c.account, MAIN_ACCOUNT)


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """A call that may have placed orders which we do not know, without its IMEIs."""

    chunk_id: int
    batch_id: int
    service_id: str
    attempt_id: int  #: the attempt that may have placed them
    imeis: int  #: of that attempt
    waits: bool  #: False while it is being repeated
    paused: bool  #: its batch is paused
    cleared: bool  #: a person decided that it placed nothing


def planned_chunks(
    connection: Connection, batch_id: int, limit: int, account: str = MAIN_ACCOUNT
) -> list[tuple[int, int]]:
    """Return the next planned chunks of a batch that an account may claim, as (chunk id, size)."""
    found = connection.execute(PLANNED, {"this_batch": batch_id, "most": limit, "whose": account})
    return [(row.id, row.size) for row in found]


def open_chunks(connection: Connection, state: ChunkState, account: str | None = None) -> list[Chunk]:
    """Return the chunks in a state (sending or in_doubt) with their undecided items, oldest first.

    account: whose calls; None: all.
    """
    rows = connection.execute(_open_chunks(), {"which": state, "whose": account}).all()
    wanted = Outcome.IN_DOUBT if state is ChunkState.IN_DOUBT else Outcome.WAITING
    return [
        Chunk(
            row.id,
            row.batch_id,
            row.service_id,
            row.attempt,
            row.attempt_id or 0,
            _undecided(connection, row.id, wanted),
            row.doubt_attempt,
            row.cleared,
            row.account,
        )
        for row in rows
    ]


@cache
def _open_chunks() -> Select[Any]:
    """Select the fields of a chunk whose call is open."""
    call = chunks.c
    fields = (call.id, call.batch_id, call.attempt, call.doubt_attempt, call.cleared, batches.c.service_id)
    return (
        select(*fields, CALLER.label("account"), _doubtful_attempt().label("attempt_id"))
        .join(batches, batches.c.id == call.batch_id)
        .where(OPEN_CALL, call.state == bindparam("which"), func.coalesce(ASKED, CALLER) == CALLER)
        .order_by(call.id)
    )


def doubtful_calls(connection: Connection, account: str | None = None) -> list[DoubtfulCall]:
    """Return every call in doubt and every call on the wire that repeats one, oldest first, at little cost.

    account: whose calls; None: all.
    """
    return [DoubtfulCall(*row) for row in connection.execute(_doubtful_calls(), {"whose": account})]


@cache
def _doubtful_calls() -> Select[Any]:
    """Select the fields of DoubtfulCall. Made once, because it is asked four times a second."""
    waits = chunks.c.state == ChunkState.IN_DOUBT
    attempt_id = case((waits, _doubtful_attempt()), else_=chunks.c.doubt_attempt)
    open_ones = (
        select(chunks.c.id, chunks.c.batch_id, chunks.c.cleared, waits.label("waits"), attempt_id.label("attempt_id"))
        .where(OPEN_CALL, or_(waits, chunks.c.doubt_attempt.is_not(None)), func.coalesce(ASKED, CALLER) == CALLER)
        .subquery()
    )
    call, paused = open_ones.c, (batches.c.state == BatchState.PAUSED).label("paused")
    fields = (call.id, call.batch_id, batches.c.service_id, call.attempt_id, attempts.c.imeis, call.waits, paused)
    return (
        select(*fields, call.cleared)
        .join(batches, batches.c.id == call.batch_id)
        .join(attempts, attempts.c.id == call.attempt_id)
        .order_by(call.id)
    )


def _doubtful_attempt() -> Any:
    """Select the newest attempt that may have placed orders; those that certainly placed nothing do not count."""
    newest = select(func.max(attempts.c.id)).where(
        attempts.c.chunk_id == chunks.c.id, func.coalesce(attempts.c.result, "") != NOT_PLACED
    )
    return func.coalesce(newest.correlate(chunks).scalar_subquery(), chunks.c.doubt_attempt)


def _undecided(connection: Connection, chunk_id: int, outcome: Outcome) -> tuple[Item, ...]:
    rows = connection.execute(UNDECIDED_OF, {"this_chunk": chunk_id, "which": outcome})
    return tuple(Item(row.id, row.imei) for row in rows)


def service_labels(connection: Connection) -> dict[str, str]:
    """Return every id and title that names one stored service, in lower case → its service id.

    A blank title names none: an order whose service the provider does not write is not certainly of another one.
    """
    named = defaultdict[str, set[str]](set)
    for row in connection.execute(LABELS):
        for words in (row.service_id, row.title):
            named[words.strip().lower()].add(row.service_id)
    return {words: min(ids) for words, ids in named.items() if words and len(ids) == 1}


def newest_order(connection: Connection) -> int:
    """Return the newest row id of orders: what is recorded later has a larger one."""
    return int(connection.execute(NEWEST_ORDER).scalar_one())


def orders_before(
    connection: Connection, last: int, most: int, service_id: str | None = None, account: str = MAIN_ACCOUNT
) -> list[str]:
    """Return the newest `most` order ids of ours with an account up to row id `last`, of one service or of all."""
    query = _orders_before(account == MAIN_ACCOUNT, service_id is not None)
    given = {"whose": account, "last": last, "service": service_id, "most": most}
    return list(connection.execute(query, given).scalars())


@cache
def _orders_before(is_main: bool, of_one_service: bool) -> Select[Any]:
    """Select the ids of orders that calls of an account have placed; made once, as it is asked for each call."""
    query = select(orders.c.order_id).where(_placed_by(is_main), orders.c.id <= bindparam("last"))
    if of_one_service:
        query = query.where(orders.c.service_id == bindparam("service"))
    return query.order_by(orders.c.id.desc()).limit(bindparam("most"))


def _placed_by(is_main: bool) -> ColumnElement[bool]:
    """The condition that a call of an account has placed an order."""
    account = orders.c.account == bindparam("whose")
    whose = account if is_main else account & OF_MORE_ACCOUNTS
    return whose & orders.c.attempt_id.is_not(None) & ~orders.c.existed


def orders_since(
    connection: Connection, first: int, last: int, most: int, service_id: str, account: str
) -> dict[str, int]:
    """Return order id → attempt of the newest `most` orders of ours of a service, after row id `first` up to `last`.

    account: whose orders.
    """
    query = _orders_since(account == MAIN_ACCOUNT)
    given = {"whose": account, "service": service_id, "first": first, "last": last, "most": most}
    return {row.order_id: row.attempt_id for row in connection.execute(query, given)}


@cache
def _orders_since(is_main: bool) -> Select[Any]:
    """Select id and attempt of orders of a service that calls of an account have placed; made once."""
    return (
        select(orders.c.order_id, orders.c.attempt_id)
        .where(_placed_by(is_main), orders.c.service_id == bindparam("service"))
        .where(orders.c.id > bindparam("first"), orders.c.id <= bindparam("last"))
        .order_by(orders.c.id.desc())
        .limit(bindparam("most"))
    )


def known_when_sent(connection: Connection, attempt_id: int) -> int:
    """Return the newest row id of orders when an attempt was sent: the provider made those orders before it."""
    return int(connection.execute(KNOWN_WHEN_SENT, {"this_attempt": attempt_id}).scalar() or 0)


def sent_at(connection: Connection, attempt_id: int) -> datetime | None:
    """Return when an attempt was sent (UTC), by the wall clock."""
    return connection.execute(SENT_AT, {"this_attempt": attempt_id}).scalar()


def listed_price(connection: Connection, service_id: str, otherwise: float) -> float:
    """Return US dollars an IMEI of a service, as the provider last listed it, or `otherwise` where it is not listed."""
    price = connection.execute(select(services.c.price).where(services.c.service_id == service_id)).scalar()
    return otherwise if price is None else float(price)


def lowest_price(connection: Connection, service_id: str, since: datetime) -> float:
    """Return the lowest price (US dollars an IMEI) of a service that was seen from a moment (UTC) on; inf for none."""
    moment = since.replace(tzinfo=UTC).timestamp()
    before = select(func.max(service_prices.c.since)).where(
        service_prices.c.service_id == service_id, service_prices.c.since <= moment
    )
    query = select(func.min(service_prices.c.price)).where(
        service_prices.c.service_id == service_id,
        service_prices.c.since >= func.coalesce(before.scalar_subquery(), moment),
    )
    price = connection.execute(query).scalar()
    return math.inf if price is None else float(price)


def listed_prices(connection: Connection) -> dict[str, float]:
    """Return service id → US dollars an IMEI, as the provider last listed them."""
    return {row.service_id: row.price for row in connection.execute(select(services.c.service_id, services.c.price))}


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One IMEI that a running batch has not sent."""

    batch_id: int
    service_id: str
    imei: str
    created_at: datetime  #: UTC, of the batch


def planned_among(connection: Connection, bodies: Sequence[str]) -> list[PlannedItem]:
    """Return what running batches have planned of the IMEIs that begin with one of these 14 digits."""
    query = (
        select(items.c.batch_id, items.c.service_id, items.c.imei, batches.c.created_at)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .join(batches, batches.c.id == items.c.batch_id)
        .where(chunks.c.state == ChunkState.PLANNED, batches.c.state == BatchState.RUNNING)
        .where(UNDECIDED, func.substr(items.c.imei, 1, 14).in_(each_of(bodies)))
        .order_by(items.c.id)
    )
    return [PlannedItem(*row) for row in connection.execute(query)]


def claimed_to_exist(connection: Connection, chunk_id: int) -> frozenset[int]:
    """Return the items in doubt of a chunk for which the provider answered that it has an order."""
    return frozenset(connection.execute(CLAIMED_TO_EXIST, {"this_chunk": chunk_id}).scalars())


def recorded_late(connection: Connection, chunk: Chunk) -> list[ItemOutcome]:
    """Return an outcome for each item in doubt of a chunk whose order record_late stored after the item moved here."""
    words = "an answer that came late named its order"
    return [
        ItemOutcome(row.id, row.imei, Outcome.ORDERED, row.order_id, message=words)
        for row in connection.execute(RECORDED_LATE, {"this_chunk": chunk.chunk_id})
    ]


def attempt_message(connection: Connection, attempt_id: int) -> str:
    """Return what was written about the end of an attempt: the provider's text, where there is one."""
    return str(connection.execute(select(attempts.c.message).where(attempts.c.id == attempt_id)).scalar() or "")


def seconds_since(connection: Connection, attempt_id: int) -> float:
    """Return the seconds since an attempt was sent; never negative.

    A call that a job has made is measured by the clock of the database: machines may differ, and it waits for its job.
    """
    row = connection.execute(select(attempts.c.sent_at, attempts.c.begun_at).where(attempts.c.id == attempt_id)).first()
    if row is None:
        return 0.0
    if row.begun_at is not None:
        return max(0.0, database_clock(connection) - float(row.begun_at))
    return max(0.0, float((utc_now() - row.sent_at).total_seconds()))


def attempt_ages(connection: Connection, seconds: float, account: str = MAIN_ACCOUNT) -> list[float]:
    """Return how many seconds ago each call of an account of the last seconds began, by the wall clock.

    0 for a call that began ahead of it, because the clock was set back.
    """
    now = utc_now()
    since = (attempts.c.sent_at > now - timedelta(seconds=seconds)) & (attempts.c.account == account)
    recent = connection.execute(select(attempts.c.sent_at).where(since)).scalars()
    return [max(0.0, (now - sent_at).total_seconds()) for sent_at in recent]


def newest_attempt(connection: Connection, account: str | None = None) -> int:
    """Return the id of the newest attempt, of an account or of all; 0: none. Every later one begins after now."""
    query = NEWEST_ATTEMPT if account is None else NEWEST_ATTEMPT_OF
    return int(connection.execute(query, {"whose": account}).scalar() or 0)


def order_owners(
    connection: Connection, order_ids: Sequence[str], account: str | None = None
) -> dict[str, tuple[str, int]]:
    """Return order id → (IMEI, attempt id that placed it or 0), for those of order_ids that we know.

    account: whose orders; None: all.
    """
    rows = connection.execute(OWNERS, {"ids": json.dumps(list(order_ids)), "whose": account})
    return {order_id: (imei, attempt_id or 0) for order_id, imei, attempt_id in rows}


def services_of(connection: Connection, order_ids: Sequence[str], account: str | None = None) -> dict[str, str]:
    """Return order id → service id, for those of order_ids that we know with their service.

    account: whose orders; None: all.
    """
    rows = connection.execute(SERVICES_OF, {"ids": json.dumps(list(order_ids)), "whose": account})
    return {order_id: service_id for order_id, service_id in rows if service_id}


def final_among(connection: Connection, order_ids: Sequence[str]) -> list[str]:
    """Return those of order_ids that we know with their result."""
    return list(connection.execute(FINAL_AMONG, {"ids": json.dumps(list(order_ids))}).scalars())


def planned_items(connection: Connection, imeis: Sequence[str], last: int) -> list[tuple[str, str, bool]]:
    """Return what is planned of these: (service id, IMEI, whether an order up to row id `last` is final already)."""
    rows = connection.execute(PLANNED_ITEMS, {"imeis": json.dumps(list(imeis)), "last": last})
    return [(row[0], row[1], bool(row[2])) for row in rows]


def of_account(account: str) -> ColumnElement[bool]:
    """The condition that an account has an order; for another one than the main one, in the words of the index."""
    whose = orders.c.account == account
    return whose if account == MAIN_ACCOUNT else whose & OF_MORE_ACCOUNTS
