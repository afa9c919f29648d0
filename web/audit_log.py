"""The page of the audit log: who did what, when and from where, with filters, a file, and the check of the chain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from database import IMEIDatabase
from people import Role
from spreadsheets import OutColumn
from storage import audit_chain, audit_log
from storage.audit_log import FAILED, REFUSED, AuditEntry, AuditFilter
from web.access import allow, describe, may_open
from web.context import PAGE, row_number
from web.downloads import csv_download, dated
from web.format import size
from web.redirects import go_to

blueprint = Blueprint("audit_log", __name__, url_prefix="/settings/audit-log")

#: Most values that the selection of a person or an action offers.
OFFERED = 300
TEXTS = ("actor", "action", "subject", "address")
#: The first word of a subject → the page about it, and the argument that the rest of the subject is.
PAGES = MappingProxyType(
    {
        "batch": ("batches.live", "batch_id"),
        "order": ("orders.order", "order_id"),
        "search": ("searches.show", "search_id"),
        "automation": ("automations.show", "automation_id"),
        "import": ("overview.database", ""),
        "user": ("users.listing", ""),
        "token": ("tokens.listing", ""),
        "webhook": ("notices.show", ""),
        "provider": ("accounts.listing", ""),
    }
)
LABELS = MappingProxyType({"imei": "IMEI", "imeis": "IMEIs", "refused": "reason"})
CSV_COLUMNS = (
    OutColumn("NUMBER", "number", 9, "digits"),
    OutColumn("TIME (UTC)", "at", 28),
    OutColumn("PERSON", "actor", 20),
    OutColumn("ADDRESS", "address", 20),
    OutColumn("ACTION", "action", 24),
    OutColumn("SUBJECT", "subject", 24),
    OutColumn("DETAILS", "detail", 60),
    OutColumn("REQUEST", "request_id", 14),
    OutColumn("PREVIOUS DIGEST", "previous", 64),
    OutColumn("DIGEST", "digest", 64),
)


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as the page shows it."""

    entry: AuditEntry
    action: str  #: in words
    ended: str  #: "refused" or "failed"; "" for an action that was done
    url: str  #: of the page about its subject; "" where there is none
    details: tuple[tuple[str, str], ...]  #: names with values in words


@blueprint.get("")
@allow(Role.ADMIN)
def show() -> str:
    """Show the entries that match the filter, newest first, and how far the chain is verified."""
    database, chosen, before = backend().database, _filter(), request.args.get("before", type=row_number)
    found = audit_log.page(database, chosen, before, PAGE + 1)
    return render_template(
        "audit_log.html",
        entries=[_shown(entry) for entry in found[:PAGE]],
        next_before=found[PAGE - 1].number if len(found) > PAGE else None,
        is_first=before is None,
        chosen=chosen,
        arguments=_arguments(chosen),
        count=audit_log.counted(database, chosen),
        actors={name: name for name in _offered("actor", chosen.actor)},
        actions=_actions(chosen.action),
        verified=audit_chain.verified(database),
        newest=audit_chain.newest(database),
    )


@blueprint.get("/entries.csv")
@allow(Role.ADMIN, "export")
def csv() -> Response:
    """Download the entries that match the filter as CSV, newest first."""
    database, chosen = backend().database, _filter()
    count, rows = audit_log.counted(database, chosen), _rows(database, chosen, audit_chain.newest(database))
    filters = [f"{name} {value}" for name, value in _arguments(chosen).items()]
    describe("audit log", filter=filters, rows=count.found if count.is_all else f"more than {count.found:,}")
    return csv_download(rows, CSV_COLUMNS, f"{dated('audit-log')}.csv")


@blueprint.post("/check")
@allow(Role.ADMIN)
def check() -> ResponseReturnValue:
    """Check the entries since the newest check. `flask audit-log verify` checks all of them."""
    database = backend().database
    before = audit_chain.verified(database)
    report = audit_chain.verify(database, before.last if before else audit_chain.START)
    if report.problem:
        flash(f"The audit log was changed outside the program. {report.problem}", "error")
    else:
        audit_chain.remember(database, report.last)
        flash("The entries of the audit log are in order.", "good")
    return go_to("audit_log.show")


def action_words(action: str) -> tuple[str, str]:
    """Return an action in words, and how it ended: "refused", "failed", or "" where it was done."""
    ended = next((ending for ending in (REFUSED, FAILED) if action.endswith(ending)), "")
    words = action.removesuffix(ended).replace(".", " ").replace("_", " ")
    return words[:1].upper() + words[1:], ended.removeprefix(".")


def detail_words(detail: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the details of an entry as names and values for people."""
    named = dict(detail)
    if "old" in named and "new" in named:
        named = {"changed": f"{_in_words('old', named.pop('old'))} → {_in_words('new', named.pop('new'))}"} | named
    return tuple((LABELS.get(name, name.replace("_", " ")), _in_words(name, value)) for name, value in named.items())


def _in_words(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return size(value) if name == "size" else f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value in (None, "") else str(value)


def _shown(entry: AuditEntry) -> ShownEntry:
    action, ended = action_words(entry.action)
    return ShownEntry(entry, action, ended, _page_of(entry.subject), detail_words(entry.detail))


def _page_of(subject: str) -> str:
    """Return the address of the page about a subject, or "" where there is none that this user may open."""
    kind, _, name = subject.partition(" ")
    endpoint, argument = PAGES.get(kind, ("", ""))
    if not may_open(endpoint) or (argument and not name.isdecimal()):
        return ""
    values: dict[str, Any] = {argument: name} if argument else {}
    return url_for(endpoint, **values)


def _filter() -> AuditFilter:
    """Return the filter in the URL. Answers 400 for a day that cannot be read."""
    given = {name: request.args.get(name, "").strip() for name in TEXTS}
    return AuditFilter(**given, refused="refused" in request.args, since=_day("since"), until=_day("until"))


def _day(name: str) -> date | None:
    text = request.args.get(name, "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        abort(400, f"“{text[:40]}” is not a date such as 2026-11-25.")


def _arguments(chosen: AuditFilter) -> dict[str, str]:
    """Return the filter as arguments of a URL."""
    given = {name: getattr(chosen, name) for name in TEXTS} | {"refused": "1" if chosen.refused else ""}
    days = {"since": chosen.since, "until": chosen.until}
    return {name: value for name, value in given.items() if value} | {
        name: day.isoformat() for name, day in days.items() if day
    }


def _offered(column: str, chosen: str) -> list[str]:
    return sorted({*audit_log.used(backend().database, column, OFFERED), chosen} - {""})


def _actions(chosen: str) -> dict[str, str]:
    """Return the groups and actions that can be chosen, in words."""
    actions = {action.removesuffix(REFUSED).removesuffix(FAILED) for action in _offered("action", chosen)}
    groups = {action.partition(".")[0] for action in actions if "." in action} - actions
    words = {action: action_words(action)[0] for action in sorted(actions)}
    return dict(sorted((words | {group: f"{action_words(group)[0]} (all)" for group in groups}).items()))


def _rows(database: IMEIDatabase, chosen: AuditFilter, newest: int) -> Iterator[Mapping[str, object]]:
    """Yield the entries up to newest: the export of the log is an entry too, but no row of its file."""
    for entry in audit_log.walk(database, chosen, newest + 1):
        yield {**entry.fields, "detail": entry.written_detail, "previous": entry.previous}
