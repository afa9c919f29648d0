"""Calls made by hand: on the wire, answered or in doubt, and one look at a list, on a clock made by hand."""

from collections.abc import Sequence

from provider_fixture import SERVICE

import batch_store
from batch_creation import NewBatch, create_batch
from call_log import record_clean, write_intents
from database import IMEIDatabase
from orders import Chunk, Outcome, PlacedOrder, PlacementAnswer, ProviderOrder, Verdict
from settlement import Settler
from verdicts import judge

QUIET = 60.0
OTHER = "270"


def call(database: IMEIDatabase, numbers: Sequence[str], service_id: str = SERVICE, recheck: bool = False) -> Chunk:
    """A batch of these on the wire, every call before it having ended."""
    wanted = [(imei, None) for imei in numbers]
    new = NewBatch("test", "command", service_id, "T-Mobile", 0.1, wanted, recheck=recheck)
    batch_id = create_batch(database, new)
    with database.write() as connection:
        planned = [chunk_id for chunk_id, _ in batch_store.planned_chunks(connection, batch_id, 1)]
        return write_intents(connection, planned, batch_store.newest_attempt(connection) + 1)[0]


def answered(database: IMEIDatabase, chunk: Chunk, first_id: int) -> list[ProviderOrder]:
    """The provider names every order, with ids from first_id on; returns how its list shows them."""
    placed = tuple(PlacedOrder(str(first_id + n), item.imei) for n, item in enumerate(chunk.items))
    with database.write() as connection:
        assert record_clean(connection, [(chunk, judge(chunk, PlacementAnswer(placed)).clean)])
    return [listed(order.order_id, order.imei, chunk.service_id) for order in placed]


def unanswered(database: IMEIDatabase, chunk: Chunk) -> None:
    with database.write() as connection:
        batch_store.record(connection, chunk, [Verdict(i.item_id, i.imei, Outcome.IN_DOUBT) for i in chunk.items])


def listed(order_id: str, imei: str, package: str = SERVICE, at: str = "2026-11-25 10:00:00") -> ProviderOrder:
    return ProviderOrder(order_id, imei, "Pending", "", package, at)


def look(database: IMEIDatabase, settler: Settler, orders: Sequence[ProviderOrder], now: float) -> int:
    with database.write() as connection:
        settler.note(connection, now)
        return settler.apply(connection, orders, now)


def outcome(database: IMEIDatabase, chunk: Chunk) -> list[tuple[str, str]]:
    """(outcome, order id) of each IMEI of a call."""
    query = (
        "SELECT i.outcome, coalesce(o.order_id, '') FROM items i LEFT JOIN orders o"
        " ON o.imei = i.imei AND o.batch_id = i.batch_id WHERE i.batch_id = ? ORDER BY i.id"
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query, (chunk.batch_id,))]
