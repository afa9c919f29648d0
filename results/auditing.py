"""The audit: do our records and the provider's list name the same orders, each paid once, and does the money agree?

The provider is asked for its list, by id for what the list leaves out, and for the account's balance; then our records
are read, in one snapshot, so that an order is either recorded or still on the wire. The provider's times have no zone:
they are compared with each other and by their date only. Its list names no prices: what was charged is seen by the
balance alone. This module places nothing.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from amounts import plain_money
from database import IMEIDatabase, Transaction, read_setting, utc_now, write_setting
from gsm_fusion_client import GSMFusionAPIError
from orders import Account, IMEIOrder, RequestKind
from results.asking import KnowsOrders, ask_by_id
from results.comparison import AuditReport, Difference, Example, Window, compare, unexplained
from settings import MAIN_ACCOUNT
from storage import audit_store, outbox, request_store
from storage.account_mark import setting_of
from storage.account_store import names_to_ask
from storage.audit_store import Records
from storage.background import Duty, name_for
from storage.outbox import EventKind

logger = logging.getLogger(__name__)

#: The name in the settings table under which the last report is kept, as JSON.
LAST = "last_audit"
AUDITS = (RequestKind.AUDIT,)
#: The hour, in UTC, of the nightly audit, and how many days back it looks.
NIGHTLY_HOUR, NIGHTLY_DAYS = 3, 7
#: Seconds between two looks for requests, and between two looks whether an audit is due.
LOOK, DUE_LOOK = 1.0, 30.0
#: Why the balance was not compared.
NO_AMOUNT = "The provider's answer names no amount."
ON_THE_WIRE = "Calls were on the wire."
AUDIT_FAILED = "The audit failed in the process that calls the provider; its log says why."
NO_READING = "No earlier balance reading is kept for these days; the next audit can compare."


class AuditedProvider(KnowsOrders, Protocol):
    """What the audit needs of gsm_fusion_client.GSMFusionClient."""

    def list_recent_orders(self) -> list[IMEIOrder]: ...

    def get_account(self) -> Account: ...


# The audit


def run_audit(database: IMEIDatabase, provider: AuditedProvider, since: datetime | None, account: str) -> AuditReport:
    """Ask an account, compare, remember. since is midnight of a UTC date.

    Never raises GSMFusionAPIError: the report says why.
    """
    start = AuditReport(time.time(), f"{since:%Y-%m-%d}" if since else "")
    error, listed, by_id = "", list[IMEIOrder](), list[IMEIOrder]()
    try:
        listed = [order for order in provider.list_recent_orders() if order.id]
        records = audit_store.read_records(database, since, _ids(listed), account)
        by_id = _ask_for_the_rest(provider, records, since, listed)
    except GSMFusionAPIError as failure:
        logger.warning("The provider could not be audited: %s", failure)
        error = str(failure)
    start = _compare_money(replace(start, error=error), database, provider, since, account)
    known = _ids(listed) + _ids(by_id)
    report = compare(start, audit_store.read_records(database, since, known, account), listed, by_id)
    _keep(database, report, account)
    logger.info("Audited %d orders of ours and %d listed: %d differences", report.ours, len(listed), report.differences)
    return report


def _keep(database: IMEIDatabase, report: AuditReport, account: str) -> None:
    """Store a report, with an event where it finds something wrong that the report before it did not find."""
    before = last_audit(database, account)
    with database.write() as connection:
        write_setting(connection, setting_of(LAST, account), json.dumps(asdict(report)))
        if report.disagrees and (before is None or before.finding != report.finding):
            numbers = {"differences": report.differences, "unexplained": plain_money(report.unexplained)}
            of_account = {} if account == MAIN_ACCOUNT else {"account": account}
            data = {"since": report.since, **numbers, "summary": report.summary, **of_account}
            outbox.add(connection, EventKind.AUDIT_DIFFERS, data)


def last_audit(database: IMEIDatabase, account: str) -> AuditReport | None:
    """Return the report of the last audit of an account; None before the first, or where another version wrote it."""
    with database.read() as connection:
        return _last(connection, account)


def last_audits(database: IMEIDatabase) -> dict[str, AuditReport | None]:
    """Return name → last_audit() of each account that can be called with."""
    with database.read() as connection:
        return {name: _last(connection, name) for name in names_to_ask(connection)}


def _last(connection: Transaction, account: str) -> AuditReport | None:
    try:
        stored = json.loads(read_setting(connection, setting_of(LAST, account)) or "null")
        return None if stored is None else _report(stored)
    except (ValueError, TypeError, KeyError):
        logger.warning("The last audit cannot be read")
        return None


def _report(stored: dict[str, Any]) -> AuditReport:
    for name, value in stored.items():
        if isinstance(value, dict):
            stored[name] = Difference(value["count"], tuple(Example(*example) for example in value["examples"]))
    return AuditReport(**stored)


def _ids(found: Iterable[IMEIOrder]) -> list[str]:
    return [order.id for order in found]


def _ask_for_the_rest(
    provider: AuditedProvider, records: Records, since: datetime | None, listed: Sequence[IMEIOrder]
) -> list[IMEIOrder]:
    """Ask by id for the orders of ours in the window that the list leaves out."""
    seen, window = set(_ids(listed)), Window.of(since, records.orders)
    ours = [order for order in records.orders if window.holds_ours(order)]
    return ask_by_id(provider, [order.order_id for order in ours if order.order_id and order.order_id not in seen])


def _compare_money(
    start: AuditReport, database: IMEIDatabase, provider: AuditedProvider, since: datetime | None, account: str
) -> AuditReport:
    """Return start with the fall of the balance since the first reading in the window, or why it is not known.

    What the account holds now counts only when no call was on the wire before and after it was asked.
    """
    before = audit_store.quiet_moment(database, account)
    try:
        credits = provider.get_account().credits
    except GSMFusionAPIError as failure:
        logger.warning("The balance could not be read: %s", failure)
        return replace(start, balance_note=str(failure))
    if credits is None:
        return replace(start, balance_note=NO_AMOUNT)
    fall = audit_store.balance_fall(database, since, credits, before, account)
    if fall is None:
        return replace(start, balance_note=ON_THE_WIRE if before is None else NO_READING)
    return replace(
        start,
        balance_since=f"{fall.since:%Y-%m-%d %H:%M:%S}",
        balance_fell=round(fall.fell, 4),
        known_spent=round(fall.known, 4),
        refundable=round(fall.refundable, 4),
        unexplained=unexplained(fall.fell, fall.known, fall.refundable),
    )


# When


def request_audit(database: IMEIDatabase, since: datetime | None, account: str) -> int:
    """Ask the leader for an audit of an account since midnight of a UTC date. Returns the id of the request."""
    argument = f"{since:%Y-%m-%d}" if since else ""
    return request_store.leave(database, RequestKind.AUDIT, argument, time.time(), account)


def next_nightly(after: datetime) -> datetime:
    """Return the first NIGHTLY_HOUR o'clock (UTC) later than after."""
    tonight = after.replace(hour=NIGHTLY_HOUR, minute=0, second=0, microsecond=0)
    return tonight if tonight > after else tonight + timedelta(days=1)


