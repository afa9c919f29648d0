"""What was spent on which days, services, batches, customers and people; what the results of a batch say. Reads only.

Days are UTC days of the order, as in the kept sums (storage/kept_sums.py).
"""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from database import IMEIDatabase
from grading import Verdict
from orders import DisputeKind, OrderStatus
from schema import MILLIONTH, batches, each_of, order_totals, orders, sums, totals_mark
from storage import dispute_queries
from storage.dispute_queries import PaidBack
from storage.kept_sums import FINDINGS, findings

BY = ("day", "month", "service", "batch", "customer", "person")
#: Rows of these are in the order of time, newest first; others by what was spent.
OVER_TIME = ("day", "month")
#: What a batch knows of the orders in it, by the name in BY.
OF_BATCHES = MappingProxyType({"customer": batches.c.customer, "person": batches.c.ordered_by})
#: The counts of Totals, in the order of _sums().
COUNTED = ("orders", "completed", "rejected", "passed", "review", "failed")
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
    rejected_cost: float  #: what the rejected ones of them cost
    refunded: float  #: what the provider paid back for rejected ones, as written down in disputes

    @property
    def lost(self) -> float:
        """US dollars lost to rejections: what rejected orders cost, without what was paid back."""
        return max(0.0, self.rejected_cost - self.refunded)

    @property
    def per_completed(self) -> float | None:
        """US dollars spent for each completed result; None where there is none."""
        return self.spent / self.completed if self.completed else None

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


def totals(database: IMEIDatabase, since: date | None = None, until: date | None = None) -> Totals:
    """Return what the orders of these UTC days add up to, both included; None: from the first, to the last."""
    paid_back = _for_rejected(dispute_queries.paid_back(database, since, until))
    with database.read() as connection:
        row = connection.execute(_within(select(*_sums()), since, until)).one()
    return Totals(**_read(row), refunded=sum(one.dollars for one in paid_back))


def spend(
    database: IMEIDatabase,
    by: str,
    since: date | None = None,
    until: date | None = None,
    most: int | None = None,
) -> list[Spend]:
    """Return the totals by one of BY, of the orders of these UTC days, at most `most` rows. Raises ValueError."""
    return top(database, by, since, until, most)[0]


def top(
    database: IMEIDatabase, by: str, since: date | None, until: date | None, most: int | None
) -> tuple[list[Spend], int]:
    """Return the rows of spend(), and how many there are without the limit."""
    if by not in BY:
        raise ValueError(f"Spend is summed up by {', '.join(BY)}, not by {by!r}.")
    key, found = _keys()[by].label("key"), _sums()
    query = _within(select(key, func.count().over(), *found), since, until).group_by(key).having(found[0] > 0)
    query = query.order_by(*((key.desc(),) if by in OVER_TIME else (found[6].desc(), key))).limit(most)
    paid_back = _for_rejected(dispute_queries.paid_back(database, since, until))
    with database.read() as connection:
        rows = connection.execute(query).all()
        words = _batch_words(connection, [row.key for row in rows]) if by == "batch" else {}
        refunds = _refunds(connection, by, paid_back)
    found_rows = [
        Spend(
            **_read(row[2:]),
            refunded=refunds[row.key],
            key=words.get(row.key, "") if by == "batch" else row.key,
            filters=_filters(by, row.key, since, until),
        )
        for row in rows
    ]
    return found_rows, rows[0][1] if rows else 0


def months(database: IMEIDatabase) -> list[date]:
    """Return the first days of all months from the newest with orders back to the oldest, MOST_MONTHS at most."""
    mark, kept, newer = select(totals_mark.c.upto).scalar_subquery(), order_totals.c.day, orders.c.order_date
    with database.read() as connection:
        found = connection.execute(select(func.min(kept), func.max(kept)).where(kept > "")).one()
        newest = select(func.day_of(func.min(newer)), func.day_of(func.max(newer))).where(orders.c.id > mark)
        days = sorted(filter(None, (*found, *connection.execute(newest).one())))
    if not days:
        return []
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    numbers = range(last.year * 12 + last.month - 1, first.year * 12 + first.month - 2, -1)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers[:MOST_MONTHS]]


def _keys() -> dict[str, ColumnElement[Any]]:
    added = sums().c
    of_batch = {
        name: func.coalesce(select(column).where(batches.c.id == added.batch_id).scalar_subquery(), "")
        for name, column in OF_BATCHES.items()
    }
    month = func.substr(added.day, 1, 7)
    return {"day": added.day, "month": month, "service": added.service_name, "batch": added.batch_id, **of_batch}


def _sums() -> list[ColumnElement[Any]]:
    """Return the columns of Totals, with amounts in millionths, without what was paid back."""
    added = sums().c
    parts = [added.status == status for status in (OrderStatus.COMPLETED, OrderStatus.REJECTED)]
    parts += [added.verdict == verdict for verdict in (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL)]
    counts = [added.orders, *(case((part, added.orders), else_=0) for part in parts)]
    return [func.coalesce(func.total(one), 0) for one in (*counts, *_amounts(parts[1]))]


def _amounts(is_rejected: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    amount = sums().c.millionths
    return [amount, case((is_rejected, amount), else_=0)]


def _read(row: Sequence[int]) -> dict[str, Any]:
    """Return the fields of Totals that a row of _sums() has, with amounts in US dollars."""
    amounts = {"spent": row[6] * MILLIONTH, "rejected_cost": row[7] * MILLIONTH}
    return dict(zip(COUNTED, row[:6], strict=True)) | amounts


def _within(query: Select[Any], since: date | None, until: date | None) -> Select[Any]:
    """Narrow a query to some days. Orders of an unknown day are of no period with a first or last day."""
    day = sums().c.day
    if since is not None:
        query = query.where(day >= since.isoformat())
    if until is not None:
        query = query.where(day > "", day <= until.isoformat())
    return query


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


def _for_rejected(found: Iterable[PaidBack]) -> list[PaidBack]:
    return [one for one in found if one.kind is DisputeKind.REJECTED]


def _refunds(connection: Connection, by: str, paid_back: Sequence[PaidBack]) -> defaultdict[Any, float]:
    """Return key of a row → US dollars that were paid back for its orders."""
    found = defaultdict[Any, float](float)
    ids = {one.batch_id for one in paid_back}
    names: dict[int, str] = {}
    if by in OF_BATCHES:
        query = select(batches.c.id, OF_BATCHES[by]).where(batches.c.id.in_(each_of(ids, "INTEGER")))
        names = {row[0]: row[1] for row in connection.execute(query)}
    for one in paid_back:
        keys = {"day": one.day, "month": one.day[:7], "service": one.service_name, "batch": one.batch_id}
        found[keys.get(by, names.get(one.batch_id, ""))] += one.dollars
    return found


def _batch_words(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    query = select(batches.c.id, batches.c.label).where(batches.c.id.in_(each_of(ids, "INTEGER")))
    return {row.id: f"#{row.id} {row.label}" for row in connection.execute(query)}


def finding_summary(database: IMEIDatabase, batch_id: int) -> list[FindingCount]:
    """For each of FINDINGS what the completed orders of a batch say, the most frequent first."""
    with database.read() as connection:
        counts = findings(connection, batch_id)
    return [
        FindingCount(name, value, count)
        for name in FINDINGS
        for value, count in sorted(counts[name].items(), key=lambda pair: (-pair[1], pair[0]))
    ]
