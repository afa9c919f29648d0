"""Which phones an automation may order: new results that fit its filter, or every phone of it. Reads only."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from orders import OrderStatus
from schema import automation_phones, batches, each_of, orders, status_changes
from storage.automation_store import SOURCE, Automation
from storage.order_filters import Guide, fitting, guide, order_of
from storage.order_terms import OrderFilter, wordings_of

#: Status changes that one turn looks at.
SCANNED = 5000


class Arrived(NamedTuple):
    """New results of an automation."""

    upto: int  #: status changes up to this id were looked at
    phones: list[tuple[str, int]]  #: IMEI, and the id of the status change, the oldest first
    since: datetime | None  #: UTC; when the oldest of them came


def arrived(connection: Connection, automation: Automation, most: int) -> Arrived:
    """Return the new results that fit the filter of an automation, at most this many. Raises UnreadableFilterError.

    Results that an automation ordered are left out: no automation starts another one.
    """
    after = automation.after_change
    newest = connection.execute(select(func.max(status_changes.c.id))).scalar() or 0
    upto = min(newest, after + min(SCANNED, most))
    if upto <= after:
        return Arrived(after, [], None)
    chosen = automation.terms.chosen
    columns = (orders.c.imei, status_changes.c.id, status_changes.c.changed_at)
    query = (
        select(*columns)
        .select_from(status_changes)
        .join(orders, orders.c.id == status_changes.c.order_row)
        .outerjoin(batches, batches.c.id == orders.c.batch_id)
        .where(status_changes.c.id > after, status_changes.c.id <= upto)
        .where(status_changes.c.new == OrderStatus.COMPLETED, func.coalesce(batches.c.source, "") != SOURCE)
        .where(*fitting(chosen, Guide(meanings=wordings_of(connection, chosen))))
        .order_by(status_changes.c.id)
    )
    rows = connection.execute(query).all()
    phones = [(imei, change) for imei, change, _ in rows]
    return Arrived(upto, phones, rows[0].changed_at if rows else None)


def phones_of(connection: Connection, chosen: OrderFilter, most: int) -> list[str]:
    """Return each IMEI that a filter selects, at most this many."""
    query = select(orders.c.imei).where(*fitting(chosen, guide(connection, chosen)))
    return list(connection.execute(query.group_by(orders.c.imei).limit(most)).scalars())


def newest_results(connection: Connection, chosen: OrderFilter, most: int) -> list[str]:
    """Return the IMEIs of the newest orders that a filter selects, the oldest first."""
    guided = guide(connection, chosen)
    ids = select(orders.c.id).where(*fitting(chosen, guided)).order_by(*order_of(chosen, guided)).limit(most)
    query = select(orders.c.imei).where(orders.c.id.in_(ids)).order_by(orders.c.id)
    return list(connection.execute(query).scalars())


def other_imeis(connection: Connection, imeis: Iterable[str]) -> dict[str, str]:
    """Return IMEI → the other IMEI of the same phone, where any result names both.

    The newest result counts. One about another device than the ordered one says nothing about the ordered one.
    """
    given, both = list(imeis), select(orders.c.imei, orders.c.imei2).order_by(orders.c.id)
    both = both.where(orders.c.imei2.is_not(None), orders.c.imei2 != orders.c.imei, orders.c.other_imei.is_(None))
    found: dict[str, str] = {}
    for column in (orders.c.imei, orders.c.imei2):
        for imei, imei2 in connection.execute(both.where(column.in_(each_of(given, "TEXT")))):
            found |= {imei: imei2, imei2: imei}
    return found


def ordered_by_it(connection: Connection, automation_id: int, imeis: Iterable[str]) -> Collection[str]:
    """Return those of these IMEIs that an automation has ordered."""
    query = select(automation_phones.c.imei).where(automation_phones.c.automation_id == automation_id)
    return set(connection.execute(query.where(automation_phones.c.imei.in_(each_of(imeis, "TEXT")))).scalars())
