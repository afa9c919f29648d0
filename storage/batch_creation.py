"""How confirmed IMEIs become a batch, and how a person resumes one: money and repeats are checked where it is written.

This module plans and writes; it sends nothing.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from amounts import exceeds, money
from database import IMEIDatabase, utc_now
from orders import BatchState, OrderStatus, Outcome
from people import COMMAND_LINE, Actor
from schema import batches, items, orders, sql
from storage import account_chunks, account_store
from storage.batch_queries import planned_imeis, promised, spent_or_promised
from storage.batch_states import finish_if_done, resume
from storage.batch_uploads import upload_token
from storage.daily_limits import daily_limits, limit_objections, refusal
from storage.rows import WORDS, EarlierOrder

logger = logging.getLogger(__name__)

# Lists travel as one JSON text each: one statement for 20,000 rows, and no limit on the number of parameters.
#: One look into the unique index of open items for each IMEI. PostgreSQL would compare 20,000 IMEIs with 20,000 open
#: items one by one (half a minute, in which nobody else writes) as long as its statistics lag behind a new batch.
OPEN_ITEMS = sql(
    "SELECT imei, batch_id FROM (SELECT value AS imei, (SELECT batch_id FROM items WHERE service_id = :service"
    "  AND imei = given.value AND outcome IN ('waiting', 'in_doubt')) AS batch_id FROM each(:imeis AS TEXT) given) open"
    " WHERE batch_id IS NOT NULL"
)
EARLIER = (
    "order_id, status, order_date, coalesce(updated_at, created_at) AS changed_at, carrier, simlock, model, fmi,"
    f" blacklist, service_name, verdict, substr(coalesce(result_code_display, ''), 1, {WORDS}) AS words, id"
)
EARLIER_TIMES = {"order_date": orders.c.order_date.type, "changed_at": orders.c.updated_at.type}
#: The newest order first, by its date, and by its row id where there is none: files bring old orders later than new
#: ones. A file with the provider's local time may date an order hours ahead: no order is newer than its row.
NEWEST = (
    "CASE WHEN order_date > created_at THEN created_at ELSE order_date END DESC NULLS LAST,"
    " order_date DESC NULLS LAST, id DESC"
)
#: First the order that answers for an IMEI: one that waits for its result, else the newest.
ANSWERS = f"(order_id IS NOT NULL AND coalesce(status, '') NOT IN ('Completed', 'Rejected')) DESC, {NEWEST}"
#: coalesce() keeps SQLite from looking through every order of a service, or every completed one.
KNOWN_ORDERS = sql(
    f"SELECT imei, {EARLIER}, '' AS second_of FROM orders WHERE id IN (SELECT (SELECT id FROM orders"
    f"  WHERE imei = given.value AND coalesce(service_id, '') = :service ORDER BY {ANSWERS} LIMIT 1)"
    " FROM each(:imeis AS TEXT) given)"
).columns(**EARLIER_TIMES)
#: A result about another device than the ordered one says nothing about the second IMEI of the ordered one.
KNOWN_BY_SECOND_IMEI = sql(
    f"SELECT imei2 AS imei, {EARLIER}, imei AS second_of FROM orders WHERE id IN (SELECT (SELECT id FROM orders"
    "  WHERE imei2 IS NOT NULL AND imei2 = given.value AND imei != imei2 AND other_imei IS NULL"
    f"  AND coalesce(service_id, '') = :service ORDER BY {ANSWERS} LIMIT 1) FROM each(:imeis AS TEXT) given)"
).columns(**EARLIER_TIMES)
RESULTS_ELSEWHERE = sql(
    f"SELECT imei, {EARLIER}, '' AS second_of FROM orders WHERE id IN (SELECT (SELECT id FROM orders"
    "  WHERE imei = given.value AND service_id != :service AND coalesce(status, '') = 'Completed'"
    f" ORDER BY {NEWEST} LIMIT 1) FROM each(:imeis AS TEXT) given) ORDER BY id DESC"
).columns(**EARLIER_TIMES)
UNFINISHED = (
    select(batches.c.id)
    .where(
        batches.c.fingerprint == bindparam("fingerprint"),
        or_(
            batches.c.state != BatchState.FINISHED,
            exists().where(items.c.batch_id == batches.c.id, items.c.outcome == Outcome.IN_DOUBT)
            & (bindparam("new_ones") == 0),
        ),
    )
    .order_by(batches.c.state == BatchState.FINISHED, batches.c.id)
    .limit(1)
)
#: The rows are (IMEIs, account or NULL).
INSERT_CHUNKS = sql(
    "INSERT INTO chunks (batch_id, size, state, account)"
    " SELECT :batch, size, 'planned', account FROM rows(:rows AS size INTEGER, account TEXT) given ORDER BY key"
)
#: The ids of chunks that one statement inserts follow each other: there is one writer at a time.
FIRST_CHUNK = sql("SELECT min(id) FROM chunks WHERE batch_id = :batch")
INSERT_ITEMS = sql(
    "INSERT INTO items (batch_id, service_id, imei, source_row, outcome, message, chunk_id)"
    " SELECT :batch, :service, imei, source_row, outcome, message, :first + place"
    " FROM rows(:rows AS imei TEXT, source_row INTEGER, outcome TEXT, message TEXT, place INTEGER) given ORDER BY key"
)
#: The batch of a confirm token. An upload that was sent as a whole is not sent in parts too, and the other way round:
#: the token of a part begins with that of its upload and a slash, and "0" is the character after the slash.
CONFIRMED = sql(
    "SELECT id FROM batches WHERE confirm_token = :token OR confirm_token = :upload"
    " OR (confirm_token > :token || '/' AND confirm_token < :token || '0') ORDER BY id + 0 LIMIT 1"
)
#: The notice of a batch that waits to be started.
NOT_STARTED = "Not started yet."
#: Items that one statement inserts, so that a batch of any size takes the memory of these.
INSERTED_AT_ONCE = 10_000


class AndThen(Protocol):
    """Writes more in the transaction that creates a batch, or gives one back."""

    def __call__(self, connection: Connection, batch_id: int, is_new: bool, /) -> None:
        """is_new: whether it was created now."""


def write_no_more(_connection: Connection, _batch_id: int, _is_new: bool, /) -> None:
    """Write nothing beside the batch."""


class NotOrderedError(Exception):
    """Nothing was written, for a reason that came after the plan was made. str() is a sentence."""


class OverBudgetError(NotOrderedError):
    """A daily limit, the budget or the account does not hold the cost."""


class RefusedActorError(NotOrderedError):
    """Who orders was disabled, or revoked, since the request began."""


@dataclass(frozen=True, slots=True)
class Funds:
    """What may be spent, in US dollars; None: no limit, or not known."""

    budget: float | None = None  #: of this UTC day, promises included
    held: float | None = None  #: what the account holds


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What the user confirmed. imeis are (IMEI, source row) pairs."""

    label: str
    source: str  #: "upload", "paste", "list", "single", "scan", "command", "api" or "automation"
    service_id: str
    service_name: str
    unit_price: float  #: US dollars an IMEI
    imeis: Sequence[tuple[str, int | None]]
    fingerprint: str = ""  #: of service and IMEIs; an unfinished batch with the same one is continued
    confirm_token: str | None = None  #: one token makes one batch, however often it is sent
    recheck: bool = False  #: the user wants IMEIs with a result of the same service placed again
    resend_rejected: bool = False  #: the user wants IMEIs of rejected orders of the same service placed again
    seen: frozenset[int] | None = None  #: row ids of the earlier orders that these two mean; None: any
    budget: float | None = None  #: US dollars that this UTC day may cost, promises included; None: no limit
    held: float | None = None  #: US dollars that the account holds; None where that is not known
    customer: str = ""
    note: str = ""
    actor: Actor = COMMAND_LINE  #: who orders; the batch counts for the daily limits of this user and token
    starts: bool = True  #: False: nothing of it is sent before somebody resumes it


