"""Balance readings on disk: what the account held while no call was on the wire, and what our records say was spent.

A reading counts as evidence because the provider worked on no call of ours when it was taken: every attempt with a
smaller id than its before_attempt had ended, and every other one had not begun. This module writes and sums;
submission/absence.py decides.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, insert, literal, or_, select, true

from database import utc_now
from engines import read_prepared
from orders import OrderStatus
from schema import attempts, balance_readings, chunks, orders, rejections, services
from settings import MAIN_ACCOUNT
from storage import call_queries, kept_sums

READING = balance_readings.c  #: in the order of the fields of Reading
#: Calls that may be under way at once, with some to spare.
NEWEST_CALLS = 300
#: Readings that show how finely balances are written, and the most cents of a step.
NEWEST_READINGS, LONGEST_STEP = 50, 100_000
#: US dollars that may be paid back for an order. One that was imported or restored may have no price: then that of its
#: service, or the dearest one. Less would hide the charge of an order that nobody knows.
OF_SERVICE = select(services.c.price).where(services.c.service_id == orders.c.service_id).scalar_subquery()
DEAREST = select(func.max(services.c.price)).scalar_subquery()
REFUND = func.coalesce(orders.c.credits, OF_SERVICE, DEAREST, 0.0)
#: US dollars: a balance that differs by more from what our orders cost is shown as a difference.
HALF_A_CENT = 0.005


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account held when it was asked."""

    credits: float  #: US dollars
    last_rejection: int  #: the newest row id of rejections right before it was asked
    has_cents: bool = True  #: the provider writes the cents, also where there are none


@dataclass(frozen=True, slots=True)
class Reading:
    """The account's credits at one moment without a call on the wire."""

    reading_id: int
    read_at: datetime  #: UTC
    credits: float  #: US dollars
    before_attempt: int  #: attempts with a smaller id had ended; no other had begun
    after_order: int  #: the newest row id of the orders table by then
    account: str
    last_rejection: int | None  #: as in Holding; None: an earlier version has read it


@dataclass(frozen=True, slots=True)
class Spending:
    """What our records say was paid since a reading, in US dollars."""

    known: float  #: orders of the calls that began since
    refundable: float  #: of these and older ones: rejected since, so that the provider may have paid them back
    rejected: float  #: of the orders of the calls that began since: rejected by now


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """The balances before the first call of a batch and after its last, and what our records explain, in US dollars.

    They are those of all accounts that made calls of the batch.
    """

    before: float
    after: float
    cost: float  #: of the orders that our calls placed between the two readings
    shared: bool  #: calls of other batches lie between them too

    @property
    def fell(self) -> float:
        """By how much the balance fell; negative where it rose."""
        return round(self.before - self.after, 4)

    @property
    def unexplained(self) -> float:
        """What was charged beyond the cost; negative where less was charged; 0 for half a cent or less."""
        difference = round(self.before - self.after - self.cost, 4)
        return difference if abs(difference) > HALF_A_CENT else 0.0


def newest_rejection(connection: Connection) -> int:
    """Return the newest row id of rejections: what is recorded later has a larger one, whatever the clocks say."""
    return int(connection.execute(select(func.coalesce(func.max(rejections.c.id), 0))).scalar_one())


def record_reading(
    connection: Connection, credits: float, account: str = MAIN_ACCOUNT, last_rejection: int | None = None
) -> Reading:
    """Write what an account holds now (US dollars), while the provider works on no call of it. Return the reading.

    last_rejection is that of before it was asked; None: nothing was recorded since.
    """
    values = {
        "read_at": utc_now(),
        "credits": credits,
        "before_attempt": call_queries.newest_attempt(connection) + 1,
        "after_order": call_queries.newest_order(connection),
        "account": account,
        "rejections": newest_rejection(connection) if last_rejection is None else last_rejection,
    }
    return Reading(*connection.execute(insert(balance_readings).values(**values).returning(*READING)).one())


