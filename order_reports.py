"""What was spent, what the results of a batch say, and what to dispute with the provider. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import func, literal, or_, select, union_all

from database import IMEIDatabase
from orders import OrderStatus, Outcome
from schema import attempts, batches, items, orders

#: What the results of a batch are summed up by.
VERDICTS = ("carrier", "simlock", "fmi", "blacklist")
BY = ("day", "service", "batch")


@dataclass(frozen=True, slots=True)
class Spend:
    """What orders of one day, service or batch cost."""

    key: str  #: the UTC day, the service's name, or the batch's number and label
    orders: int
    completed: int
    rejected: int
    spent: float  #: US dollars


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How many results of a batch say one thing."""

    field: str  #: one of VERDICTS
    value: str  #: "" where the result does not say
    orders: int


def spend(database: IMEIDatabase, by: str, since: date | None = None) -> list[Spend]:
    """Spend by "day" (newest first), "service" or "batch", of the orders since a UTC day. Raises ValueError."""
    columns: dict[str, Any] = {
        "day": func.date(orders.c.order_date),
        "service": func.coalesce(orders.c.service_name, ""),
        "batch": func.coalesce(literal("#").concat(orders.c.batch_id).concat(" ").concat(batches.c.label), ""),
    }
    if by not in columns:
        raise ValueError(f"Spend is summed up by {', '.join(BY)}, not by {by!r}.")
    key, amount = columns[by], func.coalesce(func.sum(orders.c.credits), 0.0)
    query = select(
        key,
        func.count(),
        func.count().filter(orders.c.status == OrderStatus.COMPLETED),
        func.count().filter(orders.c.status == OrderStatus.REJECTED),
        amount,
    ).group_by(key)
    query = query.order_by(key.desc() if by == "day" else amount.desc())
    if by == "batch":
        query = query.select_from(orders.outerjoin(batches, batches.c.id == orders.c.batch_id))
    if since is not None:
        query = query.where(orders.c.order_date >= datetime.combine(since, time()))
    with database.read() as connection:
        return [Spend(str(row[0] or ""), row[1], row[2], row[3], float(row[4])) for row in connection.execute(query)]


def verdict_summary(database: IMEIDatabase, batch_id: int) -> list[VerdictCount]:
    """For each of VERDICTS what the completed orders of a batch say, the most frequent first."""
    of_batch = (orders.c.batch_id == batch_id, orders.c.status == OrderStatus.COMPLETED)
    found: list[VerdictCount] = []
    with database.read() as connection:
        for name in VERDICTS:
            value = func.coalesce(orders.c[name], "")
            query = select(value, func.count()).where(*of_batch).group_by(value).order_by(func.count().desc(), value)
            found += [VerdictCount(name, row[0], row[1]) for row in connection.execute(query)]
    return found


def disputes(database: IMEIDatabase) -> Iterator[dict[str, Any]]:
    """Orders that were rejected or answered about another IMEI, and items in doubt, with why and since when."""
    columns = ("order_id", "imei", "service_name", "credits", "order_date", "status", "batch_id", "other_imei")
    rejected = or_(orders.c.status == OrderStatus.REJECTED, orders.c.other_imei > "")
    placed = select(*(orders.c[name] for name in columns), orders.c.result_code_display.label("said")).where(rejected)
    sent_at = select(func.max(attempts.c.sent_at)).where(attempts.c.chunk_id == items.c.chunk_id).scalar_subquery()
    doubtful = (
        select(
            literal(None),
            items.c.imei,
            batches.c.service_name,
            batches.c.unit_price,
            sent_at,
            literal("In doubt"),
            items.c.batch_id,
            literal(None),
            items.c.message,
        )
        .join(batches, batches.c.id == items.c.batch_id)
        .where(items.c.outcome == Outcome.IN_DOUBT)
    )
    with database.read() as connection:
        for row in connection.execute(union_all(placed, doubtful)).mappings():
            yield dict(row) | {"why": _why(row)}


def _why(row: Any) -> str:
    if row["other_imei"]:
        return f"The result is about IMEI {row['other_imei']}"
    return "Rejected" if row["status"] == OrderStatus.REJECTED else "Sent, and no answer says whether it was placed"
