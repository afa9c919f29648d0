"""Phones that were ordered for other customers. Reads only.

A preview asks for 20,000 IMEIs at once: each is looked up in the index of IMEIs, and only where other customers exist.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from database import IMEIDatabase
from schema import HAS_CUSTOMER, OPEN_CALL, batches, chunks, each_of, sql
from storage.batch_queries import UNFINISHED
from storage.customers import customer_key

#: For each IMEI the batches that have an order of it.
ORDERED = sql(
    "SELECT DISTINCT given.value AS imei, orders.batch_id FROM each(:imeis AS TEXT) given"
    " CROSS JOIN orders by_index(idx_imei) ON orders.imei = given.value WHERE orders.batch_id IS NOT NULL"
)
#: For each IMEI the batch in which it waits or is in doubt with one of these services, by the index of such items.
AWAITED = sql(
    "SELECT imei, batch_id FROM (SELECT given.value AS imei, (SELECT batch_id FROM items"
    " WHERE service_id = asked.value AND imei = given.value AND outcome IN ('waiting', 'in_doubt')) AS batch_id"
    " FROM each(:imeis AS TEXT) given CROSS JOIN each(:services AS TEXT) asked ON true) open"
    " WHERE batch_id IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class SeenPhone:
    """An IMEI in a batch of another customer."""

    imei: str
    batch_id: int
    customer: str
    created_at: datetime  #: UTC, when the batch was created
    service_name: str


def seen_for_others(database: IMEIDatabase, imeis: Iterable[str], customer: str) -> list[SeenPhone]:
    """Return where these IMEIs were ordered, or wait, for a customer other than this one; the newest batch first.

    Batches that name no customer do not count.
    """
    given = {"imeis": json.dumps(list(imeis))}
    with database.read() as connection:
        if not _others_exist(connection, customer):
            return []
        found = list(connection.execute(ORDERED, given))
        if services := _open_services(connection):
            found += connection.execute(AWAITED, given | {"services": json.dumps(services)})
        named = _batches_of_others(connection, customer, {row.batch_id for row in found})
    pairs = dict.fromkeys((row.batch_id, row.imei) for row in found if row.batch_id in named)
    return [SeenPhone(imei, batch_id, *named[batch_id]) for batch_id, imei in sorted(pairs, reverse=True)]


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
) -> dict[int, tuple[str, datetime, str]]:
    """Return batch id → customer, creation and service, for those of these batches that another customer has."""
    columns = (batches.c.customer, batches.c.created_at, batches.c.service_name)
    query = select(batches.c.id, *columns).where(batches.c.id.in_(each_of(batch_ids, "INTEGER")))
    return {
        batch_id: (name, created_at, service)
        for batch_id, name, created_at, service in connection.execute(query)
        if name and customer_key(name) != customer_key(customer)
    }