def fingerprint(service_id: str, imeis: Iterable[str]) -> str:
    """Return a name for a set of IMEIs with one service; their order does not matter."""
    digest = hashlib.sha256(service_id.encode())
    for imei in sorted(set(imeis)):
        digest.update(b"," + imei.encode())
    return digest.hexdigest()


def create_batch(
    database: IMEIDatabase,
    new: NewBatch,
    chunk_size: int = 100,
    and_then: AndThen = write_no_more,
) -> int:
    """Write batch, items and chunks in one transaction and return the batch id.

    A known confirm token, or an unfinished batch of the same fingerprint, gives that batch back (running again, at the
    confirmed price where that is higher); so does one in doubt, where nothing else is left to send. IMEIs that are in
    flight, in doubt or already ordered with this service become duplicates, even if that was after the plan was made.
    A batch that is given back still counts for who created it. and_then writes more in the same transaction.
    Raises OverBudgetError where another batch has taken the day's money since the plan was made, and RefusedActorError.
    """
    with database.write() as connection:
        return _create(connection, new, chunk_size, and_then)


def create_batches(database: IMEIDatabase, parts: Sequence[NewBatch], chunk_size: int) -> list[int]:
    """Write the parts of one upload as batches, all of them in one transaction or none; return their ids.

    Each part has a confirm token of its own, which begins with the upload's token and a slash. Money that one part
    takes is not there for the next. Otherwise, each is as create_batch makes it.
    """
    with database.write() as connection:
        return [_create(connection, new, chunk_size) for new in parts]


