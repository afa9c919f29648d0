"""What an audit reads of our records, and what a rebuild writes into them, one transaction each.

This module knows no HTTP and judges nothing; results/auditing.py compares, and decides which values to write.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, or_, select, true, update

from database import IMEIDatabase
from orders import FOUND_IN_LIST, BatchState, Chunk, ChunkState, ItemOutcome, Outcome
from schema import OPEN_CALL, UNDECIDED, attempts, batches, chunks, each_of, items, orders, services
from settings import MAIN_ACCOUNT
from storage import balance_store, batch_states, call_queries, call_records, chunk_moves
from storage.balance_store import Reading
from storage.batch_doubt import at_stake
from storage.verdict_store import grade_orders, grade_rows

#: Orders written in one transaction.
RESTORED_AT_ONCE = 500
#: The notes of a restored order: where it was found.
FROM_LIST = "restored from the provider's list; the date is the provider's, of an unknown time zone"
FROM_ANSWER = "restored from an answer kept on disk"
#: How many orders from before a balance reading show how far the provider had counted its ids by then.
NEWEST = 100


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

    orders: tuple[OurOrder, ...]  #: those since the date asked for, those without one, those of the ids asked for
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
    left: int = 0  #: in doubt or on the wire: the leader settles them


def read_records(
    database: IMEIDatabase, since: datetime | None, order_ids: Sequence[str], account: str | None = None
) -> Records:
    """Return our orders since a moment (UTC; None for all) or without a date, those of order_ids, and what is open.

    account: whose orders, and whose calls; None: all.
    """
    whose: ColumnElement[bool] = true() if account is None else call_queries.of_account(account)
    with database.read() as connection:
        found = {row.id: OurOrder(*row) for row in connection.execute(_window(since).where(whose))}
        if since is not None:
            named = _columns().where(orders.c.order_id.in_(each_of(order_ids)), whose)
            found |= {row.id: OurOrder(*row) for row in connection.execute(named)}
        theirs = None if account is None else account == call_queries.CALLER
        in_doubt, cost_in_doubt = at_stake(connection, theirs)
        prices = connection.execute(select(services.c.service_id, services.c.price))
        return Records(
            orders=tuple(found.values()),
            under_way=_under_way(connection),
            labels=call_queries.service_labels(connection),
            prices={row.service_id: row.price for row in prices},
            in_doubt=in_doubt,
            at_stake=cost_in_doubt,
        )


def _columns() -> Select[Any]:
    names = ("id", "order_id", "imei", "service_id", "credits", "order_date", "batch_id")
    return select(*(orders.c[name] for name in names))


def _window(since: datetime | None) -> Select[Any]:
    if since is None:
        return _columns()
    return _columns().where(or_(orders.c.order_date >= since, orders.c.order_date.is_(None)))


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


class KeptOrder(NamedTuple):
    """An order that an answer kept on disk names."""

    batch_id: int  #: the folder of the answer; an older copy of the database may use the number for another batch
    order_id: str
    imei: str


class PlannedOrder(NamedTuple):
    """What a batch of ours asked for, for one IMEI of it."""

    service_id: str
    service_name: str
    unit_price: float  #: US dollars
    created_at: datetime  #: UTC, of the batch


class BalanceFall(NamedTuple):
    """What the account lost between two moments without a call on the wire, in US dollars."""

    since: datetime  #: UTC
    fell: float  #: negative where it rose
    known: float  #: what our orders of the time between cost
    refundable: float  #: what the provider may have paid back, for orders rejected since


class Quiet(NamedTuple):
    """A moment without a call of an account on the wire."""

    newest_attempt: int  #: of the account
    newest_rejection: int  #: the newest row id of rejections


def quiet_moment(database: IMEIDatabase, account: str) -> Quiet | None:
    """Return this moment while no call of an account is on the wire; None while one is."""
    with database.read() as connection:
        newest = _newest_attempt_if_quiet(connection, account)
        return None if newest is None else Quiet(newest, balance_store.newest_rejection(connection))


def balance_fall(
    database: IMEIDatabase, since: datetime | None, credits: float, before: Quiet | None, account: str
) -> BalanceFall | None:
    """Return the fall since the first reading in the window (since in UTC; None for all); None without two moments.

    credits is what the account held after quiet_moment() gave `before`. It counts, and is kept for later audits, where
    no call has begun meanwhile; else the newest reading that is kept takes its place.
    """
    with database.write() as connection:
        first = balance_store.first_reading(connection, since, account)
        quiet = before is not None and _newest_attempt_if_quiet(connection, account) == before.newest_attempt
        until = None if quiet else balance_store.newest_reading(connection, account)
        if quiet and before is not None and not _is_anything_open(connection, account):
            balance_store.record_reading(connection, credits, account, before.newest_rejection)
        if first is None or not (quiet or (until and until.reading_id > first.reading_id)):
            return None
        spending = balance_store.spent_since(connection, first, until)
        known = spending.known + restored_since(connection, first, until)
        fell = first.credits - (until.credits if until else credits)
        return BalanceFall(first.read_at, fell, known, spending.refundable)


def _newest_attempt_if_quiet(connection: Connection, account: str) -> int | None:
    mine = account == call_queries.CALLER
    sending = select(chunks.c.id).where(OPEN_CALL, chunks.c.state == ChunkState.SENDING, mine).limit(1)
    return None if connection.execute(sending).first() else call_queries.newest_attempt(connection, account)


def _is_anything_open(connection: Connection, account: str) -> bool:
    """Return whether a call of an account is on the wire or in doubt: the provider may still charge for it."""
    mine = account == call_queries.CALLER
    return connection.execute(select(chunks.c.id).where(OPEN_CALL, mine).limit(1)).first() is not None


def restored_since(
    connection: Connection, first: Reading, until: Reading | None = None, is_proof: bool = False
) -> float:
    """Return the US dollars of the orders that a rebuild restored and that the provider took after a reading.

    They name no call of ours; their ids tell, as the provider counts them up. is_proof: only where they certainly do,
    because what counts as older explains no charge.
    """
    restored = orders.c.notes.in_([FROM_LIST, FROM_ANSWER]) & orders.c.attempt_id.is_(None)
    restored &= orders.c.account == first.account
    restored &= orders.c.id > first.after_order
    if until is not None:
        restored &= orders.c.id <= until.after_order
    rows = connection.execute(select(orders.c.order_id, orders.c.credits).where(restored)).all()
    if not rows:
        return 0.0
    before = select(orders.c.order_id).where(orders.c.attempt_id.is_not(None), orders.c.id <= first.after_order)
    older = connection.execute(before.order_by(orders.c.id.desc()).limit(NEWEST)).scalars().all()
    last = max((int(order_id) for order_id in older if order_id and order_id.isdecimal()), default=0)
    if is_proof:
        placed = orders.c.attempt_id.is_not(None) & (orders.c.account == first.account)
        since = select(orders.c.order_id).where(placed, orders.c.id > first.after_order)
        if not (older and _count_up(older, -1) and _count_up(connection.execute(since).scalars(), last)):
            return 0.0
        rows = [row for row in rows if row.order_id.isdecimal()]
    return sum(row.credits or 0.0 for row in rows if not row.order_id.isdecimal() or int(row.order_id) > last)


def _count_up(order_ids: Iterable[str | None], last: int) -> bool:
    """Return whether all these ids are numbers larger than `last`."""
    return all(order_id and order_id.isdecimal() and int(order_id) > last for order_id in order_ids)


def finished_with_doubt(database: IMEIDatabase, since: datetime) -> bool:
    """Return whether a batch has finished after since (UTC) of which a call was in doubt."""
    query = select(
        exists()
        .where(batches.c.state == BatchState.FINISHED, batches.c.finished_at > since)
        .where(chunks.c.batch_id == batches.c.id, attempts.c.chunk_id == chunks.c.id)
        .where(attempts.c.result == "in doubt")
    )
    with database.read() as connection:
        return bool(connection.execute(query).scalar_one())


def had_doubt(database: IMEIDatabase, batch_id: int) -> bool:
    """Return whether a call of this batch was ever in doubt, however it was settled."""
    of_batch = exists().where(chunks.c.batch_id == batch_id, attempts.c.chunk_id == chunks.c.id)
    with database.read() as connection:
        return bool(connection.execute(select(of_batch.where(attempts.c.result == "in doubt"))).scalar_one())


def planned_by(database: IMEIDatabase, kept: Sequence[KeptOrder]) -> dict[KeptOrder, PlannedOrder]:
    """Return what the batch of each kept order asked for, where the database has the batch and the IMEI in it."""
    found: dict[KeptOrder, PlannedOrder] = {}
    columns = (batches.c.service_id, batches.c.service_name, batches.c.unit_price, batches.c.created_at)
    with database.read() as connection:
        for batch_id in {order.batch_id for order in kept}:
            batch = connection.execute(select(*columns).where(batches.c.id == batch_id)).first()
            if batch is None:
                continue
            imeis = set(connection.execute(select(items.c.imei).where(items.c.batch_id == batch_id)).scalars())
            of_batch = [order for order in kept if order.batch_id == batch_id and order.imei in imeis]
            found |= dict.fromkeys(of_batch, PlannedOrder(*batch))
    return found


def existing_batches(database: IMEIDatabase, batch_ids: Iterable[int]) -> frozenset[int]:
    """Return those of these batches that the database has."""
    query = select(batches.c.id).where(batches.c.id.in_(each_of(batch_ids, "INTEGER")))
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def name_services(database: IMEIDatabase, order_ids: Sequence[str]) -> None:
    """Write the service id of those of these orders that have only its title, as after an import."""
    with database.write() as connection:
        labels = call_queries.service_labels(connection)
        titles = select(orders.c.id, func.coalesce(orders.c.service_name, ""))
        titles = titles.where(func.unindexed(orders.c.service_id).is_(None))  # else SQLite reads all of them
        unnamed = connection.execute(titles.where(orders.c.order_id.in_(each_of(order_ids)))).all()
        named = {row: labels.get(title.strip().lower()) for row, title in unnamed}
        for row, service_id in named.items():
            if service_id is not None:
                connection.execute(update(orders).where(orders.c.id == row).values(service_id=service_id))
        grade_rows(connection, named)


def unknown_among(database: IMEIDatabase, kept: Sequence[KeptOrder]) -> list[KeptOrder]:
    """Return the kept orders whose IMEI could be paid again.

    Their id is not known, or without a service; or it is known for another IMEI, and nothing is known of theirs.
    """
    known = select(orders.c.order_id, orders.c.imei, orders.c.service_id)
    known = known.where(orders.c.order_id.in_(each_of(order.order_id for order in kept)))
    with database.read() as connection:
        owners = {row.order_id: row for row in connection.execute(known)}
        others = each_of(order.imei for order in kept if _is_of_another(order, owners.get(order.order_id)))
        ordered = select(orders.c.imei).where(orders.c.imei.in_(others))
        open_call = items.join(chunks, chunks.c.id == items.c.chunk_id)
        doubtful = select(items.c.imei).select_from(open_call).where(OPEN_CALL, UNDECIDED, items.c.imei.in_(others))
        covered = {imei for query in (ordered, doubtful) for imei in connection.execute(query).scalars()}
    return [order for order in kept if _is_unknown(order, owners.get(order.order_id), covered)]


def _is_of_another(order: KeptOrder, owner: Any) -> bool:
    return owner is not None and owner.imei[:14] != order.imei[:14]


def _is_unknown(order: KeptOrder, owner: Any, covered: set[str]) -> bool:
    if owner is None or owner.service_id is None:
        return True
    return _is_of_another(order, owner) and order.imei not in covered


def count_unknown_calls(database: IMEIDatabase, batch_id: int, chunk_ids: Sequence[int]) -> int:
    """Return how many of these calls of a batch the database does not have: the leader puts what it has in doubt."""
    asked = chunks.c.id.in_(each_of(chunk_ids, "INTEGER"))
    with database.read() as connection:
        of_batch = connection.execute(select(chunks.c.id).where(asked, chunks.c.batch_id == batch_id))
        known = set(of_batch.scalars())
    return sum(1 for chunk_id in chunk_ids if chunk_id not in known)


def count_unexplained(database: IMEIDatabase, listed: Sequence[tuple[str, str]]) -> int:
    """Return how many listed orders (id or "", IMEI) are not known though their IMEI is planned to be sent."""
    with database.read() as connection:
        known = call_queries.order_owners(connection, [order_id for order_id, _ in listed if order_id])
        unknown = [imei for order_id, imei in listed if imei and order_id not in known]
        planned = {imei for _, imei, _ in call_queries.planned_items(connection, unknown, 0)}
    return sum(1 for imei in unknown if imei in planned)


def count_unnamed(database: IMEIDatabase, order_ids: Sequence[str]) -> int:
    """Return how many of these orders were restored from a list without their service: a new order repeats them."""
    unnamed = func.unindexed(orders.c.service_id).is_(None) & (orders.c.notes == FROM_LIST)
    query = select(func.count()).select_from(orders).where(orders.c.order_id.in_(each_of(order_ids)), unnamed)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def reaches_back(database: IMEIDatabase, account: str, order_ids: Sequence[str]) -> bool:
    """Return whether a list of these orders of an account shows one that the database knows from when it was placed.

    What a rebuild has restored does not count. Where the database knows none, only an empty list is known to be whole.
    """
    own = call_queries.of_account(account) & orders.c.order_id.is_not(None)
    own &= func.coalesce(orders.c.notes, "").not_in([FROM_LIST, FROM_ANSWER])
    query = select(orders.c.id).where(own).limit(1)
    listed = query.where(orders.c.order_id.in_(each_of(order_ids)))
    with database.read() as connection:
        return connection.execute(listed).first() is not None or (
            not order_ids and connection.execute(query).first() is None
        )


def restore(database: IMEIDatabase, rows: Sequence[Mapping[str, Any]]) -> Restored:
    """Write these orders (columns of the orders table), as far as their ids are new. Safe to repeat.

    An IMEI of a call that is planned is taken out of it, so that it is not paid again. One that is in doubt or
    on the wire is left: the leader adopts its order, and would send it again if the order were known. An IMEI in doubt
    whose order a kept answer names is settled by it: the leader may never see that order on the list.
    """
    done = Restored()
    for start in range(0, len(rows), RESTORED_AT_ONCE):
        with database.write() as connection:
            for row in rows[start : start + RESTORED_AT_ONCE]:
                done = Restored(*(a + b for a, b in zip(done, _restore(connection, row), strict=True)))
            grade_orders(connection, [row["order_id"] for row in rows[start : start + RESTORED_AT_ONCE]])
    return done


def _restore(connection: Connection, row: Mapping[str, Any]) -> Restored:
    known = connection.execute(select(orders.c.id).where(orders.c.order_id == row["order_id"])).scalar()
    if known is not None:
        _name_service(connection, known, row)
        return Restored()
    item = _open_item(connection, row)
    if item is not None and item.state == ChunkState.IN_DOUBT and row["notes"] == FROM_ANSWER:
        _adopt(connection, item, row)
        return Restored(new=1)
    if item is not None and item.state != ChunkState.PLANNED:
        return Restored(left=1)
    if item is None and _link(connection, row):
        return Restored(linked=1)
    if item is None:
        connection.execute(insert(orders).values(**row))
        return Restored(new=1)
    connection.execute(insert(orders).values(**{**row, "service_id": item.service_id, "batch_id": item.batch_id}))
    _take_over(connection, item, FOUND_IN_LIST if row["notes"] == FROM_LIST else row["notes"])
    return Restored(new=1, taken_over=1)


def _open_item(connection: Connection, row: Mapping[str, Any]) -> Any:
    """Return the undecided item of this IMEI, of any service where the order's own is not known; else None."""
    query = (
        select(items.c.id, items.c.batch_id, items.c.chunk_id, items.c.service_id, chunks.c.state, chunks.c.attempt)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(items.c.imei == row["imei"], UNDECIDED)
    )
    if row["service_id"]:
        query = query.where(items.c.service_id == row["service_id"])
    return connection.execute(query.order_by(chunks.c.state != ChunkState.IN_DOUBT, items.c.id)).first()


