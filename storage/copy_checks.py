"""Compare a copied database with its source: counts, money, ids, a sample of rows, and the whole audit log.

Both are read as the program reads them, and not as they were copied. Reads only; results/moving.py decides.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, func, literal_column, select

from schema import MILLIONTH, audit_entries, order_totals, orders
from storage.copied_values import repair
from storage.database_copy import CopyError, copied_tables

#: Rows of a table that are compared at most, about; of a table without a number as its key, all.
SAMPLED = 2000
READ_AT_ONCE = 1000
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found equal in both databases."""

    rows: int
    tables: int
    compared: int  #: rows, value by value
    orders: int
    cost: float  #: US dollars of all orders
    audit_entries: int


def check_copy(source: Connection, target: Connection) -> Checked:
    """Compare the target with the source. Raises CopyError for the first difference."""
    rows = compared = 0
    for table in copied_tables():
        count = _equal(f"the number of rows of {table.name}", _count(source, table), _count(target, table))
        _equal(f"the highest id of {table.name}", _highest(source, table), _highest(target, table))
        sample = _sample(table, count)
        found = _equal(f"a row of {table.name}", _digest(source, sample), _digest(target, sample))
        rows, compared = rows + count, compared + found[0]
    money = _equal("the cost of orders by status", _money(source), _money(target))
    _equal("the kept totals", _totals(source), _totals(target))
    count, cost = sum(count for count, _ in money.values()), sum(cost for _, cost in money.values()) * MILLIONTH
    return Checked(rows, len(copied_tables()), compared, count, cost, _count(source, audit_entries))


def count_rows(connection: Connection) -> dict[str, int]:
    """Return the rows of each table that has some."""
    found = {table.name: _count(connection, table) for table in copied_tables()}
    return {name: count for name, count in found.items() if count}


def _equal(what: str, ours: Found, theirs: Found) -> Found:
    if ours != theirs:
        raise CopyError(f"The copy differs from the file in {what}: {theirs} instead of {ours}.")
    return ours


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _highest(connection: Connection, table: Table) -> int | None:
    number = table.autoincrement_column
    return None if number is None else connection.execute(select(func.max(number))).scalar()


def _sample(table: Table, count: int) -> Select[Any]:
    """Return the query of each n-th row by its id. The audit log is compared whole."""
    number = table.autoincrement_column
    rows = select(table).order_by(*table.primary_key.columns)
    step = count // SAMPLED + 1
    return rows if number is None or table is audit_entries else rows.where(number % step == 0)


def _digest(connection: Connection, query: Select[Any]) -> tuple[int, str]:
    """Return the number of the rows and their SHA-256."""
    digest, count = hashlib.sha256(), 0
    for row in connection.execute(query, execution_options={"yield_per": READ_AT_ONCE}):
        digest.update(repr([repair(value) if isinstance(value, str) else value for value in row]).encode())
        count += 1
    return count, digest.hexdigest()


def _money(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return number and cost, in millionths of a dollar, of the orders of each status."""
    dollars = func.coalesce(orders.c.credits, 0) * 1_000_000 + literal_column("0.5")
    status = func.coalesce(orders.c.status, "")
    query = select(status, func.count(), func.sum(func.whole(dollars))).group_by(status)
    return {status: (count, int(cost)) for status, count, cost in connection.execute(query)}


def _totals(connection: Connection) -> tuple[int, int]:
    """Return number and cost of the orders in the kept totals. PostgreSQL adds whole numbers up as numeric."""
    columns = order_totals.c.orders, order_totals.c.millionths
    query = select(*(func.coalesce(func.sum(column), 0) for column in columns))
    count, cost = connection.execute(query).one()
    return int(count), int(cost)