def _create(connection: Connection, new: NewBatch, chunk_size: int, and_then: AndThen = write_no_more) -> int:
    if words := refusal(connection, new.actor.user_id, new.actor.token_id):
        raise RefusedActorError(words)
    left_out = _left_out(connection, new)
    count = len({imei for imei, _ in new.imeis} - left_out.keys())
    earlier = _earlier_batch(connection, new, count)
    if earlier is not None:
        and_then(connection, earlier, False)
        return earlier
    _check_limits(connection, new, count)
    if new.starts:
        account_store.let_go_on(connection, time.time())
    batch_id = _insert_batch(connection, new)
    _insert_items(connection, batch_id, new, left_out, chunk_size)
    finish_if_done(connection, batch_id)
    if new.budget is not None and exceeds(spent_or_promised(connection), new.budget):
        raise OverBudgetError("Another batch has taken what was left of today's budget.")
    and_then(connection, batch_id, True)
    return batch_id


def _check_limits(connection: Connection, new: NewBatch, count: int) -> None:
    """Raise OverBudgetError where the user or the token may not order this many IMEIs today."""
    limits = daily_limits(connection, new.actor.user_id, new.actor.token_id)
    objections = limit_objections(limits, new.unit_price * count, new.actor.name)
    if objections:
        raise OverBudgetError(" ".join(objections))


def _earlier_batch(connection: Connection, new: NewBatch, new_ones: int) -> int | None:
    token = new.confirm_token
    if token is not None:
        known = connection.execute(CONFIRMED, {"token": token, "upload": upload_token(token)}).scalar()
        if known is not None:
            return int(known)
    if not new.fingerprint:
        return None
    unfinished = _unfinished(connection, new.fingerprint, new_ones)
    if unfinished is not None and new.starts:
        resume_batch(connection, unfinished, new.unit_price, Funds(new.budget, new.held))
    return unfinished


def resume_batch(connection: Connection, batch_id: int, price: float, funds: Funds) -> bool:
    """paused → running, for a person; return whether it was paused. Orders placed before keep what they cost.

    price is what the provider lists (US dollars an IMEI): the rest is ordered at that price where it is higher than the
    batch's. Raises OverBudgetError where the rest would then cost more than the funds hold, and at any price where it
    costs more than the daily limits of who created the batch allow: it counts for them, whoever resumes it. Accounts
    that a refusal has stopped try again.
    """
    columns = select(batches.c.unit_price, batches.c.service_id).where(batches.c.id == batch_id)
    row = connection.execute(columns).first()
    if row is None or not resume(connection, batch_id):
        return False
    account_store.let_go_on(connection, time.time())
    before, price = row.unit_price, account_store.price_for(connection, batch_id, row.service_id, price)
    rest = planned_imeis(connection, batch_id)
    if exceeds(price, before):
        connection.execute(update(batches).where(batches.c.id == batch_id).values(unit_price=price))
        costs = f"At the new price of {money(price)} an IMEI the rest of batch {batch_id}"
        _check_funds(price * rest, costs, (*_funds(connection, funds), *_limits_of(connection, batch_id)))
        logger.info("Batch %d goes on at %s an IMEI instead of %s", batch_id, money(price), money(before))
    elif rest:
        _check_funds(before * rest, f"The rest of batch {batch_id}", _limits_of(connection, batch_id))
    return True


