"""Verdicts that follow the rules: graded again in the background, in transactions short enough for the loop.

Three things make a verdict outdated, and each leaves a mark that a kill does not lose:

- A result without a verdict, as after an upgrade: it is in the index of ungraded orders until it is graded.
- A new version of the rules: `grading.mark` holds the version and the last row id that was graded by it.
- The age of a result, where a rule looks at it: `grading.mark` holds the moment up to which ages are followed.

A result that arrives meanwhile is graded by the newest rules in its own transaction (verdict_store.grade_rows).
"""

import json
import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select

from database import IMEIDatabase, Transaction, read_setting, utc_now, write_setting
from orders import FINAL_STATUSES
from schema import UNGRADED, orders
from storage import batch_states
from storage.background import Duty
from storage.verdict_store import GRADED, RuleVersion, rules_in_force, write_grades

logger = logging.getLogger(__name__)

#: Orders of one transaction, and seconds between two looks at what there is to do.
GRADED_AT_ONCE, LOOK = 500, 2.0
MARK = "grading.mark"
#: The version that a new database begins with; its results are graded as they arrive.
FIRST_VERSION = 1


class GradingMark(NamedTuple):
    """How far the orders follow the rules."""

    version: int  #: the rules that orders up to `after` are graded by
    after: int  #: a row id
    is_done: bool  #: every order is graded by this version
    aged_to: datetime  #: UTC: verdicts that depend on an age are right for this moment


class Regrade(NamedTuple):
    """How far the orders are graded by the newest rules, for a page."""

    version: int
    done: int  #: row ids
    total: int

    @property
    def percent(self) -> int:
        """Whole percent, 100 only at the end."""
        return 100 * self.done // self.total if self.total else 100


def duty(database: IMEIDatabase) -> Duty:
    """Return the duty to follow the rules."""
    return Duty("verdicts", LOOK, partial(regrade, database), "Orders could not be graded")


def regrade(database: IMEIDatabase, stop: threading.Event | None = None, now: datetime | None = None) -> int:
    """Grade what is outdated, and pause as long as each transaction took. Return how many orders were looked at."""
    stop, total = stop or threading.Event(), 0
    while not stop.is_set() and _is_due(database, now or utc_now()):
        started = time.monotonic()
        total += step(database, now or utc_now())
        stop.wait(time.monotonic() - started)
    return total


def progress(database: IMEIDatabase) -> Regrade | None:
    """Return how far the re-grading after a change of the rules is; None where nothing is left to do."""
    with database.read() as connection:
        version, mark = rules_in_force(connection).version, _mark(connection)
        if version == mark.version and mark.is_done:
            return None
        done = mark.after if version == mark.version else 0
        return Regrade(version, done, _last(connection))


def step(database: IMEIDatabase, now: datetime) -> int:
    """Grade the next orders that are outdated, in one transaction. Return how many were looked at."""
    with database.write() as connection:
        rules, mark = rules_in_force(connection), _mark(connection)
        ungraded = select(*GRADED).where(UNGRADED).order_by(orders.c.id).limit(GRADED_AT_ONCE)
        rows = connection.execute(ungraded).all()
        if not rows and mark.version != rules.version:
            mark = GradingMark(rules.version, 0, is_done=False, aged_to=now)
            _write_mark(connection, mark)
            logger.info("Version %d of the grading rules is in force: every result is graded again", rules.version)
        if not rows and not mark.is_done:
            rows = _next_by_id(connection, mark)
        elif not rows:
            rows = _next_by_age(connection, mark, _days(rules), now)
        batch_states.touch(connection, *write_grades(connection, rows, rules, now))
    return len(rows)


def _next_by_id(connection: Transaction, mark: GradingMark) -> list[Row[Any]]:
    """Return the next orders with a result by row id, and move the mark past them."""
    last, upto = _last(connection), mark.after + GRADED_AT_ONCE
    query = select(*GRADED).where(orders.c.id > mark.after, orders.c.id <= upto)
    _write_mark(connection, mark._replace(after=min(upto, last), is_done=upto >= last))
    return [row for row in connection.execute(query) if row.status in FINAL_STATUSES]


def _next_by_age(connection: Transaction, mark: GradingMark, days: Iterable[int], now: datetime) -> list[Row[Any]]:
    """Return the next orders that have reached an age, and move the mark to the moment of the last one."""
    ages, upto = [timedelta(days=day) for day in days], now
    for age in ages:
        due = _placed(mark.aged_to - age, now - age, orders.c.order_date).limit(GRADED_AT_ONCE)
        dates = list(connection.execute(due).scalars())
        if len(dates) == GRADED_AT_ONCE:
            upto = min(upto, dates[-1] + age)
    found: dict[int, Row[Any]] = {}
    for age in ages:
        found |= {row.id: row for row in connection.execute(_placed(mark.aged_to - age, upto - age, *GRADED))}
    _write_mark(connection, mark._replace(aged_to=upto))
    return [row for row in found.values() if row.status in FINAL_STATUSES]


def _is_due(database: IMEIDatabase, now: datetime) -> bool:
    with database.read() as connection:
        rules, mark = rules_in_force(connection), _mark(connection)
        if rules.version != mark.version or not mark.is_done:
            return True
        ages = (timedelta(days=day) for day in _days(rules))
        due = (_placed(mark.aged_to - age, now - age, orders.c.id).limit(1) for age in ages)
        ungraded = select(orders.c.id).where(UNGRADED).order_by(orders.c.id).limit(1)
        return any(connection.execute(query).first() is not None for query in (ungraded, *due))


def _placed(since: datetime, until: datetime, *columns: Any) -> Select[Any]:
    """Return the SELECT of orders that were placed after a moment and until another, the oldest first."""
    placed = orders.c.order_date
    return select(*columns).where(placed > since, placed <= until).order_by(placed)


def _days(rules: RuleVersion) -> list[int]:
    return sorted({rule.days for rule in rules.rules if rule.days is not None})


def _last(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one())


def _mark(connection: Connection) -> GradingMark:
    stored = read_setting(connection, MARK)
    if stored is None:
        return GradingMark(FIRST_VERSION, 0, is_done=True, aged_to=utc_now())
    version, after, is_done, aged_to = json.loads(stored)
    return GradingMark(version, after, is_done, datetime.fromisoformat(aged_to))


def _write_mark(connection: Transaction, mark: GradingMark) -> None:
    write_setting(connection, MARK, json.dumps([*mark[:3], mark.aged_to.isoformat()]))
