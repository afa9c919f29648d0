"""How many results say what: kept by model, carrier, SIM lock and more, exact at any moment.

A result is a completed order with a verdict. Triggers of the database (migration 0018) note each result that comes,
changes or goes in result_changes: one small row, so storing results stays cheap. `update_counts()`, in a thread of the
leader, adds the notes up into result_counts and deletes them. Each query reads both: without `update_counts()` every
number is right, only slower.

result_counts has the same counts in several grains. Any two or three fields are counted by the grain that has them and
little else, months from months, and the days at the ends of a period from days. The grain of batches has every field.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Insert, Select, and_, bindparam, delete, func, literal, select, union_all

from database import IMEIDatabase, Transaction
from schema import HAS_CUSTOMER, RESULT_FIELDS, batches, each_of, result_changes, result_counts, upsert
from storage.background import Duty
from storage.customer_store import writings_of
from storage.order_reports import ends_of

#: Notes that are added up in one transaction, and notes that pages may well read themselves.
ADDED_AT_ONCE, FEW = 20_000, 1000
#: Seconds between two looks.
LOOK = 5.0
#: Fields that are counted together, by the name of their grains. Model and carrier together have very many values.
TOGETHER = {
    "carriers of models": ("model", "carrier", "simlock"),
    "models": ("service_name", "model", "simlock", "fmi", "blacklist", "verdict"),
    "carriers": ("service_name", "carrier", "simlock", "fmi", "blacklist", "verdict"),
}
OF_BATCHES = "batches"

#: Values of the fields → results.
Counts = Counter[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The results that are counted."""

    since: date | None = None  #: first UTC day of the order; None: from the first
    until: date | None = None  #: last UTC day; None: to the newest. Unknown days count where both are None
    batch: int | None = None
    customer: str = ""  #: of the batches, in any writing; "": of all

    @property
    def is_of_batches(self) -> bool:
        """Whether only some batches are counted."""
        return self.batch is not None or bool(self.customer)


@dataclass(frozen=True, slots=True)
class Grain:
    """One way in which results are counted."""

    name: str
    fields: tuple[str, ...]
    is_monthly: bool = False
    has_batches: bool = False


GRAINS = (
    Grain(OF_BATCHES, RESULT_FIELDS, has_batches=True),
    *(Grain(f"{name} by day", fields) for name, fields in TOGETHER.items()),
    *(Grain(f"{name} by month", fields, is_monthly=True) for name, fields in TOGETHER.items()),
)


def can_combine(fields: Sequence[str]) -> bool:
    """Return whether these fields are counted together."""
    return any(set(fields) <= set(known) for known in TOGETHER.values())


def count(database: IMEIDatabase, fields: Sequence[str], chosen: Chosen) -> Counts:
    """Return how many results have which values of these fields, "" where the result does not say.

    Raises ValueError for fields that are not counted together.
    """
    if not can_combine(fields):
        raise ValueError(f"{', '.join(fields)} are not counted together.")
    found: Counts = Counter()
    with database.read() as connection:
        writings = writings_of(connection, chosen.customer) if chosen.customer else []
        for *values, orders in connection.execute(union_all(*_parts(fields, chosen, writings))).all():
            found[tuple(values)] += orders
    return Counter({values: orders for values, orders in found.items() if orders})


def _parts(fields: Sequence[str], chosen: Chosen, writings: Iterable[str]) -> Iterator[Select[Any]]:
    """Yield the SELECTs that have every result once: what is kept, by months and by days, and what is noted.

    writings: of the chosen customer.
    """
    counts, changes = result_counts.c, result_changes.c
    noted = _between(changes.day, chosen.since, chosen.until)
    if chosen.is_of_batches:
        kept = [counts.grain == OF_BATCHES, _is_of_batches(counts.batch_id, chosen, writings)]
        kept.append(_between(counts.period, chosen.since, chosen.until))
        yield _summed(counts, fields, and_(*kept))
        yield _summed(changes, fields, and_(noted, _is_of_batches(changes.batch_id, chosen, writings)))
        return
    name = next(name for name, known in TOGETHER.items() if set(fields) <= set(known))
    months, days = split(chosen.since, chosen.until)
    if months is not None:
        whole = and_(counts.period >= months[0], counts.period <= months[1])
        yield _summed(counts, fields, and_(counts.grain == f"{name} by month", counts.batch_id == 0, whole))
    for first, last in days:
        some = and_(counts.batch_id == 0, _between(counts.period, first, last))
        yield _summed(counts, fields, and_(counts.grain == f"{name} by day", some))
    yield _summed(changes, fields, noted)