def midnight(moment: datetime) -> datetime:
    """Return the beginning of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


class NightlyAudit:
    """Audits the last days every night, as soon as a batch with doubt has finished, and on request."""

    def __init__(
        self,
        database: IMEIDatabase,
        provider: AuditedProvider,
        account: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.account = account
        self.database = database
        self.provider = provider
        self._clock = clock
        self._started = clock()
        self._look_at = 0.0  #: of time.monotonic()

    def duty(self) -> Duty:
        """Return the duty to audit whenever it is due or requested."""
        self._look_at = time.monotonic() + DUE_LOOK
        request_store.reopen(self.database, AUDITS)
        return Duty(name_for("audit", self.account), LOOK, self._turn, "The audit failed")

    def _turn(self, _stop: threading.Event) -> None:
        self.answer_requests()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + DUE_LOOK
            if self.is_due():
                self.audit()

    def answer_requests(self) -> None:
        """Make the audits that commands have requested."""
        while request := request_store.take(self.database, AUDITS, self.account):
            error = AUDIT_FAILED
            try:
                since = datetime.strptime(request.argument, "%Y-%m-%d") if request.argument else None
                run_audit(self.database, self.provider, since, self.account)
                error = ""
            finally:
                failure = error and GSMFusionAPIError.__name__
                with self.database.write() as connection:
                    request_store.finish(connection, request.request_id, time.time(), error, failure)

    def is_due(self) -> bool:
        """Return whether a night has come, or a batch with doubt has finished, since the last audit."""
        last = last_audit(self.database, self.account)
        since = datetime.fromtimestamp(last.at, UTC).replace(tzinfo=None) if last else self._started
        if self._clock() >= next_nightly(since):
            return True
        return audit_store.finished_with_doubt(self.database, since)

    def audit(self) -> AuditReport:
        """Audit the last NIGHTLY_DAYS days."""
        return run_audit(
            self.database, self.provider, midnight(self._clock()) - timedelta(days=NIGHTLY_DAYS), self.account
        )
