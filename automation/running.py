"""The turns of automations: what is new or due is ordered, and recorded in the transaction that creates its batch.

**Why nothing is ordered twice.** A run is decided from what is on disk and written together with its batch, only at the
revision at which it was decided (`storage.automation_store.advance`). A kill before the commit leaves nothing; after
it, the mark has moved on. Two processes that decide the same have one revision: the second transaction is undone.
Beside that, a follow-up never orders an IMEI twice (a primary key), a due time has one confirm token, and
`storage.batch_creation.create_batch` leaves out what is ordered or under way.

**Why no limit is exceeded.** What fits is decided before, and every limit is looked at again in the transaction.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from account import ProviderRequests
from amounts import money, plural
from automation.choosing import MustTurnOffError, MustWaitError, Selected, check_earlier_batches, choose, responsible
from automation.comparing import compare_open_runs
from automation.deciding import reached
from automation.schedule import Schedule, is_time_zone
from backend import Backend
from database import IMEIDatabase, Transaction, utc_now
from orders import BatchNames, RunKind
from people import Actor
from settings import Settings
from storage import automation_phone_store, automation_store
from storage.automation_store import (
    SOURCE,
    Automation,
    ChangedMeanwhileError,
    NewRun,
    Run,
    Terms,
    UnreadableFilterError,
)
from storage.background import Duty
from storage.batch_creation import NotOrderedError, OverBudgetError, create_batch, open_items
from storage.batch_uploads import batch_of_token
from submission import Knows, any_order, stored_before

logger = logging.getLogger(__name__)

#: Seconds between two turns.
LOOK = 30.0
#: Orders of the filter that a run by hand looks at, the newest.
LOOKED_AT = 2000
#: IMEIs of a run that its log names.
SAMPLES = 5
#: A follow-up waits until this many results have come or the oldest is this old: its batches are not tiny.
MANY, GATHERING = 100, timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class AutomationTurn:
    """One look at all automations."""

    backend: Backend
    now: Callable[[], datetime] = utc_now

    def take(self, stop: threading.Event) -> None:
        """Let each automation that is on do what is new or due, then compare new results of re-checks."""
        with self.backend.database.read() as connection:
            found = automation_store.automations_on(connection)
        for automation in found:
            if stop.is_set():
                return
            self.run_one(automation)
        compare_open_runs(self.backend.database, stop)

    def run_one(self, automation: Automation) -> None:
        """Let one automation do what is new or due. What stops it is written on its page."""
        try:
            self._recheck(automation) if automation.rechecks else self._follow_up(automation)
        except (MustTurnOffError, UnreadableFilterError) as error:
            turn_off(self.backend.database, automation, str(error))
        except (MustWaitError, NotOrderedError) as error:
            note(self.backend.database, automation, str(error))
        except ChangedMeanwhileError as error:  # a person or another process was faster: look again later
            logger.info("Automation %d did not run: %s", automation.automation_id, error)

    def _follow_up(self, automation: Automation) -> None:
        with self.backend.database.read() as connection:
            upto, rows, since = automation_phone_store.arrived(
                connection, automation, self.backend.settings.max_batch_imeis
            )
        if upto == automation.after_change or is_gathering(len(rows), since, self.now()):
            return
        if not rows:
            _advance(self.backend.database, automation, None, after_change=upto)
            return
        actor = responsible(self.backend, automation)
        check_earlier_batches(self.backend, automation)
        choice = choose(self.backend, automation, rows, actor)
        mark = {"after_change": reached(upto, choice.waiting), "notice": choice.words}
        if choice.phones:
            token = f"automation {automation.automation_id} revision {automation.revision}"
            place(self.backend, automation, choice, Placing(RunKind.BY_ITSELF, actor, token, mark))
        elif choice.waiting:
            raise MustWaitError(choice.words)
        else:
            _advance(self.backend.database, automation, choice, **mark)

    def _recheck(self, automation: Automation) -> None:
        if not is_time_zone(automation.terms.time_zone):
            raise MustTurnOffError(f"This machine does not know the time zone {automation.terms.time_zone}.")
        now, schedule, due = self.now(), schedule_of(automation.terms), automation.due_at
        if due is None or schedule.is_too_far(due, now):
            _advance(self.backend.database, automation, None, due_at=schedule.next_after(now))
            return
        if due > now:
            return
        mark = {"due_at": schedule.next_after(now), "notice": ""}
        if self._has_run(automation, schedule, now):
            _advance(self.backend.database, automation, None, **mark)
            return
        actor = responsible(self.backend, automation)
        check_earlier_batches(self.backend, automation)
        most = self.backend.settings.max_batch_imeis
        with self.backend.database.read() as connection:
            phones = automation_phone_store.phones_of(connection, automation.terms.chosen, most + 1)
        if len(phones) > most:
            raise MustTurnOffError(f"More than {plural(most, 'IMEI')} match its filter. Narrow the filter.")
        choice = choose(self.backend, automation, [(imei, 0) for imei in phones], actor)
        if choice.waiting and not choice.phones:
            raise MustWaitError(choice.words)
        if choice.phones:
            placing = Placing(RunKind.BY_ITSELF, actor, token_of_due(automation, due), mark)
            place(self.backend, automation, choice, placing)
        else:
            _advance(self.backend.database, automation, choice, **mark)

    def _has_run(self, automation: Automation, schedule: Schedule, now: datetime) -> bool:
        """Return whether the last due time has its batch: a wrong clock may have set an earlier one."""
        last = schedule.last_until(now)
        return last is not None and batch_of_token(self.backend.database, token_of_due(automation, last)) is not None


@dataclass(frozen=True, slots=True)
class Placing:
    """Who orders what was chosen, and what is written with it."""

    kind: RunKind
    actor: Actor
    token: str  #: one token makes one batch
    marks: Mapping[str, Any]  #: how far the automation is then


def duty(settings: Settings, database: IMEIDatabase) -> Duty:
    """Return the duty of the leader to run automations."""

    def turn(stop: threading.Event) -> None:
        requests = ProviderRequests(database, stopping=stop)
        AutomationTurn(Backend(settings, database, requests, stop)).take(stop)

    return Duty("automations", LOOK, turn, "Automations did not run")


def is_gathering(results: int, since: datetime | None, now: datetime) -> bool:
    """Return whether a follow-up waits for more results. since: UTC, when the oldest came; None: there are none."""
    return since is not None and results < MANY and timedelta(0) <= now - since < GATHERING


def schedule_of(terms: Terms) -> Schedule:
    """Return when a re-check is due."""
    return Schedule(terms.every_days, terms.hour, terms.time_zone, date.fromisoformat(terms.first_day))


def try_out(backend: Backend, automation: Automation, actor: Actor) -> int:
    """Write what a run by hand over the newest orders of the filter would order now. Return the id of this run."""
    at = utc_now()  # the trial may not show what is stored after this moment
    choice, words = _choice_by_hand(backend, automation, actor)
    run = _run_of(choice, RunKind.TRIAL, actor, words) if choice else NewRun(RunKind.TRIAL, actor.name, 0, words=words)
    with backend.database.write() as connection:
        return automation_store.add_run(connection, automation, replace(run, at=at))


def run_by_hand(backend: Backend, automation: Automation, trial: Run, actor: Actor) -> int:
    """Order what a trial has shown; return the batch. The same trial again gives the same batch.

    Raises MustWaitError where it is not the same any more, NotOrderedError and ChangedMeanwhileError.
    """
    choice, words = _choice_by_hand(backend, automation, actor, stored_before(trial.at))
    if choice is None or not choice.phones:
        raise MustWaitError(words or "Nothing is left to order.")
    now = _run_of(choice, RunKind.TRIAL, actor, words)
    if trial.at < automation.changed_at:
        raise MustWaitError("The automation was changed since. Try it again.")
    is_same = (now.sent, now.price, list(now.samples)) == (trial.sent, trial.price, list(trial.samples))
    if not is_same or (choice.plan and choice.plan.unseen):
        raise MustWaitError("The phones or the price have changed since. Try it again.")
    return place(backend, automation, choice, Placing(RunKind.BY_HAND, actor, token_of(trial), {}))


def token_of_due(automation: Automation, due: datetime) -> str:
    """Return the confirm token of the batch of a due time, in UTC."""
    return f"automation {automation.automation_id} due {due.isoformat(timespec='minutes')}Z"


def token_of(trial: Run) -> str:
    """Return the confirm token of the batch that a trial leads to."""
    return f"automation trial {trial.run_id}"


def _choice_by_hand(
    backend: Backend, automation: Automation, actor: Actor, knows: Knows = any_order
) -> tuple[Selected | None, str]:
    """Return what a run by hand orders, or None, and the reason why it orders less than everything."""
    most = min(LOOKED_AT, backend.settings.max_batch_imeis)
    try:
        with backend.database.read() as connection:
            phones = automation_phone_store.newest_results(connection, automation.terms.chosen, most)
        choice = choose(backend, automation, [(imei, 0) for imei in phones], actor, knows)
    except (MustTurnOffError, MustWaitError, UnreadableFilterError) as error:
        return None, str(error)
    return choice, choice.words


def place(backend: Backend, automation: Automation, choice: Selected, placing: Placing) -> int:
    """Create the batch of a choice and record the run, in one transaction. Return the batch id.

    Raises ChangedMeanwhileError, NotOrderedError, and MustWaitError where there is nothing to order.
    """
    if choice.plan is None:
        raise MustWaitError("Nothing is left to order.")
    names, budget = BatchNames(automation.terms.name), backend.daily_budget()
    imeis = [(phone.imei, None) for phone in choice.phones]
    # Without a fingerprint: an unfinished batch of the same IMEIs is never resumed because of an automation.
    new = replace(choice.plan.batch(names, SOURCE, budget, placing.token), imeis=imeis, fingerprint="")
    new = replace(new, actor=replace(placing.actor, name=automation.orders_as))

    def record(connection: Transaction, batch_id: int, _is_new: bool) -> None:
        _record(connection, batch_id, automation, choice, placing)

    batch_id = create_batch(backend.database, new, backend.settings.chunk_size, record)
    cost = money(choice.price * len(imeis))
    words = "Automation %d ordered %s for %s in batch %d"
    logger.info(words, automation.automation_id, plural(len(imeis), "IMEI"), cost, batch_id)
    return batch_id


def _record(connection: Transaction, batch_id: int, automation: Automation, choice: Selected, placing: Placing) -> None:
    """Write the run that created a batch; a batch that is given back has its run already."""
    is_by_itself = placing.kind is RunKind.BY_ITSELF
    if automation_store.has_run(connection, batch_id):
        if is_by_itself:
            automation_store.advance(connection, automation, **placing.marks)
        return
    automation_store.advance(connection, automation, is_by_itself, **placing.marks)
    others = [imei for phone in choice.phones for imei in phone.imeis if imei != phone.imei]
    if open_items(connection, automation.terms.service_id, others):
        raise ChangedMeanwhileError("Another batch has one of these phones by its other IMEI.")
    run = _run_of(choice, placing.kind, placing.actor, choice.words)
    run_id = automation_store.add_run(connection, automation, run, batch_id)
    if not automation.rechecks:
        imeis = [imei for phone in choice.phones for imei in phone.imeis]
        automation_store.note_ordered(connection, automation.automation_id, run_id, imeis)
    if automation_store.is_over_limit(connection, automation):
        raise OverBudgetError("Its daily limit is too low for this run now.")


def _run_of(choice: Selected, kind: RunKind, actor: Actor, words: str) -> NewRun:
    samples = [phone.imei for phone in choice.phones[:SAMPLES]]
    return NewRun(kind, actor.name, choice.found, len(choice.phones), choice.price, choice.left_out, samples, words)


def _advance(database: IMEIDatabase, automation: Automation, choice: Selected | None, **marks: Any) -> None:
    """Move the marks of an automation on without a batch; a choice with phones that were left out is logged."""
    with database.write() as connection:
        automation_store.advance(connection, automation, **marks)
        if choice is not None:
            run = NewRun(RunKind.BY_ITSELF, automation.orders_as, choice.found, left_out=choice.left_out)
            automation_store.add_run(connection, automation, run)


def turn_off(database: IMEIDatabase, automation: Automation, why: str) -> None:
    """Turn an automation off and log why, unless it was changed meanwhile."""
    run = NewRun(RunKind.BY_ITSELF, automation.orders_as, 0, words=f"Turned off. {why}")
    try:
        with database.write() as connection:
            automation_store.turn_off(connection, automation, why)
            automation_store.add_run(connection, automation, run)
    except ChangedMeanwhileError:
        return
    logger.warning("Automation %d was turned off: %s", automation.automation_id, why)


def note(database: IMEIDatabase, automation: Automation, words: str) -> None:
    """Write what an automation waits for, where that is new."""
    if words != automation.notice:
        with database.write() as connection:
            automation_store.set_notice(connection, automation, words)
