"""Automations and the log of their runs: read whole, and changed by guarded updates. Nothing is decided here.

Each change and each run raises the revision of its automation. A run is recorded in the transaction that creates its
batch and only at the revision at which it was decided, so that no two processes order for the same reason.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, select, update

from amounts import exceeds
from database import Transaction, utc_now
from orders import AutomationKind, BatchState, OrderStatus, RunKind
from people import Actor
from schema import automation_phones, automation_runs, automations, batches, each_of, orders, services, status_changes
from storage.batch_queries import spent_or_promised, spent_or_promised_by_batch
from storage.order_terms import OrderFilter
from storage.stop_loss import bad_results

#: The source of batches that automations make.
SOURCE = "automation"
#: What a field of a filter is read by, from the text of a URL: by the type of the field.
READERS: Mapping[Any, Callable[[str], Any]] = MappingProxyType(
    {str: str, int | None: int, date | None: date.fromisoformat, bool: lambda text: text == "1"}
)
#: The newest runs whose results the stop-loss looks at.
JUDGED_RUNS = 100


class UnreadableFilterError(Exception):
    """A stored filter has a field or a value that this version does not know; it must not be ignored."""


class ChangedMeanwhileError(Exception):
    """Nothing was ordered: the automation was changed, or ran, since it was looked at."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person sets: any change of it turns an automation off. Amounts are in US dollars."""

    name: str
    filter: str  #: as a URL holds it
    service_id: str
    max_price: float  #: an IMEI; a higher price turns it off
    daily_limit: float  #: of one UTC day
    every_days: int = 7
    hour: int = 8  #: in the time zone
    time_zone: str = "UTC"
    first_day: str = ""  #: in the time zone, such as 2026-12-06; "" for a follow-up

    @property
    def chosen(self) -> OrderFilter:
        """The completed orders that its filter selects. Raises UnreadableFilterError."""
        return read_stored_filter(self.filter)


@dataclass(frozen=True, slots=True)
class Automation:
    """A saved rule that orders checks by itself while it is on. Times are UTC."""

    automation_id: int
    kind: AutomationKind
    terms: Terms
    is_on: bool
    notice: str  #: why it is off, or what it waits for
    user_id: int | None  #: who turned it on last; None in the demo
    ordered_by: str  #: the name of this user
    created_at: datetime
    changed_at: datetime
    revision: int
    after_change: int  #: results up to this status change are done
    due_at: datetime | None  #: when a re-check runs next

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Make one of a row of `select(automations)`."""
        values = dict(row._mapping)
        terms = Terms(**{name: values.pop(name) for name in Terms.__slots__})
        automation_id, kind = values.pop("id"), AutomationKind(values.pop("kind"))
        return cls(automation_id=automation_id, kind=kind, terms=terms, **values)

    @property
    def rechecks(self) -> bool:
        """Whether it orders phones again that have a result of its service."""
        return self.kind is AutomationKind.RECHECK

    @property
    def orders_as(self) -> str:
        """Who ordered its batches, as lists show it."""
        return f"rule {self.terms.name}"


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run found and did, for the log."""

    kind: RunKind
    actor: str
    found: int  #: phones
    sent: int = 0  #: IMEIs that were put in the batch, or would be
    price: float = 0.0  #: US dollars an IMEI
    left_out: Mapping[str, int] = field(default_factory=dict)  #: why → phones
    samples: Sequence[str] = ()  #: the first of its IMEIs
    words: str = ""
    at: datetime | None = None  #: UTC, before its phones were looked up; None: when it is written