def _check_funds(rest: float, what: str, funds: Iterable[tuple[float | None, float, str]]) -> None:
    """Raise OverBudgetError where one of the funds (what it holds, what is taken of it, its words) is overdrawn.

    rest: what the rest of a batch costs, in US dollars, which is taken already.
    """
    for held, taken, words in funds:
        if held is not None and exceeds(taken, held):
            left = money(max(0.0, held - taken + rest))
            raise OverBudgetError(f"{what} costs {money(rest)}, but {left} {words} is left.")


def _funds(connection: Connection, funds: Funds) -> Iterator[tuple[float | None, float, str]]:
    yield funds.budget, spent_or_promised(connection), "of today's budget"
    yield funds.held, promised(connection), "of the account's balance"


def _limits_of(connection: Connection, batch_id: int) -> Iterator[tuple[float | None, float, str]]:
    creator = connection.execute(select(batches.c.user_id, batches.c.token_id).where(batches.c.id == batch_id)).one()
    for limit in daily_limits(connection, *creator):
        yield limit.dollars, limit.used, f"of the daily limit of {limit.whose}"


def unfinished_batch(database: IMEIDatabase, fingerprint: str, new_ones: int) -> int | None:
    """The batch of this fingerprint that creating another would give back.

    new_ones: IMEIs that another batch would send. A batch that only waits for doubt to be settled sends none of them.
    """
    with database.read() as connection:
        return _unfinished(connection, fingerprint, new_ones)


def _unfinished(connection: Connection, fingerprint: str, new_ones: int) -> int | None:
    return connection.execute(UNFINISHED, {"fingerprint": fingerprint, "new_ones": new_ones}).scalar()


def _left_out(connection: Connection, new: NewBatch) -> dict[str, str]:
    """IMEI → why it must not be sent again."""
    imeis = [imei for imei, _ in new.imeis]
    found = {
        imei: f"in batch {batch_id} already, not answered yet"
        for imei, batch_id in open_items(connection, new.service_id, imeis).items()
    }
    again: dict[str, bool] = {OrderStatus.COMPLETED: new.recheck, OrderStatus.REJECTED: new.resend_rejected}
    for order in known_orders(connection, new.service_id, imeis):
        is_seen = new.seen is None or order.id in new.seen
        if not (is_seen and again.get(order.status or "", False)):
            what = f", which names it as IMEI 2 of {order.second_of}" if order.second_of else ""
            found.setdefault(order.imei, f"ordered already: order {order.order_id}{what}")
    return found


def open_items(connection: Connection, service_id: str, imeis: Sequence[str]) -> dict[str, int]:
    """Return IMEI → batch id of those that wait or are in doubt with this service."""
    return {
        row.imei: row.batch_id
        for row in connection.execute(OPEN_ITEMS, {"service": service_id, "imeis": json.dumps(list(imeis))})
    }


def known_orders(connection: Connection, service_id: str, imeis: Sequence[str]) -> list[EarlierOrder]:
    """Return one order of each IMEI with this service.

    The newest that waits for its result at the provider, else the newest. Without one, or where it was rejected, the
    order whose result names this IMEI as the second of the same phone.
    """
    given = {"service": service_id, "imeis": json.dumps(list(imeis))}
    found = {row.imei: EarlierOrder.from_row(row) for row in connection.execute(KNOWN_ORDERS, given)}
    asked = [imei for imei in imeis if imei not in found or found[imei].status == OrderStatus.REJECTED]
    given = {"service": service_id, "imeis": json.dumps(asked)}
    for row in connection.execute(KNOWN_BY_SECOND_IMEI, given):
        if row.imei not in found or row.status != OrderStatus.REJECTED:
            found[row.imei] = EarlierOrder.from_row(row)
    return list(found.values())


