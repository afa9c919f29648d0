"""What our own orders say about services: how long results take, how many are rejected, what a result costs.

Pages read rows of service_figures, which `update_figures()` computes every LOOK seconds in the leader. It reads sums
that do not grow with the orders: order_totals, and turnarounds, which counts each order once when its result is stored.

How long an order took is counted on a scale of STEPS steps to each doubling, so a median is exact to 5 %. It ends when
this app stored the first final status: a result may have been ready before it was asked for.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, delete, func, insert, select

from database import IMEIDatabase, Transaction, read_setting, write_setting
from orders import FINAL_STATUSES, OrderStatus
from schema import (
    MILLIONTH,
    batches,
    each_of,
    orders,
    service_figures,
    service_prices,
    services,
    status_changes,
    sums,
    turnarounds,
    upsert,
)
from storage import dispute_queries
from storage.background import Duty
from storage.dispute_queries import PaidBack

#: Seconds between two computations.
LOOK = 120.0
#: Days of the newest orders that figures are about; 0: all orders.
RECENT, ALL = 90, 0
#: Changes of a status that are counted in one transaction.
COUNTED_AT_ONCE = 5000
#: The name in the settings table: the last change of a status that was counted.
COUNTED = "turnarounds_counted_to"
STEPS = 8


class ServiceFigures(NamedTuple):
    """What our orders say about one service."""

    service_id: str
    days: int  #: RECENT or ALL
    completed: int
    rejected: int
    spent: float  #: US dollars for orders with a result
    refunded: float  #: US dollars that the provider paid back for them, as written down in disputes
    timed: int  #: orders of which it is known how long they took
    median: float | None  #: seconds; None where no order is timed
    slow: float | None  #: seconds within which nine of ten orders got a result
    computed_at: float  #: Unix time

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of `select(service_figures)`."""
        return cls._make(row)

    @property
    def finished(self) -> int:
        """Orders with a result."""
        return self.completed + self.rejected

    @property
    def rejection_rate(self) -> float | None:
        """The share of rejected orders, from 0 to 1; None without orders."""
        return self.rejected / self.finished if self.finished else None

    @property
    def cost(self) -> float | None:
        """US dollars for each completed result: what completed and rejected orders cost, less what was paid back."""
        return (self.spent - self.refunded) / self.completed if self.completed else None


@dataclass(frozen=True, slots=True)
class PriceSince:
    """What a service has cost from a moment on."""

    since: float  #: Unix time
    price: float  #: US dollars


# Reading


def figures(database: IMEIDatabase, days: int = RECENT) -> dict[str, ServiceFigures]:
    """Return service id → its figures, for services with orders."""
    with database.read() as connection:
        rows = connection.execute(select(service_figures).where(service_figures.c.days == days))
        return {row.service_id: ServiceFigures.from_row(row) for row in rows}


def figures_of(database: IMEIDatabase, service_id: str) -> dict[int, ServiceFigures]:
    """Return days → the figures of one service."""
    with database.read() as connection:
        rows = connection.execute(select(service_figures).where(service_figures.c.service_id == service_id))
        return {row.days: ServiceFigures.from_row(row) for row in rows}


def prices(database: IMEIDatabase, service_id: str) -> list[PriceSince]:
    """Return what a service has cost since when, oldest first."""
    query = select(service_prices.c.since, service_prices.c.price).where(service_prices.c.service_id == service_id)
    with database.read() as connection:
        return [PriceSince(*row) for row in connection.execute(query.order_by(service_prices.c.since))]


# Computing


def duty(database: IMEIDatabase) -> Duty:
    """Return the duty to compute the figures."""
    return Duty("services", LOOK, lambda _: update_figures(database), "The figures of services could not be computed")


