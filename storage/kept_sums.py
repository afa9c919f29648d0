"""Sums that pages need at once: kept up to a mark, counted beyond it, exact at any moment.

Placing an order writes no sum. What is new lies beyond the mark and is counted by each query, and `tend()`, in a
thread of the leader, moves the marks on. A change below a mark is carried over by triggers of the database, whoever
makes it (orders_recounted, orders_uncounted and orders_untallied in migrations/). Without `tend()` every number is
right, only slower.

- Orders and dollars by batch, day, service, status and verdict: kept in order_totals. The mark is a row id,
  totals_mark.upto; orders with a larger one are counted. A changed or deleted order below it is moved within
  order_totals. `schema.sums()` is both sides in one SELECT.
- IMEIs, calls and findings of a finished batch: kept in batches.tally, as JSON. The mark is batches.tally_revision; a
  batch with another revision is counted. Every change of a batch raises its revision, and a changed result clears the
  mark.

Both are needed: orders of no batch have no tally, and an IMEI without an order is in no total. To count instead takes
0.14 s of processor time for 200,000 orders by day and status, so some 3.6 s for 5,000,000 at each view of a report.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from operator import add
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Insert,
    Table,
    bindparam,
    case,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from database import IMEIDatabase, Transaction
from engines import read_prepared
from grading import Verdict, VerdictCounts
from orders import FINAL_STATUSES, OrderStatus
from schema import (
    MILLIONTH,
    UNTALLIED,
    NumberList,
    batches,
    chunks,
    items,
    millionths,
    order_totals,
    orders,
    totals_mark,
    upsert,
)
from storage.background import Duty

logger = logging.getLogger(__name__)

#: Orders that are counted into the totals in one transaction.
COUNTED_AT_ONCE = 50_000
#: Finished batches that are tallied in one transaction.
TALLIED_AT_ONCE = 20
#: Orders beyond the mark that pages may well count themselves.
FEW = 2000
#: Seconds between two looks at what there is to do, and between two looks at SQLite's statistics.
LOOK, STATISTICS = 5.0, 3600.0
#: What the results of a batch are summed up by.
FINDINGS = ("carrier", "simlock", "fmi", "blacklist")

#: How many IMEIs (false) and chunks (true) of some batches have each word. Made once: the status bar of every page
#: asks for them.
WORDS = union_all(
    *(
        select(literal_column(kind), by, word, func.count())
        .where(func.is_one_of(by, bindparam("ids", None, NumberList)))
        .group_by(by, word)
        for kind, by, word in (
            ("false", items.c.batch_id, items.c.outcome),
            ("true", chunks.c.batch_id, chunks.c.state),
        )
    )
)

#: In the order of the fields of OrderSums.
VERDICTS = (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL)

Counts = tuple[dict[str, int], dict[str, int]]
Findings = dict[str, dict[str, int]]


# Reading


class OrderSums(NamedTuple):
    """What the orders of one batch add up to."""

    millionths: int = 0  #: of a US dollar
    final: int = 0  #: orders that are completed or rejected
    pending: int = 0  #: the others
    passed: int = 0
    review: int = 0
    failed: int = 0

    @property
    def spent(self) -> float:
        """US dollars."""
        return self.millionths * MILLIONTH

    @property
    def verdicts(self) -> VerdictCounts:
        """The orders by verdict."""
        return VerdictCounts(self.passed, self.review, self.failed, self.pending)


def order_sums(connection: Connection, batch_ids: Sequence[int]) -> dict[int, OrderSums]:
    """Return batch id → the sums of its orders, for each of batch_ids.

    A batch that is under way is asked for often: its newer orders are found by the index of the batch, not among all
    that are newer than the mark.
    """
    found = dict.fromkeys(batch_ids, OrderSums())
    for batch_id, *sums in read_prepared(connection, _order_sums(), {"ids": list(batch_ids)}) if batch_ids else ():
        found[batch_id] = OrderSums(*map(add, found[batch_id], sums))
    return found


@cache
def _order_sums() -> CompoundSelect[Any]:
    """Summed part by part, in the order of an index: one sum over both would sort every order first."""
    mark = select(totals_mark.c.upto).scalar_subquery()
    wanted = bindparam("ids", None, NumberList)
    kept = _sums_of(order_totals, order_totals.c.orders, order_totals.c.millionths)
    counted: Any = select(order_totals.c.batch_id, *kept)
    newer: Any = select(orders.c.batch_id, *_sums_of(orders, literal_column("1"), millionths()))
    return union_all(
        counted.where(func.is_one_of(order_totals.c.batch_id, wanted)).group_by(order_totals.c.batch_id),
        newer.where(func.is_one_of(orders.c.batch_id, wanted), orders.c.id > mark).group_by(orders.c.batch_id),
    )


def _sums_of(table: Table, count: ColumnElement[Any], amount: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return the columns of OrderSums. count and amount are the orders and the millionths of one row."""
    is_pending = func.coalesce(table.c.status, "").not_in(FINAL_STATUSES)
    conditions = [~is_pending, is_pending, *(table.c.verdict == verdict for verdict in VERDICTS)]
    return [func.total(amount), *(func.total(case((condition, count), else_=0)) for condition in conditions)]