def first_reading(connection: Connection, since: datetime | None, account: str) -> Reading | None:
    """Return the first reading of an account since a moment (UTC, None: of all), or None."""
    query = _readings_of(account).order_by(READING.id)
    return _first(connection, query if since is None else query.where(READING.read_at >= since))


def reading_before(connection: Connection, attempt_id: int, account: str) -> Reading | None:
    """Return the newest reading of an account from before this attempt began, or None."""
    query = _readings_of(account).where(READING.before_attempt <= attempt_id)
    return _first(connection, query.order_by(READING.before_attempt.desc(), READING.id.desc()))


def reading_after(connection: Connection, attempt_id: int, account: str = MAIN_ACCOUNT) -> Reading | None:
    """Return the first reading of an account from after this attempt of it had ended, or None."""
    query = _readings_of(account).where(READING.before_attempt > attempt_id)
    return _first(connection, query.order_by(READING.before_attempt, READING.id))


def newest_reading(connection: Connection, account: str = MAIN_ACCOUNT) -> Reading | None:
    """Return the newest reading of an account; None before the first."""
    return _first(connection, _readings_of(account).order_by(READING.id.desc()))


def step_of(connection: Connection, credits: float, account: str = MAIN_ACCOUNT) -> float:
    """Return the least difference that balances of an account show, by this one and the newest ones on disk.

    In US dollars: 0.01, 0.1, 1, 10 and so on: the largest of which all are multiples.
    """
    query = select(READING.credits).where(READING.account == account)
    newest = connection.execute(query.order_by(READING.id.desc()).limit(NEWEST_READINGS)).scalars()
    cents = math.gcd(*(round(100 * held) for held in (credits, *newest)))
    step = 1
    while step < LONGEST_STEP and cents % (10 * step) == 0:
        step *= 10
    return step / 100


def newest_reading_and_call(
    connection: Connection, account: str = MAIN_ACCOUNT
) -> tuple[Reading | None, datetime | None]:
    """Return the newest reading of an account, and when the last of its newest calls ended (UTC).

    None before the first; a call that has not ended counts by when it began. One statement, because every page asks.
    """
    *reading, called = read_prepared(connection, _newest_reading_and_call(), {"of": account}).one()
    return (None if reading[0] is None else Reading(*reading)), called


@cache
def _newest_reading_and_call() -> Select[Any]:
    own = select(balance_readings).where(READING.account == bindparam("of"))
    newest = own.order_by(READING.id.desc()).limit(1).subquery()
    found = select(literal(1).label("one")).subquery().outerjoin(newest, true())
    return select(newest, _newest_call().scalar_subquery()).select_from(found)


@cache
def _newest_call() -> Select[Any]:
    ended = func.coalesce(attempts.c.ended_at, attempts.c.sent_at).label("ended")
    theirs = select(ended).where(attempts.c.account == bindparam("of"))
    newest = theirs.order_by(attempts.c.id.desc()).limit(NEWEST_CALLS).subquery()
    return select(func.max(newest.c.ended, type_=attempts.c.sent_at.type))


def spent_since(connection: Connection, reading: Reading, until: Reading | None = None) -> Spending:
    """Return what our records say was paid by its account after a reading, up to another one or until now.

    Counted are the orders of calls that began after it. An order of an earlier call that is found later may have been
    charged before or after it: leaving it out can make more unexplained, never less. Orders that the
    provider had before our call (existed) cost nothing. What was rejected since is found by the order of the records.
    """
    whose, ours = call_queries.of_account(reading.account), _placed_since(reading)
    if until is not None:
        ours &= orders.c.attempt_id < until.before_attempt
    cost, is_rejected = func.sum(orders.c.credits), orders.c.status == OrderStatus.REJECTED
    known, rejected = connection.execute(select(cost, cost.filter(is_rejected)).where(ours)).one()
    refundable = connection.execute(
        select(func.sum(REFUND)).where(whose, is_rejected, _changed_since(reading))
    ).scalar_one()
    return Spending(float(known or 0.0), float(refundable or 0.0), float(rejected or 0.0))


