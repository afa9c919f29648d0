"""What each call writes: the intent before it is sent, and its answer afterwards, many calls in one statement.

This is the hot path. A statement takes many rows, as one JSON text or as bound values, so that Python's lock does not
change hands once a row while 30 threads wait for it. Every change of state is guarded by the old state, and its row
count is checked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from database import Transaction, utc_now
from orders import Chunk, ChunkState, Item, ItemOutcome, Outcome, PlacedOrder, until_result
from schema import attempts, chunks, insert_rows, items, run_together, sql
from settings import MAIN_ACCOUNT
from storage.batch_states import start, touch, touch_or_finish
from storage.chunk_moves import end_attempts, take_out
from storage.doubt_moves import answer_if_settled
from storage.guards import Row, WrongStateError, expect

#: The time of a statement.
NOW = bindparam("now", type_=attempts.c.sent_at.type)
CLAIM = sql(
    "UPDATE chunks SET state = 'sending', attempt = attempt + 1, account = :account"
    " WHERE id IN (SELECT value FROM each(:ids AS INTEGER) given) AND state = 'planned'"
    " AND (account IS NULL OR account = :account)"
)
INTEND = sql(
    "INSERT INTO attempts (chunk_id, number, imeis, sent_at, account, after_order)"
    " SELECT id, attempt, size, :now, account, (SELECT coalesce(max(id), 0) FROM orders)"
    " FROM chunks WHERE id IN (SELECT value FROM each(:ids AS INTEGER) given) ORDER BY id"
).bindparams(NOW)
CLAIMED = sql(
    "SELECT c.id, c.batch_id, b.service_id, c.attempt,"
    " (SELECT max(a.id) FROM attempts a WHERE a.chunk_id = c.id) AS attempt_id,"
    " (SELECT '[' || json_list(i.id) || ',' || json_list(i.imei) || ']' FROM"
    "   (SELECT id, imei FROM items WHERE chunk_id = c.id ORDER BY id) i) AS items, c.doubt_attempt, c.cleared"
    " FROM chunks c JOIN batches b ON b.id = c.batch_id"
    " WHERE c.id IN (SELECT value FROM each(:ids AS INTEGER) given) ORDER BY c.id"
)
#: Each row is an OrderRow.
PLACE = (
    "INSERT INTO orders (order_id, imei, status, raw_response, attempt_id, batch_id, service_name, service_id, credits,"
    " order_date, created_at, updated_at, notes, account)"
    " SELECT given.order_id, given.imei, given.status, given.raw, given.attempt_id, b.id, b.service_name, b.service_id,"
    " b.unit_price, :now, :now, :now, :notes, :account"
    " FROM rows(:rows AS order_id TEXT, imei TEXT, status TEXT, raw TEXT, attempt_id INTEGER, batch_id INTEGER) given"
    " CROSS JOIN batches b ON b.id = given.batch_id WHERE true"
)
UNLESS_KNOWN = " ON CONFLICT (order_id) DO NOTHING"
#: Finds order ids that belong to another batch, IMEI, service or account already; is_same: only the batch differs. The
#: rows are (place of the call in the list, batch id, order id, IMEI).
KNOWN = sql(
    "SELECT place, imei, order_id, is_same FROM (SELECT given.place, given.imei, o.order_id,"
    "  o.imei IS NOT DISTINCT FROM given.imei AND coalesce(o.service_id, b.service_id) = b.service_id"
    "  AND o.account = :account AS is_same, o.batch_id IS NOT DISTINCT FROM b.id AS is_ours"
    "  FROM rows(:rows AS place INTEGER, batch_id INTEGER, order_id TEXT, imei TEXT) given"
    "  CROSS JOIN batches b ON b.id = given.batch_id CROSS JOIN orders o ON o.order_id = given.order_id) found"
    " WHERE NOT (is_same AND is_ours)"
)
ORDERED = sql(
    "UPDATE items SET outcome = 'ordered', message = NULL"
    " WHERE chunk_id IN (SELECT value FROM each(:ids AS INTEGER) given) AND outcome IN ('waiting', 'in_doubt')"
)
#: The rows are (chunk id, attempt): an answer to an earlier attempt must not move a chunk that was sent again.
ANSWERED = sql(
    "UPDATE chunks SET state = 'answered', message = '' FROM rows(:rows AS id INTEGER, attempt INTEGER) given"
    " WHERE chunks.id = given.id AND chunks.attempt = given.attempt AND chunks.state = 'sending'"
)
ENDED = sql(
    "UPDATE attempts SET ended_at = :now, result = 'answered'"
    " WHERE id IN (SELECT value FROM each(:attempts AS INTEGER) given)"
).bindparams(NOW)
#: The rows are (chunk id, item id, outcome, message).
DECIDED = sql(
    "UPDATE items SET outcome = given.outcome, message = given.message"
    " FROM rows(:rows AS chunk_id INTEGER, id INTEGER, outcome TEXT, message TEXT) given"
    " WHERE items.id = given.id AND items.chunk_id = given.chunk_id AND items.outcome IN ('waiting', 'in_doubt')"
)
#: The rows are (chunk id, attempt, state, message); states are those that a chunk may be in before.
JUDGED = sql(
    "UPDATE chunks SET state = given.state, message = given.message, cleared = false"
    " FROM rows(:rows AS id INTEGER, attempt INTEGER, state TEXT, message TEXT) given"
    " WHERE chunks.id = given.id AND chunks.attempt = given.attempt"
    " AND chunks.state IN (SELECT value FROM each(:states AS TEXT) state)"
)
#: What an item may be while an answer can still decide it.
OPEN_OUTCOMES = (Outcome.WAITING, Outcome.IN_DOUBT)
#: Order id, IMEI, status, the provider's record as JSON, attempt id and batch id.
OrderRow = tuple[str, str, str, str, int, int]
#: IMEI → its outcome and message, where the order id that the answer gives it is known already.
KnownOrders = Mapping[str, tuple[Outcome, str]]
NONE_KNOWN: KnownOrders = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What the answer to one call writes. The worker that read it encodes it, so that the writing thread only writes.

    Every IMEI of the chunk that is not in `others` is ordered.
    """

    chunk: Chunk
    orders: Sequence[OrderRow]  #: those that the answer names
    others: tuple[ItemOutcome, ...] = ()  #: outcomes of the IMEIs that it does not order
    message: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether every IMEI is ordered and there is nothing else to write."""
        return not self.others and not self.message


def record_of_orders(chunk: Chunk, placed: Sequence[PlacedOrder]) -> CallRecord:
    """Return the record of an answer that orders every IMEI of the call."""
    return CallRecord(chunk, encode_orders(chunk, placed))


def record_of(chunk: Chunk, item_outcomes: Sequence[ItemOutcome], message: str = "") -> CallRecord:
    """Return the record of an answer with an outcome for each IMEI. Raises WrongStateError if one is missing."""
    expect(len(item_outcomes) == len(chunk.items), f"{len(item_outcomes)} outcomes for {len(chunk.items)} items")
    others = tuple(one for one in item_outcomes if one.outcome is not Outcome.ORDERED)
    return CallRecord(chunk, encode_orders(chunk, _ordered(item_outcomes)), others, message)


def encode_orders(chunk: Chunk, placed: Sequence[PlacedOrder]) -> list[OrderRow]:
    """Return the rows to insert for these orders of a call. A final status is stored only when its result comes."""
    return [
        (
            order_id,
            imei,
            until_result(status),
            f'{{"id":{quoted(order_id)},"imei":{quoted(imei)},"status":{quoted(status)}}}',
            chunk.attempt_id,
            chunk.batch_id,
        )
        for order_id, imei, status in placed
    ]


def write_intents(connection: Transaction, chunk_ids: Sequence[int], account: str = MAIN_ACCOUNT) -> list[Chunk]:
    """Write the intents of calls: planned → sending, with a row in attempts. Raises WrongStateError.

    The caller commits before any call is made. From then on only this account sends and settles these chunks.
    """
    if not chunk_ids:
        return []
    ids, now = json.dumps(list(chunk_ids)), utc_now()
    claimed = connection.execute(CLAIM, {"ids": ids, "account": account}).rowcount
    expect(claimed == len(chunk_ids), f"{claimed} of {len(chunk_ids)} chunks were planned")
    connection.execute(INTEND, {"ids": ids, "now": now})
    found = [
        Chunk(
            row.id,
            row.batch_id,
            row.service_id,
            row.attempt,
            row.attempt_id,
            tuple(map(Item, *json.loads(row.items))),
            row.doubt_attempt,
            bool(row.cleared),
            account,
        )
        for row in connection.execute(CLAIMED, {"ids": ids})
    ]
    for batch_id in {chunk.batch_id for chunk in found}:
        start(connection, batch_id, now)
    return found


def record_answers(connection: Transaction, calls: Sequence[CallRecord], carefully: bool = False) -> None:
    """Record the answers to calls of one account: their orders, outcomes, and sending → answered or in_doubt.

    carefully: expect chunks that are in doubt already, because another process gave their calls up, and order ids that
    are known already. Without it, which is faster, both raise WrongStateError, and the transaction must be rolled back.

    An order id that belongs to another IMEI or service is not believed: its IMEI is in doubt. An order id that the same
    IMEI has from another batch is no new order: its IMEI is a duplicate. A chunk that a person has cleared loses this
    mark, because what is in doubt now needs a new decision.
    """
    if not calls:
        return
    known = _insert_orders(connection, [call.orders for call in calls], calls[0].chunk.account, carefully)
    clean, judged = list[Chunk](), list[tuple[CallRecord, KnownOrders]]()
    for place, call in enumerate(calls):
        if call.is_clean and not carefully and place not in known:
            clean.append(call.chunk)
        else:
            judged.append((call, known.get(place, NONE_KNOWN)))
    _write_clean(connection, clean)
    _write_judged(connection, judged, carefully)
    touch_or_finish(connection, *{call.chunk.batch_id for call in calls})


def adopt(connection: Transaction, chunk: Chunk, item_outcomes: Sequence[ItemOutcome]) -> None:
    """Record orders for some of the items of a chunk in doubt; it is answered when all are settled.

    The first attempt that may have placed them counts as the one that did. Raises WrongStateError.
    """
    _write_outcomes(connection, replace(chunk, attempt_id=chunk.first_attempt), item_outcomes)
    answer_if_settled(connection, chunk)
    touch(connection, chunk.batch_id)


def record_late(connection: Transaction, chunk: Chunk, item_outcomes: Sequence[ItemOutcome], message: str) -> None:
    """Record an answer to a chunk whose state another process has changed: all orders, and outcomes still undecided.

    Orders of IMEIs that were settled otherwise or sent again meanwhile are stored with message as a note, so that no
    order is lost.
    """
    this = (chunks.c.id == chunk.chunk_id) & (chunks.c.attempt == chunk.attempt)
    query = select(items.c.id).join(chunks, chunks.c.id == items.c.chunk_id)
    undecided = set(connection.execute(query.where(this, items.c.outcome.in_(OPEN_OUTCOMES))).scalars())
    written = _write_outcomes(connection, chunk, [v for v in item_outcomes if v.item_id in undecided])
    others = [v for v in item_outcomes if v.item_id not in undecided]
    _insert_of(connection, chunk, others, notes=message)
    _leave_out(connection, chunk, others, message)
    left = undecided - {item_id for item_id, outcome in written.items() if outcome is not Outcome.IN_DOUBT}
    state = ChunkState.IN_DOUBT if left else ChunkState.ANSWERED
    open_state = chunks.c.state.in_([ChunkState.SENDING, ChunkState.IN_DOUBT])
    connection.execute(update(chunks).where(this, open_state).values(state=state))
    end_attempts(connection, [(chunk.attempt_id, "answered late", message)])
    touch_or_finish(connection, chunk.batch_id)


def _leave_out(connection: Transaction, chunk: Chunk, others: Sequence[ItemOutcome], message: str) -> None:
    """Take IMEIs that an answer orders out of the planned calls of its batch, in which they would be paid again."""
    ordered = {v.item_id: v.imei for v in others if v.outcome is Outcome.ORDERED}
    query = select(items.c.id, items.c.imei, items.c.chunk_id).join(chunks, chunks.c.id == items.c.chunk_id)
    waiting = (items.c.outcome == Outcome.WAITING) & (chunks.c.state == ChunkState.PLANNED)
    query = query.where(items.c.batch_id == chunk.batch_id, waiting, items.c.id.in_(list(ordered)))
    for item in connection.execute(query).all():
        if item.imei == ordered[item.id]:
            take_out(connection, item.id, item.chunk_id, message)


def _insert_orders(
    connection: Transaction,
    calls: Sequence[Sequence[OrderRow]],
    account: str,
    carefully: bool,
    notes: str | None = None,
) -> Mapping[int, KnownOrders]:
    """Insert the orders of calls of one account. Return place of the call → what its known order ids mean.

    Raises WrongStateError if an order id is known already, unless carefully.
    """
    rows, values = list(chain.from_iterable(calls)), {"now": utc_now(), "notes": notes, "account": account}
    if not carefully:
        try:
            insert_rows(connection, PLACE, rows, **values)
        except IntegrityError as error:
            raise WrongStateError("an order id is known already") from error
        return {}
    if insert_rows(connection, PLACE + UNLESS_KNOWN, rows, **values) == len(rows):
        return {}
    named = [(place, row[5], row[0], row[1]) for place, call in enumerate(calls) for row in call]
    found: dict[int, dict[str, tuple[Outcome, str]]] = {}
    for row in connection.execute(KNOWN, {"rows": json.dumps(named), "account": account}):
        found.setdefault(row.place, {})[row.imei] = (
            (Outcome.DUPLICATE, f"the provider answers with order {row.order_id}, which is known already")
            if row.is_same
            else (Outcome.IN_DOUBT, f"the provider gave order {row.order_id} to another IMEI or service too")
        )
    return found


def _insert_of(
    connection: Transaction, chunk: Chunk, item_outcomes: Sequence[ItemOutcome], notes: str | None = None
) -> KnownOrders:
    """Insert the orders that outcomes name. Return IMEI → what its order id means, where it is known already."""
    calls = [encode_orders(chunk, _ordered(item_outcomes))]
    return _insert_orders(connection, calls, chunk.account, carefully=True, notes=notes).get(0, NONE_KNOWN)


def _ordered(item_outcomes: Sequence[ItemOutcome]) -> list[PlacedOrder]:
    ordered = [one for one in item_outcomes if one.outcome is Outcome.ORDERED]
    return [PlacedOrder(one.order_id or "", one.imei, one.status) for one in ordered]


def _write_clean(connection: Transaction, answered: Sequence[Chunk]) -> None:
    """Write the outcomes and states of calls whose every IMEI is ordered: sending → answered."""
    if not answered:
        return
    ids, count = json.dumps([chunk.chunk_id for chunk in answered]), sum(len(chunk.items) for chunk in answered)
    sent = json.dumps([(chunk.chunk_id, chunk.attempt) for chunk in answered])
    ended = json.dumps([chunk.attempt_id for chunk in answered])
    values = {"ids": ids, "rows": sent, "attempts": ended, "now": utc_now()}
    ordered, moved, _ = run_together(connection, (ORDERED, ANSWERED, ENDED), values)
    expect(ordered == count, f"{ordered} of {count} items were undecided")
    expect(moved == len(answered), f"{moved} of {len(answered)} chunks were on the wire")


def _write_judged(connection: Transaction, calls: Sequence[tuple[CallRecord, KnownOrders]], carefully: bool) -> None:
    """Write the outcomes and states of calls whose IMEIs differ in outcome: sending → answered or in_doubt."""
    if not calls:
        return
    decided, moves, ends = list[Row](), list[Row](), list[Row]()
    for call, known in calls:
        chunk, others = call.chunk, {item_outcome.item_id: item_outcome for item_outcome in call.others}
        item_outcomes = [others.get(item.item_id) or ItemOutcome(*item, Outcome.ORDERED) for item in chunk.items]
        rows = _outcomes(chunk, item_outcomes, known)
        doubtful = any(outcome is Outcome.IN_DOUBT for _, _, outcome, _ in rows)
        decided += rows
        state = ChunkState.IN_DOUBT if doubtful else ChunkState.ANSWERED
        moves.append((chunk.chunk_id, chunk.attempt, state, call.message))
        ends.append((chunk.attempt_id, "in doubt" if doubtful else "answered", call.message))
    _decide(connection, decided)
    states = [ChunkState.SENDING, ChunkState.IN_DOUBT] if carefully else [ChunkState.SENDING]
    moved = connection.execute(JUDGED, {"rows": json.dumps(moves), "states": json.dumps(states)}).rowcount
    expect(moved == len(moves), f"{moved} of {len(moves)} chunks were {' or '.join(states)}")
    end_attempts(connection, ends)


def _write_outcomes(connection: Transaction, chunk: Chunk, item_outcomes: Sequence[ItemOutcome]) -> dict[int, Outcome]:
    """Write orders and outcomes of items of one chunk. Return item id → outcome."""
    rows = _outcomes(chunk, item_outcomes, _insert_of(connection, chunk, item_outcomes))
    _decide(connection, rows)
    return {item_id: outcome for _, item_id, outcome, _ in rows}


def _outcomes(
    chunk: Chunk, item_outcomes: Sequence[ItemOutcome], known: KnownOrders
) -> list[tuple[int, int, Outcome, str | None]]:
    """Return (chunk id, item id, outcome, message) of each outcome, corrected where its order id is known already."""
    rows = []
    for item_outcome in item_outcomes:
        given = item_outcome.outcome, item_outcome.message
        outcome, message = known.get(item_outcome.imei, given) if item_outcome.outcome is Outcome.ORDERED else given
        rows.append((chunk.chunk_id, item_outcome.item_id, outcome, message or None))
    return rows


def _decide(connection: Transaction, rows: Sequence[Row]) -> None:
    """Write the outcome of each row: of items that are waiting or in_doubt. Raises WrongStateError."""
    written = connection.execute(DECIDED, {"rows": json.dumps(rows)}).rowcount if rows else 0
    expect(written == len(rows), f"{written} of {len(rows)} items were undecided")