class Run(NamedTuple):
    """One line of the log. Times are UTC."""

    run_id: int
    automation_id: int
    at: datetime
    kind: RunKind
    actor: str
    found: int  #: phones
    sent: int  #: IMEIs that were put in the batch, or would be
    price: float  #: US dollars an IMEI
    left_out: Mapping[str, int]  #: why → phones
    samples: Sequence[str]  #: the first of its IMEIs
    words: str
    batch_id: int | None
    is_compared: bool  #: nothing is left to compare
    compared: int  #: phones with a result before and after
    compared_revision: int | None  #: of the batch, when it was compared last
    changed: int  #: phones
    changes: Mapping[str, int]  #: what changed → phones

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of `select(automation_runs)`."""
        run = cls._make(row)
        read = {name: json.loads(str(getattr(run, name))) for name in ("left_out", "samples", "changes")}
        return run._replace(kind=RunKind(run.kind), **read)

    @property
    def cost(self) -> float:
        """US dollars if every one of its IMEIs is accepted."""
        return self.sent * self.price


def read_stored_filter(text: str) -> OrderFilter:
    """Return the completed orders that a stored filter selects. Raises UnreadableFilterError."""
    given, known = dict(parse_qsl(text, keep_blank_values=True)), OrderFilter.__dataclass_fields__
    try:
        values: dict[str, Any] = {name: READERS[known[name].type](value) for name, value in given.items()}
    except (KeyError, ValueError) as error:
        raise UnreadableFilterError(f"Its filter cannot be read any more: {error}.") from error
    found = OrderFilter(**values)
    if not given or filter_text(found) != text or found.status:
        raise UnreadableFilterError("Its filter cannot be read any more.")
    return OrderFilter(**values, status=OrderStatus.COMPLETED)


def filter_text(chosen: OrderFilter) -> str:
    """Return a filter as it is stored."""
    return urlencode(chosen.arguments())


# Reading


def all_automations(connection: Connection) -> list[Automation]:
    """Return every automation, by name."""
    return [Automation.from_row(row) for row in connection.execute(select(automations).order_by(automations.c.name))]


def automations_on(connection: Connection) -> list[Automation]:
    """Return the automations that run by themselves, the oldest first."""
    query = select(automations).where(automations.c.is_on).order_by(automations.c.id)
    return [Automation.from_row(row) for row in connection.execute(query)]


def find_automation(connection: Connection, automation_id: int) -> Automation | None:
    """Return the automation with this id."""
    row = connection.execute(select(automations).where(automations.c.id == automation_id)).first()
    return Automation.from_row(row) if row else None


def is_name_taken(connection: Connection, name: str, automation_id: int | None) -> bool:
    """Return whether another automation has this name."""
    others = select(automations.c.id).where(automations.c.name == name, automations.c.id != (automation_id or 0))
    return connection.execute(others).first() is not None


def runs_of(connection: Connection, automation_id: int, limit: int) -> list[Run]:
    """Return the newest runs of an automation, the newest first."""
    query = select(automation_runs).where(automation_runs.c.automation_id == automation_id)
    newest = query.order_by(automation_runs.c.id.desc()).limit(limit)
    return [Run.from_row(row) for row in connection.execute(newest)]


def find_run(connection: Connection, run_id: int) -> Run | None:
    """Return the run with this id."""
    row = connection.execute(select(automation_runs).where(automation_runs.c.id == run_id)).first()
    return Run.from_row(row) if row else None


def last_runs(connection: Connection) -> dict[int, Run]:
    """Return the id of each automation that has run → its newest run."""
    of_one = automation_runs.c.automation_id == automations.c.id
    newest = select(func.max(automation_runs.c.id)).where(of_one).correlate(automations).scalar_subquery()
    query = select(automation_runs).where(automation_runs.c.id.in_(select(newest).select_from(automations)))
    return {run.automation_id: run for run in map(Run.from_row, connection.execute(query))}


def service_titles(connection: Connection, service_ids: Iterable[str]) -> dict[str, str]:
    """Return the id of each of these services → its title, or words with its id where it was never listed."""
    wanted = list(service_ids)
    query = select(services.c.service_id, services.c.title).where(services.c.service_id.in_(each_of(wanted)))
    titles = {row.service_id: row.title for row in connection.execute(query)}
    return {name: titles.get(name, f"service {name}") for name in wanted}


def spent_today(connection: Connection) -> dict[int, float]:
    """Return the id of each automation that ordered → what spent_on_day() says of it."""
    dollars = spent_or_promised_by_batch(connection, exists().where(automation_runs.c.batch_id == batches.c.id))
    columns, found = (automation_runs.c.automation_id, automation_runs.c.batch_id), defaultdict[int, float](float)
    query = select(*columns).where(automation_runs.c.batch_id.in_(each_of(dollars, "INTEGER")))
    for automation_id, batch_id in connection.execute(query):
        found[automation_id] += dollars[batch_id]
    return found


def spent_on_day(connection: Connection, automation_id: int) -> float:
    """Return the US dollars that an automation ordered this UTC day, with what it may still spend or have spent."""
    return spent_or_promised(connection, batches.c.id.in_(_batches_of(automation_id)))


def unfinished_batches_of(connection: Connection, automation_id: int) -> Sequence[Any]:
    """Return id, state, notice and resumes_itself of the batches of an automation that are not all sent."""
    columns = (batches.c.id, batches.c.state, batches.c.notice, batches.c.resumes_itself)
    theirs = batches.c.id.in_(_batches_of(automation_id))
    query = select(*columns).where(theirs, batches.c.state.in_([BatchState.RUNNING, BatchState.PAUSED]))
    return connection.execute(query.order_by(batches.c.id)).all()


def bad_results_since(connection: Connection, automation: Automation, newest: int) -> tuple[int, int]:
    """Return how many of the newest results of an automation are bad, and how many were looked at.

    Only results of batches that it ordered since it was turned on count: a person has seen the others.
    """
    since = automation_runs.c.at >= automation.changed_at
    ordered = _batches_of(automation.automation_id).where(since).order_by(automation_runs.c.id.desc())
    theirs = orders.c.batch_id.in_(select(ordered.limit(JUDGED_RUNS).subquery().c.batch_id))
    return bad_results(connection, theirs, orders.c.id.desc(), newest)


def _batches_of(automation_id: int) -> Select[Any]:
    query = select(automation_runs.c.batch_id).where(automation_runs.c.automation_id == automation_id)
    return query.where(automation_runs.c.batch_id.is_not(None))


# Changing


def create(connection: Transaction, kind: AutomationKind, terms: Terms, actor: Actor) -> int:
    """Write an automation that is off. Return its id."""
    now = utc_now()
    who = {"user_id": actor.user_id, "ordered_by": actor.name, "created_at": now, "changed_at": now}
    new = insert(automations).values(kind=kind, **_columns(terms), **who)
    return int(connection.execute(new.returning(automations.c.id)).scalar_one())


def change(connection: Transaction, automation: Automation, terms: Terms, notice: str) -> None:
    """Write other terms, and turn it off. Raises ChangedMeanwhileError."""
    _move(connection, automation, **_columns(terms), is_on=False, notice=notice, changed_at=utc_now())


def turn_on(connection: Transaction, automation: Automation, actor: Actor, due_at: datetime | None) -> None:
    """Let it run by itself, for this user: over results that arrive from now on, or from a due time on.

    Raises ChangedMeanwhileError.
    """
    newest = connection.execute(select(func.coalesce(func.max(status_changes.c.id), 0))).scalar_one()
    who = {"user_id": actor.user_id, "ordered_by": actor.name, "changed_at": utc_now()}
    _move(connection, automation, is_on=True, notice="", after_change=newest, due_at=due_at, **who)


def turn_off(connection: Transaction, automation: Automation, why: str) -> None:
    """Let it order nothing by itself. Raises ChangedMeanwhileError."""
    _move(connection, automation, is_on=False, notice=why, due_at=None, changed_at=utc_now())


def set_notice(connection: Transaction, automation: Automation, notice: str) -> None:
    """Write what an automation that is on waits for; "" for nothing."""
    of_this = (automations.c.id == automation.automation_id, automations.c.revision == automation.revision)
    connection.execute(update(automations).where(*of_this).values(notice=notice))


def advance(connection: Transaction, automation: Automation, is_still_on: bool = True, **marks: Any) -> None:
    """Write that it has run: after_change or due_at, and its notice. Raises ChangedMeanwhileError.

    is_still_on: only while it is on, for what it does by itself.
    """
    _move(connection, automation, *([automations.c.is_on] if is_still_on else []), **marks)


def add_run(connection: Transaction, automation: Automation, new: NewRun, batch_id: int | None = None) -> int:
    """Write a line of the log. Return its id."""
    waits_for_results = automation.rechecks and batch_id is not None
    row = {
        "automation_id": automation.automation_id,
        "at": new.at or utc_now(),
        "kind": new.kind,
        "actor": new.actor,
        "found": new.found,
        "sent": new.sent,
        "price": new.price,
        "left_out": json.dumps(dict(new.left_out)),
        "samples": json.dumps(list(new.samples)),
        "words": new.words,
        "batch_id": batch_id,
        "is_compared": not waits_for_results,
    }
    return int(connection.execute(insert(automation_runs).values(row).returning(automation_runs.c.id)).scalar_one())


def has_run(connection: Connection, batch_id: int) -> bool:
    """Return whether a batch is in the log."""
    return bool(connection.execute(select(exists().where(automation_runs.c.batch_id == batch_id))).scalar())


def note_ordered(connection: Transaction, automation_id: int, run_id: int, imeis: Iterable[str]) -> None:
    """Write which IMEIs a run orders. Raises ChangedMeanwhileError where one was ordered before."""
    given = list(dict.fromkeys(imeis))
    known = automation_phones.c.imei.in_(each_of(given))
    theirs = select(automation_phones.c.imei).where(automation_phones.c.automation_id == automation_id, known)
    if connection.execute(theirs.limit(1)).first():
        raise ChangedMeanwhileError("Another run has ordered one of these phones.")
    rows = [{"automation_id": automation_id, "run_id": run_id, "imei": imei} for imei in given]
    connection.execute(insert(automation_phones), rows)


def turn_all_off(connection: Transaction, why: str) -> None:
    """Let no automation order anything by itself before a person turns it on again."""
    values = {"is_on": False, "notice": why, "due_at": None, "revision": automations.c.revision + 1}
    connection.execute(update(automations).where(automations.c.is_on).values(values))


def is_over_limit(connection: Connection, automation: Automation) -> bool:
    """Return whether what it ordered this UTC day is more than its daily limit."""
    return exceeds(spent_on_day(connection, automation.automation_id), automation.terms.daily_limit)


def _columns(terms: Terms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in Terms.__slots__}


def _move(connection: Transaction, automation: Automation, *also: ColumnElement[bool], **values: Any) -> None:
    """Change an automation that is still as it was read."""
    is_same = (automations.c.id == automation.automation_id, automations.c.revision == automation.revision)
    new = values | {"revision": automations.c.revision + 1}
    if connection.execute(update(automations).where(*is_same, *also).values(**new)).rowcount != 1:
        raise ChangedMeanwhileError(f"“{automation.terms.name}” was changed meanwhile. Look at it again.")
