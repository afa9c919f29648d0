"""What was spent on which days, services, batches, customers and people; what the results of a batch say. Reads only.

Days are UTC days of the order, as in the kept sums (storage/kept_sums.py).
"""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, select

from database import IMEIDatabase
from engines import read_prepared
from grading import Verdict
from orders import DisputeKind, OrderStatus
from schema import MILLIONTH, batches, each_of, order_totals, orders, sums, totals_mark
from storage import dispute_queries
from storage.customer_store import names_by_writing
from storage.dispute_queries import PaidBack
from storage.kept_sums import FINDINGS, findings

BY = ("day", "month", "service", "batch", "customer", "person")
#: Rows of these are in the order of time, newest first; others by what was spent.
OVER_TIME = ("day", "month")
#: What a batch knows of the orders in it, by the name in BY.
OF_BATCHES = MappingProxyType({"customer": batches.c.customer, "person": batches.c.ordered_by})
#: The counts of Totals, in the order of _sums().
COUNTED = ("orders", "completed", "rejected", "passed", "review", "failed")
#: More rows than there are.
MOST_ROWS = 10**9
#: Most months that are offered, the newest ones.
MOST_MONTHS = 120


@dataclass(frozen=True, slots=True)
class Totals:
    """What some orders add up to. Amounts are US dollars."""

    orders: int
    completed: int
    rejected: int
    passed: int
    review: int
    failed: int
    spent: float  #: what the orders cost, whatever was paid back later
    completed_cost: float  #: what the completed ones of them cost
    rejected_cost: float  #: what the rejected ones of them cost
    refunded: float  #: what the provider paid back for rejected ones, as written down in disputes
    other_refunds: float  #: what it paid back for completed ones, such as results about another IMEI

    @property
    def lost(self) -> float:
        """US dollars lost to rejections: what rejected orders cost, without what was paid back."""
        return max(0.0, self.rejected_cost - self.refunded)

    @property
    def cost_per_result(self) -> float | None:
        """US dollars for each completed result, as in ServiceFigures; None where there is none."""
        paid = self.completed_cost + self.rejected_cost - self.refunded - self.other_refunds
        return paid / self.completed if self.completed else None

    @property
    def graded(self) -> int:
        """How many have a verdict."""
        return self.passed + self.review + self.failed