def results_elsewhere(connection: Connection, service_id: str, imeis: Sequence[str]) -> list[EarlierOrder]:
    """Return the newest completed order of each IMEI with any other service, the newest first."""
    given = {"service": service_id, "imeis": json.dumps(list(imeis))}
    return [EarlierOrder.from_row(row) for row in connection.execute(RESULTS_ELSEWHERE, given)]


def in_flight(database: IMEIDatabase, service_id: str, imeis: Sequence[str]) -> dict[str, int]:
    """IMEI → batch id of those that wait or are in doubt with this service."""
    with database.read() as connection:
        return open_items(connection, service_id, imeis)


def _insert_batch(connection: Connection, new: NewBatch) -> int:
    values = {
        "label": new.label,
        "customer": new.customer,
        "note": new.note,
        "source": new.source,
        "service_id": new.service_id,
        "service_name": new.service_name,
        "unit_price": new.unit_price,
        "total": len(new.imeis),
        "state": BatchState.RUNNING if new.starts else BatchState.PAUSED,
        "notice": "" if new.starts else NOT_STARTED,
        "confirm_token": new.confirm_token,
        "fingerprint": new.fingerprint,
        "created_at": utc_now(),
        "ordered_by": new.actor.name,
        "user_id": new.actor.user_id,
        "token_id": new.actor.token_id,
    }
    return int(connection.execute(insert(batches).values(**values).returning(batches.c.id)).scalar_one())


def _insert_items(
    connection: Connection, batch_id: int, new: NewBatch, left_out: Mapping[str, str], chunk_size: int
) -> None:
    """Insert the planned chunks, and the items: waiting ones into their chunk, duplicates into none.

    Where there are several accounts, what one has ordered from the service before is in chunks of that account.
    """
    waiting = {imei for imei, _ in new.imeis} - left_out.keys()
    is_shared = len(account_store.accounts(connection)) > 1
    homes = account_chunks.homes(connection, new.service_id, sorted(waiting)) if is_shared else {}
    counts, planned, places = Counter(homes.get(imei) for imei in waiting), list[tuple[int, str | None]](), {}
    for account in sorted(counts, key=lambda name: name or ""):
        places[account] = len(planned)
        sizes = (min(chunk_size, counts[account] - start) for start in range(0, counts[account], chunk_size))
        planned += [(size, account) for size in sizes]
    connection.execute(INSERT_CHUNKS, {"batch": batch_id, "rows": json.dumps(planned)})
    first = connection.execute(FIRST_CHUNK, {"batch": batch_id}).scalar()
    rows = _item_rows(new.imeis, left_out, chunk_size, homes, places)
    while part := list(islice(rows, INSERTED_AT_ONCE)):
        given = {"batch": batch_id, "service": new.service_id, "first": first, "rows": json.dumps(part)}
        connection.execute(INSERT_ITEMS, given)


def _item_rows(
    imeis: Iterable[tuple[str, int | None]],
    left_out: Mapping[str, str],
    chunk_size: int,
    homes: Mapping[str, str],
    places: Mapping[str | None, int],
) -> Iterator[tuple[str, int | None, str, str | None, int | None]]:
    """(IMEI, row, outcome, message, place of its chunk in the batch) of each; a repeated one belongs to no chunk.

    homes: IMEI → the account that it belongs to; places: account, or None for any → the place of its first chunk.
    """
    seen, waiting = dict(left_out), Counter[str | None]()
    fresh, duplicate = Outcome.WAITING.value, Outcome.DUPLICATE.value
    for imei, row in imeis:
        if imei in seen:
            yield imei, row, duplicate, seen[imei], None
            continue
        seen[imei] = "in this batch more than once; it is ordered once"
        account = homes.get(imei)
        yield imei, row, fresh, None, places[account] + waiting[account] // chunk_size
        waiting[account] += 1
