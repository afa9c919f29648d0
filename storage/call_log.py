"""The two moves of every call, for many calls in one statement each: the intent before, the clean answer after.

This is the hot path. A statement takes its rows as one JSON text (SQLite's json_each), so that SQLite works through
them without giving Python's lock back and forth once a row while 30 threads want it. What is not a clean answer goes
through batch_store.record, one chunk at a time. Every move is guarded by the old state and its row count is read.
"""

import json
from collections.abc import Sequence

from sqlalchemy import text

from database import Transaction, utc_now
from orders import Chunk, Item
from storage.batch_store import expect, finish_if_done, touch

CLAIM = text(
    "UPDATE chunks SET state = 'sending', attempt = attempt + 1"
    " WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'planned'"
)
INTEND = text(
    "INSERT INTO attempts (chunk_id, number, imeis, ended_before, sent_at, after_order)"
    " SELECT id, attempt, size, coalesce(:bound, (SELECT coalesce(max(id), 0) + 1 FROM attempts)), :now,"
    "  (SELECT coalesce(max(id), 0) FROM orders)"
    " FROM chunks WHERE id IN (SELECT value FROM json_each(:ids))"
)
CLAIMED = text(
    "SELECT c.id, c.batch_id, b.service_id, c.attempt,"
    " (SELECT max(a.id) FROM attempts a WHERE a.chunk_id = c.id) AS attempt_id,"
    " (SELECT json_group_array(json_array(i.id, i.imei)) FROM"
    "   (SELECT id, imei FROM items WHERE chunk_id = c.id ORDER BY id) i) AS items"
    " FROM chunks c JOIN batches b ON b.id = c.batch_id WHERE c.id IN (SELECT value FROM json_each(:ids)) ORDER BY c.id"
)
PLACE = text(
    "INSERT INTO orders (order_id, imei, status, raw_response, service_name, service_id, credits,"
    " order_date, created_at, updated_at, batch_id, attempt_id)"
    " SELECT listed.value ->> 'id', listed.value ->> 'imei', listed.value ->> 'status', listed.value,"
    "  b.service_name, b.service_id, b.unit_price, :now, :now, :now, b.id, a.id"
    " FROM json_each(:answers) v CROSS JOIN attempts a ON a.id = v.value ->> 0"
    " CROSS JOIN chunks c ON c.id = a.chunk_id CROSS JOIN batches b ON b.id = c.batch_id"
    " CROSS JOIN json_each(v.value, '$[1]') listed"
    " WHERE true ON CONFLICT (order_id) DO NOTHING"
)
ORDERED = text(
    "UPDATE items SET outcome = 'ordered', message = NULL"
    " WHERE chunk_id IN (SELECT value FROM json_each(:ids)) AND outcome IN ('waiting', 'in_doubt')"
)
ANSWERED = text(
    "UPDATE chunks SET state = 'answered', message = ''"
    " WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'sending'"
)
ENDED = text(
    "UPDATE attempts SET ended_at = :now, result = 'answered' WHERE id IN (SELECT value FROM json_each(:attempts))"
)


def write_intents(connection: Transaction, chunk_ids: Sequence[int], ended_before: int | None = None) -> list[Chunk]:
    """planned → sending for each, with a row in attempts, committed before any call. Raises WrongStateError.

    ended_before: every attempt with a smaller id has ended already; None: every attempt so far. It orders calls without
    trusting a clock.
    """
    if not chunk_ids:
        return []
    ids, now = json.dumps(list(chunk_ids)), utc_now()
    claimed = connection.execute(CLAIM, {"ids": ids}).rowcount
    expect(claimed == len(chunk_ids), f"{claimed} of {len(chunk_ids)} chunks were planned")
    connection.execute(INTEND, {"ids": ids, "bound": ended_before, "now": now.isoformat(" ")})
    found = [
        Chunk(row[0], row[1], row[2], row[3], row[4], tuple(map(Item._make, json.loads(row[5]))))
        for row in connection.execute(CLAIMED, {"ids": ids})
    ]
    for batch_id in {chunk.batch_id for chunk in found}:
        touch(connection, batch_id, starting=now)
    return found


def record_clean(connection: Transaction, answered: Sequence[tuple[Chunk, str]]) -> bool:
    """sending → answered for chunks whose every IMEI was ordered once, with orders and outcomes.

    Each comes with the provider's records, a JSON list of id, imei, status. Returns False, with nothing settled
    but orders inserted, when an order id was known already: then each chunk wants the closer look of
    batch_store.record. Raises WrongStateError.
    """
    if not answered:
        return True
    now, count = utc_now().isoformat(" "), sum(len(chunk.items) for chunk, _ in answered)
    answers = "[" + ",".join(f"[{chunk.attempt_id},{records}]" for chunk, records in answered) + "]"
    if connection.execute(PLACE, {"answers": answers, "now": now}).rowcount != count:
        return False
    ids = json.dumps([chunk.chunk_id for chunk, _ in answered])
    ordered = connection.execute(ORDERED, {"ids": ids}).rowcount
    expect(ordered == count, f"{ordered} of {count} items were undecided")
    moved = connection.execute(ANSWERED, {"ids": ids}).rowcount
    expect(moved == len(answered), f"{moved} of {len(answered)} chunks were on the wire")
    connection.execute(ENDED, {"attempts": json.dumps([chunk.attempt_id for chunk, _ in answered]), "now": now})
    for batch_id in {chunk.batch_id for chunk, _ in answered}:
        touch(connection, batch_id)
        finish_if_done(connection, batch_id)
    return True