def _name_service(connection: Connection, order_row: int, row: Mapping[str, Any]) -> None:
    """Give an order of ours whose service was not known the service that is known now."""
    if row["service_id"]:
        unnamed = update(orders).where(orders.c.id == order_row, orders.c.service_id.is_(None))
        connection.execute(unnamed.values(service_id=row["service_id"], service_name=row["service_name"]))


def _link(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Give the order's id to an order of ours without one, of the same IMEI and service. Returns whether."""
    nameless = orders.c.order_id.is_(None) & (orders.c.imei == row["imei"])
    nameless &= orders.c.service_id == row["service_id"]
    first = select(func.min(orders.c.id)).where(nameless).scalar_subquery()
    values = {"order_id": row["order_id"], "account": row.get("account", MAIN_ACCOUNT)}
    linked = connection.execute(update(orders).where(orders.c.id == first).values(**values))
    return linked.rowcount == 1


def _adopt(connection: Connection, item: Any, row: Mapping[str, Any]) -> None:
    """in_doubt → ordered for an item whose order a kept answer names."""
    newest = select(func.coalesce(func.max(attempts.c.id), 0)).where(attempts.c.chunk_id == item.chunk_id)
    attempt_id = int(connection.execute(newest).scalar_one())
    account = row.get("account", MAIN_ACCOUNT)
    chunk = Chunk(item.chunk_id, item.batch_id, item.service_id, item.attempt, attempt_id, (), account=account)
    item_outcome = ItemOutcome(item.id, row["imei"], Outcome.ORDERED, row["order_id"], row["status"], FROM_ANSWER)
    call_records.adopt(connection, chunk, [item_outcome])


def _take_over(connection: Connection, item: Any, message: str) -> None:
    """waiting → ordered for an item of a planned chunk, which goes on without it or ends."""
    chunk_moves.take_out(connection, item.id, item.chunk_id, message)
    batch_states.touch_or_finish(connection, item.batch_id)
