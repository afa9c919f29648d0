"""What orders add up to, exactly, without counting millions of them and without a cost for placing one.

The table order_totals holds the sums of every order up to a row id, the mark; newer orders are counted where they
lie. So an INSERT pays nothing, and upkeep moves the mark on when many have come. A change or a removal of an order
below the mark is carried over by a trigger of the database itself, whoever makes it.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Connection,
    bindparam,
    func,
    select,
    text,
    union_all,
)

from schema import MILLIONTH, millionths, order_totals, orders, totals_mark

#: Orders that are counted into the totals in one transaction.
COUNTED_AT_ONCE = 50_000

ROLL = text("""
INSERT INTO order_totals (batch_id, day, service_name, status, orders, millionths)
SELECT coalesce(batch_id, 0), coalesce(date(order_date), ''), coalesce(service_name, ''), coalesce(status, ''),
       count(*), sum(CAST(round(coalesce(credits, 0) * 1000000) AS INTEGER))
FROM orders WHERE id > :after AND id <= :upto GROUP BY 1, 2, 3, 4
ON CONFLICT (batch_id, day, service_name, status)
DO UPDATE SET orders = orders + excluded.orders, millionths = millionths + excluded.millionths
""")


def spent(connection: Connection, batch_ids: Sequence[int]) -> dict[int, float]:
    """Return batch id → US dollars of its orders, for those of batch_ids that have any.

    A batch that is under way is asked for often: its newer orders are found by the index of the batch, not among all
    that are newer than the mark.
    """
    found: Counter[int] = Counter()
    for batch_id, amount in connection.execute(_spent(), {"ids": list(batch_ids)}) if batch_ids else ():
        found[batch_id] += amount
    return {batch_id: amount * MILLIONTH for batch_id, amount in found.items()}


@cache
def _spent() -> CompoundSelect[Any]:
    """Summed part by part, in the order of an index: one sum over both would sort every order first."""
    mark = select(totals_mark.c.upto).scalar_subquery()
    wanted: BindParameter[Any] = bindparam("ids", expanding=True)
    counted: Any = select(order_totals.c.batch_id, func.sum(order_totals.c.millionths))
    newer: Any = select(orders.c.batch_id, func.sum(millionths()))
    return union_all(
        counted.where(order_totals.c.batch_id.in_(wanted)).group_by(order_totals.c.batch_id),
        newer.where(orders.c.batch_id.in_(wanted), orders.c.id > mark).group_by(orders.c.batch_id),
    )


def uncounted(connection: Connection) -> int:
    """How many row ids lie behind the mark."""
    newest = select(func.coalesce(func.max(orders.c.id), 0)).scalar_subquery()
    return int(connection.execute(select(newest - totals_mark.c.upto)).scalar_one())


def roll(connection: Connection) -> bool:
    """Move the mark on, past COUNTED_AT_ONCE row ids at most. Returns whether it is at the end."""
    after = connection.execute(select(totals_mark.c.upto)).scalar_one()
    newest = connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one()
    upto = min(newest, after + COUNTED_AT_ONCE)
    if upto > after:
        connection.execute(ROLL, {"after": after, "upto": upto})
        connection.execute(totals_mark.update().values(upto=upto))
    return bool(upto >= newest)