def update_figures(database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
    """Count the results that came since the last time, and compute the figures."""
    while _count(database) == COUNTED_AT_ONCE:
        pass
    now = clock()
    rows = [row for days in (RECENT, ALL) for row in _computed(database, days, now)]
    with database.write() as connection:
        connection.execute(delete(service_figures))
        if rows:
            connection.execute(insert(service_figures), [row._asdict() for row in rows])


def _count(database: IMEIDatabase) -> int:
    """Count how long orders took whose status changed next, in one transaction. Return how many changes were read."""
    with database.write() as connection:
        upto = int(read_setting(connection, COUNTED) or 0)
        columns = status_changes.c.id, status_changes.c.old, status_changes.c.new, status_changes.c.changed_at
        query = select(*columns, orders.c.service_id, orders.c.order_date)
        query = query.outerjoin(orders, orders.c.id == status_changes.c.order_row).where(status_changes.c.id > upto)
        changes = connection.execute(query.order_by(status_changes.c.id).limit(COUNTED_AT_ONCE)).all()
        if changes:
            _add(connection, Counter(key for change in changes if (key := _key(change))))
            write_setting(connection, COUNTED, str(changes[-1].id))
    return len(changes)


def follow_removed_changes(connection: Transaction) -> None:
    """Lower the mark to the newest status change that is left: SQLite gives the ids of removed ones again."""
    newest = connection.execute(select(func.coalesce(func.max(status_changes.c.id), 0))).scalar_one()
    if int(read_setting(connection, COUNTED) or 0) > newest:
        write_setting(connection, COUNTED, str(newest))


def _key(change: Any) -> tuple[str, str, int] | None:
    """Return service, day and step of a first final status; None for any other change."""
    is_first = change.new in FINAL_STATUSES and change.old not in FINAL_STATUSES
    if not is_first or not change.service_id or change.order_date is None:
        return None
    seconds = (change.changed_at - change.order_date).total_seconds()
    return change.service_id, change.order_date.date().isoformat(), step_of(seconds)


def _add(connection: Transaction, counted: Mapping[tuple[str, str, int], int]) -> None:
    if not counted:
        return
    statement = upsert(turnarounds)
    added = {"orders": turnarounds.c.orders + statement.excluded.orders}
    rows = [
        {"service_id": service_id, "day": day, "step": step, "orders": count}
        for (service_id, day, step), count in counted.items()
    ]
    connection.execute(statement.on_conflict_do_update(index_elements=list(turnarounds.primary_key), set_=added), rows)


def step_of(seconds: float) -> int:
    """Return the step of a duration."""
    return round(STEPS * math.log2(max(seconds, 1.0)))


def seconds_of(step: int) -> float:
    """Return the duration of a step, exact to 5 %."""
    return math.exp2(step / STEPS)


def percentile(counted: Mapping[int, int], share: float) -> float | None:
    """Return the duration within which this share of the orders got a result; counted: step → orders."""
    wanted, seen = share * sum(counted.values()), 0
    for step, count in sorted(counted.items()):
        seen += count
        if seen >= wanted:
            return seconds_of(step)
    return None


def _computed(database: IMEIDatabase, days: int, now: float) -> list[ServiceFigures]:
    """Return the figures of all services with orders of these days."""
    day = (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).date() if days else None
    since = day.isoformat() if day else ""
    paid_back = [one for one in dispute_queries.paid_back(database, day) if one.has_result]
    counts, spent = defaultdict[str, Counter[str]](Counter), Counter[str]()
    with database.read() as connection:
        titled = _ids_by_title(connection)
        for service_id, name, status, count, amount in connection.execute(_order_sums(since)):
            found = service_id or titled.get(name, "")
            counts[found][status] += int(count)
            spent[found] += int(amount)
        refunded, timed = _refunds(connection, paid_back, titled), _turnarounds(connection, since)
    return [
        ServiceFigures(
            service_id=service_id,
            days=days,
            completed=of[OrderStatus.COMPLETED],
            rejected=of[OrderStatus.REJECTED],
            spent=spent[service_id] * MILLIONTH,
            refunded=refunded[service_id],
            timed=timed[service_id].total(),
            median=percentile(timed[service_id], 0.5),
            slow=percentile(timed[service_id], 0.9),
            computed_at=now,
        )
        for service_id, of in counts.items()
        if service_id
    ]


def _order_sums(since: str) -> Any:
    """Return the query of orders with a result: service id of the batch, name, status, orders, millionths."""
    added = sums()
    keys = batches.c.service_id, added.c.service_name, added.c.status
    query = select(*keys, func.total(added.c.orders), func.total(added.c.millionths))
    query = query.select_from(added.outerjoin(batches, batches.c.id == added.c.batch_id))
    return query.where(added.c.status.in_(FINAL_STATUSES), added.c.day >= since).group_by(*keys)


def _ids_by_title(connection: Connection) -> Mapping[str, str]:
    """Return title → service id, for orders that no batch of ours placed; a listed service goes before others."""
    rows = connection.execute(select(services.c.title, services.c.service_id).order_by(services.c.listed))
    return {row.title: row.service_id for row in rows}


def _refunds(connection: Connection, paid_back: Sequence[PaidBack], titled: Mapping[str, str]) -> Mapping[str, float]:
    """Return service id → US dollars that were paid back."""
    ids = {one.batch_id for one in paid_back}
    query = select(batches.c.id, batches.c.service_id).where(batches.c.id.in_(each_of(ids, "INTEGER")))
    service_of = {row.id: row.service_id for row in connection.execute(query)}
    found = defaultdict[str, float](float)
    for one in paid_back:
        found[service_of.get(one.batch_id) or titled.get(one.service_name, "")] += one.dollars
    return found


def _turnarounds(connection: Connection, since: str) -> Mapping[str, Counter[int]]:
    """Return service id → step → orders since a day."""
    keys = turnarounds.c.service_id, turnarounds.c.step
    query = select(*keys, func.total(turnarounds.c.orders)).where(turnarounds.c.day >= since).group_by(*keys)
    found = defaultdict[str, Counter[int]](Counter)
    for service_id, step, count in connection.execute(query):
        found[service_id][step] = count
    return found