def prices_since(connection: Connection, reading: Reading) -> list[tuple[str, float, int]]:
    """Return (service id, US dollars an order, number of orders) of what spent_since() counts as known."""
    query = select(orders.c.service_id, orders.c.credits, func.count()).where(_placed_since(reading))
    rows = connection.execute(query.group_by(orders.c.service_id, orders.c.credits))
    return [(service_id or "", float(price or 0.0), count) for service_id, price, count in rows]


def _placed_since(reading: Reading) -> ColumnElement[bool]:
    """The condition that a call of its account that began after a reading has placed an order."""
    began = (orders.c.id > reading.after_order) & (orders.c.attempt_id >= reading.before_attempt)
    return call_queries.of_account(reading.account) & ~orders.c.existed & began


def _changed_since(reading: Reading) -> ColumnElement[bool]:
    """The condition that a rejected order was rejected, or changed once more, after a balance was asked for.

    Where an earlier version has read it, the time must tell for orders from before rejections were logged.
    """
    logged = select(rejections.c.order_row).where(rejections.c.id > (reading.last_rejection or 0))
    since = orders.c.id.in_(logged)
    return since if reading.last_rejection is not None else or_(since, orders.c.updated_at >= reading.read_at)


def balance_change(connection: Connection, batch_id: int) -> BalanceChange | None:
    """Compare the balance around the calls of a batch so far; None without a reading before and after them.

    An order counts for the attempt that placed it, so one that is found later still explains its charge.
    """
    of_batch = select(attempts.c.account, func.min(attempts.c.id), func.max(attempts.c.id))
    of_batch = of_batch.join(chunks, chunks.c.id == attempts.c.chunk_id).where(chunks.c.batch_id == batch_id)
    pairs = [
        (reading_before(connection, first, account), reading_after(connection, last, account))
        for account, first, last in connection.execute(of_batch.group_by(attempts.c.account)).all()
    ]
    known = [(before, after) for before, after in pairs if before is not None and after is not None]
    if not pairs or len(known) < len(pairs):
        return None
    cost, shared = kept_sums.order_sums(connection, [batch_id])[batch_id].spent, False
    for before, after in known:
        others = _other_batches(connection, batch_id, before, after)
        cost += _placed_between(connection, others, before, after) if others else 0.0
        shared = shared or bool(others)
    held_before, held_after = (sum(pair[place].credits for pair in known) for place in (0, 1))
    return BalanceChange(held_before, held_after, round(cost, 4), shared)


def _other_batches(connection: Connection, batch_id: int, before: Reading, after: Reading) -> list[int]:
    """Return the other batches that made calls between two readings."""
    calls = attempts.c.id.between(before.before_attempt, after.before_attempt - 1)
    between = calls & (attempts.c.account == before.account)
    query = select(chunks.c.batch_id).distinct().join(attempts, attempts.c.chunk_id == chunks.c.id)
    return list(connection.execute(query.where(between, chunks.c.batch_id != batch_id)).scalars())


def _placed_between(connection: Connection, batch_ids: list[int], before: Reading, after: Reading) -> float:
    """Return the US dollars of the orders that calls of these batches placed between two readings."""
    calls = orders.c.attempt_id.between(before.before_attempt, after.before_attempt - 1)
    between = calls & (orders.c.account == before.account)
    query = select(func.coalesce(func.sum(orders.c.credits), 0.0))
    query = query.where(orders.c.batch_id.in_(batch_ids), between, ~orders.c.existed)
    return float(connection.execute(query).scalar_one())


def _readings_of(account: str) -> Select[Any]:
    return select(balance_readings).where(READING.account == account)


def _first(connection: Connection, readings: Select[Any]) -> Reading | None:
    row = connection.execute(readings.limit(1)).first()
    return None if row is None else Reading(*row)
