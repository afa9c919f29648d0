"""What was spent, and what the results of a batch say. Reads only."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from database import IMEIDatabase
from grading import Verdict
from orders import OrderStatus
from schema import MILLIONTH, batches, sums
from storage.kept_sums import FINDINGS, findings

BY = ("day", "service", "batch", "person")
COMPLETED, REJECTED = OrderStatus.COMPLETED, OrderStatus.REJECTED


@dataclass(frozen=True, slots=True)
class Spend:
    """What orders of one day, service, batch or person cost."""

    key: str  #: the UTC day, the service's name, the batch's number and label, or who ordered
    orders: int
    completed: int
    rejected: int
    passed: int
    review: int
    failed: int
    spent: float  #: US dollars
    filters: dict[str, str]  #: of the history, for the same orders; {} where it has no such filter


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many results of a batch say one thing."""

    field: str  #: one of FINDINGS
    value: str  #: "" where the result does not say
    orders: int


def spend(database: IMEIDatabase, by: str, since: date | None = None) -> list[Spend]:
    """Spend by one of BY, of the orders since a UTC day; days newest first. Raises ValueError."""
    if by not in BY:
        raise ValueError(f"Spend is summed up by {', '.join(BY)}, not by {by!r}.")
    added = sums()
    person = select(batches.c.ordered_by).where(batches.c.id == added.c.batch_id).scalar_subquery()
    keys: dict[str, ColumnElement[Any]] = {
        "day": added.c.day,
        "service": added.c.service_name,
        "batch": added.c.batch_id,
        "person": func.coalesce(person, ""),
    }
    key = keys[by].label("key")
    count, amount = func.total(added.c.orders), func.total(added.c.millionths)
    parts = [added.c.status == status for status in (COMPLETED, REJECTED)]
    parts += [added.c.verdict == verdict for verdict in (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL)]
    counts = (func.total(case((part, added.c.orders), else_=0)) for part in parts)
    query = select(key, count, *counts, amount).group_by(key)
    query = query.having(count > 0).order_by(key.desc() if by == "day" else amount.desc())
    if since is not None:
        query = query.where(added.c.day >= since.isoformat())
    with database.read() as connection:
        rows = connection.execute(query).all()
        words = _batch_words(connection) if by == "batch" else {}
    named = ((row, words.get(row[0], "") if by == "batch" else row[0]) for row in rows)
    return [Spend(name, *row[1:7], row[7] * MILLIONTH, _filters(by, row[0])) for row, name in named]


def _filters(by: str, key: str | int) -> dict[str, str]:
    """Return the filter of the history that finds the orders of one row."""
    if not key or by == "service":
        return {}
    return {by: str(key)} if by in ("batch", "person") else {"since": str(key), "until": str(key)}


def _batch_words(connection: Connection) -> dict[int, str]:
    rows = connection.execute(select(batches.c.id, batches.c.label))
    return {row.id: f"#{row.id} {row.label}" for row in rows}


def finding_summary(database: IMEIDatabase, batch_id: int) -> list[FindingCount]:
    """For each of FINDINGS what the completed orders of a batch say, the most frequent first."""
    with database.read() as connection:
        counts = findings(connection, batch_id)
    return [
        FindingCount(name, value, count)
        for name in FINDINGS
        for value, count in sorted(counts[name].items(), key=lambda pair: (-pair[1], pair[0]))
    ]