def _summed(columns: Any, fields: Sequence[str], condition: ColumnElement[bool]) -> Select[Any]:
    wanted = [columns[name] for name in fields]
    return select(*wanted, func.total(columns.orders)).where(condition).group_by(*wanted)


def _is_of_batches(column: ColumnElement[int], chosen: Chosen, writings: Iterable[str]) -> ColumnElement[bool]:
    if chosen.batch is not None:
        return column == chosen.batch
    return column.in_(select(batches.c.id).where(HAS_CUSTOMER, batches.c.customer.in_(each_of(writings))))


def _between(column: ColumnElement[str], since: date | None, until: date | None) -> ColumnElement[bool]:
    first, last = ends_of(since, until)
    return and_(column >= first, column <= last)


def split(
    since: date | None, until: date | None
) -> tuple[tuple[str, str] | None, list[tuple[date | None, date | None]]]:
    """Return the first and last whole month of a period, None where it has none, and the days beside them."""
    first = None if since is None else since.replace(day=1) if since.day == 1 else _next_month(since)
    last = None if until is None else until if _next_month(until) == until + timedelta(days=1) else _before(until)
    if first and last and first > last:
        return None, [(since, until)]
    days: list[tuple[date | None, date | None]] = []
    if since and first and since < first:
        days.append((since, first - timedelta(days=1)))
    if until and last and last < until:
        days.append((last + timedelta(days=1), until))
    months = (text[:7] for text in ends_of(first, last))
    return (next(months), next(months)), days


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def _before(day: date) -> date:
    """Return the last day of the month before."""
    return day.replace(day=1) - timedelta(days=1)


# Adding up


def duty(database: IMEIDatabase) -> Duty:
    """Return the duty to add up what was noted."""
    return Duty("result counts", LOOK, lambda _: update_counts(database), "Counts of results could not be kept")


def update_counts(database: IMEIDatabase, few: int = FEW) -> None:
    """Add up what was noted, in transactions short enough for the loop to wait for; nothing where it is little."""
    with database.read() as connection:
        many = select(result_changes.c.id).limit(1).offset(few)
        behind = connection.execute(many).first() is not None
    while behind:
        with database.write() as connection:
            behind = add_up(connection) == ADDED_AT_ONCE


def add_up(connection: Transaction) -> int:
    """Add the oldest notes to every grain, and delete them. Return how many."""
    oldest = select(result_changes.c.id).order_by(result_changes.c.id).limit(ADDED_AT_ONCE)
    upto = connection.execute(select(func.max(oldest.subquery().c.id))).scalar()
    if upto is None:
        return 0
    for grain in GRAINS:
        connection.execute(_addition(grain), {"upto": upto})
    return connection.execute(delete(result_changes).where(result_changes.c.id <= upto)).rowcount


@cache
def _addition(grain: Grain) -> Insert:
    """Return the statement that adds the notes up to :upto to the counts of a grain."""
    noted = select(
        literal(grain.name).label("grain"),
        (result_changes.c.batch_id if grain.has_batches else literal(0)).label("batch_id"),
        (func.substr(result_changes.c.day, 1, 7) if grain.is_monthly else result_changes.c.day).label("period"),
        *((result_changes.c[name] if name in grain.fields else literal("")).label(name) for name in RESULT_FIELDS),
        result_changes.c.orders,
    )
    rows = noted.where(result_changes.c.id <= bindparam("upto")).subquery("rows")
    keys = [rows.c[column.name] for column in result_counts.primary_key]
    added = select(*keys, func.total(rows.c.orders)).group_by(*keys).having(func.total(rows.c.orders) != 0)
    statement = upsert(result_counts).from_select(result_counts.c.keys(), added)
    more = result_counts.c.orders + statement.excluded.orders
    return statement.on_conflict_do_update(index_elements=[*result_counts.primary_key], set_={"orders": more})