@dataclass(frozen=True, slots=True)
class Spend(Totals):
    """The totals of one day, month, service, batch, customer or person."""

    key: str  #: the UTC day or month, a name, or the batch's number and label; "" where it is unknown
    filters: Mapping[str, str]  #: of the history, for the same orders; {} where it has no such filter


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many results of a batch say one thing."""

    field: str  #: one of FINDINGS
    value: str  #: "" where the result does not say
    orders: int


def added(parts: Iterable[Totals]) -> Totals:
    """Return what several totals add up to."""
    listed = list(parts)
    return Totals(*(sum(getattr(part, name.name) for part in listed) for name in fields(Totals)))


def spend(database: IMEIDatabase, by: str, since: date | None = None, until: date | None = None) -> list[Spend]:
    """Return the totals by one of BY, of the orders of these UTC days, both included; None: all. Raises ValueError."""
    return top(database, by, since, until, None)[0]


def top(
    database: IMEIDatabase, by: str, since: date | None, until: date | None, most: int | None
) -> tuple[list[Spend], int]:
    """Return the first rows of spend(), at most `most`, and how many there are without this limit."""
    if by not in BY:
        raise ValueError(f"Spend is summed up by {', '.join(BY)}, not by {by!r}.")
    paid_back = [one for one in dispute_queries.paid_back(database, since, until) if one.has_result]
    with database.read() as connection:
        names = names_by_writing(connection) if by == "customer" else {}
        rows = _rows(connection, by, ends_of(since, until), names, most or MOST_ROWS)
        words = _batch_words(connection, [row.key for row in rows]) if by == "batch" else {}
        refunds = _refunds(connection, by, paid_back, names)
    found = [
        Spend(
            **dict(zip(COUNTED, row[2:8], strict=True)),
            spent=row.millionths * MILLIONTH,
            completed_cost=row.of_completed * MILLIONTH,
            rejected_cost=row.of_rejected * MILLIONTH,
            refunded=refunds[row.key, True],
            other_refunds=refunds[row.key, False],
            key=words.get(row.key, "") if by == "batch" else row.key,
            filters=_filters(by, row.key, since, until),
        )
        for row in rows
    ]
    return found, rows[0].groups if rows else 0


def ends_of(since: date | None, until: date | None) -> tuple[str, str]:
    """Return the first and last day as texts. An unknown day, "", is in no period but that of all orders."""
    first = "" if since is None and until is None else (since or date.min).isoformat()
    return first, (until or date.max).isoformat()


def months(database: IMEIDatabase) -> list[date]:
    """Return the first days of all months from the newest with orders back to the oldest, MOST_MONTHS at most."""
    kept, newer = order_totals.c.day, orders.c.order_date
    with database.read() as connection:
        found = connection.execute(select(func.min(kept), func.max(kept)).where(kept > "")).one()
        # Asked for first: PostgreSQL expects a third of all orders beyond a number that it does not know.
        mark = connection.execute(select(totals_mark.c.upto)).scalar_one()
        ends = select(func.day_of(func.min(newer)), func.day_of(func.max(newer))).where(orders.c.id > mark)
        days = sorted(filter(None, (*found, *connection.execute(ends).one())))
    if not days:
        return []
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    numbers = range(last.year * 12 + last.month - 1, first.year * 12 + first.month - 2, -1)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers[:MOST_MONTHS]]


class _Row(NamedTuple):
    """A row of _totals_by()."""

    key: Any
    groups: int  #: rows without the limit
    orders: int
    completed: int
    rejected: int
    passed: int
    review: int
    failed: int
    millionths: int  #: of a US dollar, as the next ones
    of_completed: int
    of_rejected: int


def _rows(
    connection: Connection, by: str, ends: tuple[str, str], names: Mapping[str, str], most: int
) -> Sequence[_Row]:
    """Return the first rows of a report; customers by their names, whatever the capitals are.

    ends: first and last day; names: each writing of a customer → its name.
    """
    first, last = ends
    given = {"first": first, "last": last, "most": MOST_ROWS if names else most}
    rows = [_Row(*row) for row in read_prepared(connection, _totals_by(by, is_all=not first), given)]
    if not names:
        return rows
    found = defaultdict[str, list[_Row]](list)
    for row in rows:
        found[names.get(row.key, row.key)].append(row)
    merged = [
        _Row(name, len(found), *map(sum, zip(*(one[2:] for one in of), strict=True))) for name, of in found.items()
    ]
    return sorted(merged, key=lambda row: (-row.millionths, row.key))[:most]


@cache  # the statement is slower to put together than to run
def _totals_by(by: str, is_all: bool) -> Select[Any]:
    """Return the key, the number of rows without the limit, and the columns of Totals without what was paid back.

    is_all: of all days, in the order of the table, for which SQLite would look each day up.
    """
    day, key, columns = sums().c.day, _key(by).label("key"), _sums()
    order = (key.desc(),) if by in OVER_TIME else (columns[6].desc(), key)
    query = select(key, func.count().over(), *columns).group_by(key).having(columns[0] > 0)
    query = query.order_by(*order).limit(bindparam("most"))
    if by in OF_BATCHES:
        query = query.select_from(sums().outerjoin(batches, batches.c.id == sums().c.batch_id))
    return query if is_all else query.where(day >= bindparam("first"), day <= bindparam("last"))


def _key(by: str) -> ColumnElement[Any]:
    columns = sums().c
    if by in OF_BATCHES:
        return func.coalesce(OF_BATCHES[by], "")
    named = {"day": columns.day, "service": columns.service_name, "batch": columns.batch_id}
    return named[by] if by in named else func.substr(columns.day, 1, 7)


def _sums() -> list[ColumnElement[Any]]:
    """Return the columns of Totals, with amounts in millionths, without what was paid back."""
    columns = sums().c
    parts = [columns.status == status for status in (OrderStatus.COMPLETED, OrderStatus.REJECTED)]
    parts += [columns.verdict == verdict for verdict in (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL)]
    counts = [columns.orders, *(case((part, columns.orders), else_=0) for part in parts)]
    amount = columns.millionths
    completed, rejected = (case((part, amount), else_=0) for part in parts[:2])
    amounts = {"millionths": amount, "of_completed": completed, "of_rejected": rejected}
    return [*map(func.total, counts), *(func.total(one).label(name) for name, one in amounts.items())]


def _filters(by: str, key: str | int, since: date | None, until: date | None) -> dict[str, str]:
    """Return the filter of the history that finds the orders of one row; services have none by their names."""
    if not key or by in ("service", "customer"):
        return {}
    if by == "day":
        return {"since": str(key), "until": str(key)}
    if by == "month":
        first = date.fromisoformat(f"{key}-01")
        last = first.replace(day=monthrange(first.year, first.month)[1])
        return _days(max(first, since or first), min(last, until or last))
    return {by: str(key)} | _days(since, until)


def _days(since: date | None, until: date | None) -> dict[str, str]:
    return {name: day.isoformat() for name, day in (("since", since), ("until", until)) if day}


def _refunds(
    connection: Connection, by: str, paid_back: Sequence[PaidBack], names: Mapping[str, str]
) -> defaultdict[tuple[Any, bool], float]:
    """Return key of a row, and whether for rejections → US dollars that were paid back for its orders."""
    found = defaultdict[tuple[Any, bool], float](float)
    ids = {one.batch_id for one in paid_back}
    of_batches: dict[int, str] = {}
    if by in OF_BATCHES and ids:
        query = select(batches.c.id, OF_BATCHES[by]).where(batches.c.id.in_(each_of(ids, "INTEGER")))
        of_batches = {row[0]: names.get(row[1], row[1]) for row in connection.execute(query)}
    for one in paid_back:
        keys = {"day": one.day, "month": one.day[:7], "service": one.service_name, "batch": one.batch_id}
        found[keys.get(by, of_batches.get(one.batch_id, "")), one.kind is DisputeKind.REJECTED] += one.dollars
    return found


def _batch_words(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    query = select(batches.c.id, batches.c.label).where(batches.c.id.in_(each_of(ids, "INTEGER")))
    return {row.id: f"#{row.id} {row.label}" for row in connection.execute(query)}


def finding_summary(connection: Connection, batch_id: int) -> list[FindingCount]:
    """Return what the completed orders of a batch say for each of FINDINGS, the most frequent first."""
    counts = findings(connection, batch_id)
    return [
        FindingCount(name, value, count)
        for name in FINDINGS
        for value, count in sorted(counts[name].items(), key=lambda pair: (-pair[1], pair[0]))
    ]