def counts(connection: Connection, rows: Sequence[Any]) -> dict[int, Counts]:
    """Return, for rows of batches: id → (outcome → IMEIs, chunk state → chunks)."""
    stale = [row.id for row in rows if row.tally_revision != row.revision]
    counted: dict[int, Counts] = {batch_id: ({}, {}) for batch_id in stale}
    for is_chunks, batch_id, word, count in read_prepared(connection, WORDS, {"ids": stale}) if stale else ():
        counted[batch_id][is_chunks][word] = count
    known: dict[int, Counts] = {row.id: json.loads(row.tally)[:2] for row in rows if row.tally_revision == row.revision}
    return known | counted


def findings(connection: Connection, batch_id: int) -> Findings:
    """Return, for each of FINDINGS, what the completed orders of a batch say ("" for nothing) → how many say so."""
    row = connection.execute(select(batches).where(batches.c.id == batch_id)).first()
    if row is not None and row.tally_revision == row.revision:
        return dict(json.loads(row.tally)[2])
    return _count_findings(connection, batch_id)


def _count_findings(connection: Connection, batch_id: int) -> Findings:
    columns = [func.coalesce(orders.c[name], "") for name in FINDINGS]
    query = select(*columns, func.count())
    query = query.where(orders.c.batch_id == batch_id, _completed()).group_by(*columns)
    found: dict[str, Counter[str]] = {name: Counter() for name in FINDINGS}
    for *values, count in connection.execute(query):
        for name, value in zip(FINDINGS, values, strict=True):
            found[name][value] += count
    return {name: dict(counter) for name, counter in found.items()}


def _completed() -> ColumnElement[bool]:
    return func.coalesce(orders.c.status, "") == OrderStatus.COMPLETED  # so that SQLite takes the batch's index


# Moving the marks on


def duties(database: IMEIDatabase) -> tuple[Duty, Duty]:
    """Return the duties to keep the sums, and the statistics of the planner."""
    return (
        Duty("sums", LOOK, lambda _: tend(database), "Sums could not be kept"),
        Duty("statistics", STATISTICS, lambda _: database.optimize(), "Statistics could not be updated"),
    )


def tend(database: IMEIDatabase, few: int = FEW) -> None:
    """Bring totals and tallies up to date, in transactions short enough for the loop to wait for.

    Totals are left as they are while at most `few` orders are beyond the mark.
    """
    with database.read() as connection:
        behind = uncounted(connection) > few
    while behind:
        with database.write() as connection:
            behind = not roll(connection)
    while tally_finished(database) == TALLIED_AT_ONCE:
        pass


def uncounted(connection: Connection) -> int:
    """Return how many row ids are beyond the mark of the totals."""
    newest = select(func.coalesce(func.max(orders.c.id), 0)).scalar_subquery()
    return int(connection.execute(select(newest - totals_mark.c.upto)).scalar_one())


def roll(connection: Transaction) -> bool:
    """Move the mark of the totals on, past COUNTED_AT_ONCE row ids at most. Return whether it is at the end."""
    after = connection.execute(select(totals_mark.c.upto)).scalar_one()
    newest = connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one()
    upto = min(newest, after + COUNTED_AT_ONCE)
    if upto > after:
        connection.execute(_roll(), {"after": after, "upto": upto})
        connection.execute(totals_mark.update().values(upto=upto))
    return bool(upto >= newest)


@cache
def _roll() -> Insert:
    """The statement that adds the orders behind one row id, up to another, to the totals."""
    keys = [*order_totals.primary_key]
    key: list[Any] = [orders.c.batch_id, func.day_of(orders.c.order_date), *(orders.c[one.name] for one in keys[2:])]
    words = [func.coalesce(column, 0 if place == 0 else "") for place, column in enumerate(key)]
    counted = select(*words, func.count(), func.total(millionths())).group_by(*words)
    counted = counted.where(orders.c.id > bindparam("after"), orders.c.id <= bindparam("upto"))
    statement = upsert(order_totals).from_select(order_totals.c.keys(), counted)
    added = {name: order_totals.c[name] + statement.excluded[name] for name in ("orders", "millionths")}
    return statement.on_conflict_do_update(index_elements=keys, set_=added)


def tally_finished(database: IMEIDatabase) -> int:
    """Count some of the finished batches that changed since they were counted. Return how many."""
    with database.read() as connection:
        rows = connection.execute(select(batches).where(UNTALLIED).limit(TALLIED_AT_ONCE)).all()
        counted = counts(connection, rows)
        found = {row: (*counted[row.id], _count_findings(connection, row.id)) for row in rows}
    if found:
        with database.write() as connection:
            for row, tally in found.items():
                unchanged = (batches.c.id == row.id) & (batches.c.revision == row.revision)
                values = {"tally": json.dumps(tally), "tally_revision": row.revision}
                connection.execute(update(batches).where(unchanged).values(**values))
    return len(rows)
