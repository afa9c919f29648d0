"""Phones that were ordered for other customers. Reads only.

A preview asks for 20,000 IMEIs at once: each is looked up in the index of IMEIs, and only where other customers exist.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from database import IMEIDatabase
from schema import HAS_CUSTOMER, OPEN_CALL, batches, chunks, each_of, sql
from storage.batch_queries import UNFINISHED
from storage.customer_store import customer_key

#: For each IMEI the batches that have an order of it.
ORDERED = sql(
    "SELECT json_list(given.value) AS imeis, orders.batch_id FROM each(:imeis AS TEXT) given"
    " CROSS JOIN orders by_index(idx_imei) ON orders.imei = given.value WHERE orders.batch_id IS NOT NULL"
    " GROUP BY orders.batch_id"
)
#: For each IMEI the batch in which it waits or is in doubt with one of these services, by the index of such items.
AWAITED = sql(
    "SELECT imei, batch_id FROM (SELECT given.value AS imei, (SELECT batch_id FROM items"
    " WHERE service_id = asked.value AND imei = given.value AND outcome IN ('waiting', 'in_doubt')) AS batch_id"
    " FROM each(:imeis AS TEXT) given CROSS JOIN each(:services AS TEXT) asked ON true) open"
    " WHERE batch_id IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class SeenBatch:
    """A batch of another customer with IMEIs that are asked about."""

    batch_id: int
    customer: str
    created_at: datetime  #: UTC
    service_name: str
    imeis: Sequence[str]  #: different ones


def seen_for_others(database: IMEIDatabase, imeis: Iterable[str], customer: str) -> list[SeenBatch]:
    """Return the batches in which these IMEIs were ordered, or wait, for a customer other than this one, newest first.

    Batches that name no customer do not count.
    """
    given = {"imeis": json.dumps(list(imeis))}
    with database.read() as connection:
        if not _others_exist(connection, customer):
            return []
        found = {row.batch_id: json.loads(row.imeis) for row in connection.execute(ORDERED, given)}
        if services := _open_services(connection):
            for imei, batch_id in connection.execute(AWAITED, given | {"services": json.dumps(services)}):
                found.setdefault(batch_id, []).append(imei)
        named = _batches_of_others(connection, customer, found)
    return [SeenBatch(*batch, list(dict.fromkeys(found[batch[0]]))) for batch in named]


def _others_exist(connection: Connection, customer: str) -> bool:
    names = connection.execute(select(batches.c.customer).where(HAS_CUSTOMER).distinct()).scalars()
    return any(customer_key(name) != customer_key(customer) for name in names)


def _open_services(connection: Connection) -> list[str]:
    """Return the services of IMEIs that wait or are in doubt: of unfinished batches and of calls in doubt."""
    doubtful = select(chunks.c.batch_id).where(OPEN_CALL)
    query = select(batches.c.service_id).where(or_(UNFINISHED, batches.c.id.in_(doubtful))).distinct()
    return list(connection.execute(query).scalars())


def _batches_of_others(
    connection: Connection, customer: str, batch_ids: Iterable[int]
) -> list[tuple[int, str, datetime, str]]:
    """Return id, customer, creation and service of those of these batches that another customer has, newest first."""
    columns = (batches.c.id, batches.c.customer, batches.c.created_at, batches.c.service_name)
    query = select(*columns).where(HAS_CUSTOMER, batches.c.id.in_(each_of(batch_ids, "INTEGER")))
    rows = connection.execute(query.order_by(batches.c.id.desc()))
    return [tuple(row) for row in rows if customer_key(row.customer) != customer_key(customer)]
