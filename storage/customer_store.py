"""Customers whom batches name: their batches and what these cost, the service that each mostly asks for, other names.

A name is the same whatever its capitals are.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select, update

from database import IMEIDatabase
from schema import HAS_CUSTOMER, MILLIONTH, batches, customers, each_of, sums, upsert

#: Writings of customers that are looked through.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the batches name it."""

    name: str  #: as the newest batch writes it
    writings: tuple[str, ...]  #: every way in which batches write it
    batches: int
    imeis: int
    last_batch: int
    service_id: str  #: the default for new batches; "" without one


@dataclass(frozen=True, slots=True)
class CustomerCost:
    """What the batches of a customer came to."""

    dollars: float
    last_at: datetime  #: UTC, when the newest batch was created


def customer_key(name: str) -> str:
    """Return what is equal for two writings of one name."""
    return name.strip().casefold()


def names_by_writing(connection: Connection) -> dict[str, str]:
    """Return each way in which batches write a customer → its name, those of the newest batches first."""
    query = select(batches.c.customer).where(HAS_CUSTOMER).group_by(batches.c.customer)
    names: dict[str, str] = {}
    written = connection.execute(query.order_by(func.max(batches.c.id).desc()).limit(MOST)).scalars()
    return {writing: names.setdefault(customer_key(writing), writing) for writing in written}


def writings_of(connection: Connection, name: str) -> list[str]:
    """Return every way in which batches write a customer, given in any of them."""
    return [writing for writing in names_by_writing(connection) if customer_key(writing) == customer_key(name)]


def customer_names(database: IMEIDatabase, text: str = "") -> list[str]:
    """Return the customers with this text in a writing of their names, in any capitals, by name."""
    with database.read() as connection:
        names = names_by_writing(connection)
    found = {name for writing, name in names.items() if text.casefold() in writing.casefold()}
    return sorted(found, key=lambda name: (name.casefold(), name))


def known_customers(database: IMEIDatabase) -> list[Customer]:
    """Return the customers of all batches; those with the newest batches first."""
    with database.read() as connection:
        return _known(connection)


def _known(connection: Connection) -> list[Customer]:
    written = select(batches.c.customer, func.count(), func.total(batches.c.total), func.max(batches.c.id))
    written = written.where(HAS_CUSTOMER).group_by(batches.c.customer).order_by(func.max(batches.c.id).desc())
    groups = defaultdict[str, list[tuple[str, int, int, int]]](list)
    for name, count, imeis, last in connection.execute(written.limit(MOST)):
        groups[customer_key(name)].append((name, int(count), int(imeis), last))
    defaults = {row.key: row.service_id for row in connection.execute(select(customers))}
    return [_customer(rows, defaults.get(key, "")) for key, rows in groups.items()]


def _customer(rows: list[tuple[str, int, int, int]], service_id: str) -> Customer:
    names, counts, imeis, last = zip(*rows, strict=True)
    return Customer(names[0], names, sum(counts), sum(imeis), last[0], service_id)


def find_customer(database: IMEIDatabase, name: str) -> Customer | None:
    """Return the customer with this name in any capitals, if a batch names it."""
    with database.read() as connection:
        return _find(connection, name)


def _find(connection: Connection, name: str) -> Customer | None:
    key = customer_key(name)
    return next((one for one in _known(connection) if customer_key(one.name) == key), None)


def spent_by(database: IMEIDatabase, listed: list[Customer]) -> dict[str, CustomerCost]:
    """Return the name of each of these customers → what its batches cost, and when the newest was created."""
    names = {writing: one.name for one in listed for writing in one.writings}
    theirs = select(batches.c.id, batches.c.customer).where(HAS_CUSTOMER, batches.c.customer.in_(each_of(names)))
    created = select(batches.c.id, batches.c.created_at).where(batches.c.id.in_([one.last_batch for one in listed]))
    dollars = defaultdict[str, float](float)
    with database.read() as connection:
        owners = {batch_id: names[writing] for batch_id, writing in connection.execute(theirs)}
        for batch_id, millionths in connection.execute(_costs(owners)):
            dollars[owners[batch_id]] += int(millionths) * MILLIONTH
        moments = {row.id: row.created_at for row in connection.execute(created)}
    return {one.name: CustomerCost(dollars[one.name], moments[one.last_batch]) for one in listed}


def _costs(batch_ids: Iterable[int]) -> Select[Any]:
    """Return the query of each of these batches with its cost: the sums are walked once, and not for each batch."""
    added = sums()
    cost = select(added.c.batch_id, func.total(added.c.millionths)).group_by(added.c.batch_id)
    return cost.where(added.c.batch_id.in_(each_of(batch_ids, "INTEGER")))


def default_service(database: IMEIDatabase, name: str) -> str:
    """Return the id of the service that is suggested for batches of a customer; "" without one."""
    wanted = select(customers.c.service_id).where(customers.c.key == customer_key(name))
    with database.read() as connection:
        return connection.execute(wanted).scalar() or ""


def set_default_service(database: IMEIDatabase, name: str, service_id: str) -> None:
    """Suggest a service for batches of a customer; "" suggests none."""
    with database.write() as connection:
        _set_default(connection, customer_key(name), service_id)


def _set_default(connection: Connection, key: str, service_id: str) -> None:
    if not service_id:
        connection.execute(delete(customers).where(customers.c.key == key))
        return
    statement = upsert(customers).values(key=key, service_id=service_id)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"service_id": service_id}))


def rename_customer(database: IMEIDatabase, name: str, new: str) -> int:
    """Write another name on all batches of a customer; return how many they are.

    Where batches have the other name already, the two become one. The default service comes along, unless the other
    name has one.
    """
    with database.write() as connection:
        found = _find(connection, name)
        if found is None:
            return 0
        mine = batches.c.customer.in_(each_of(found.writings))
        renamed = connection.execute(update(batches).where(HAS_CUSTOMER, mine).values(customer=new)).rowcount
        if customer_key(name) != customer_key(new):
            _set_default(connection, customer_key(name), "")
            kept = select(customers.c.key).where(customers.c.key == customer_key(new))
            if found.service_id and connection.execute(kept).first() is None:
                _set_default(connection, customer_key(new), found.service_id)
    return renamed
