"""Write what requests did into the audit log, after the answer is known. Views only describe what they do.

A view that declares an action is recorded: a POST (or any other change), and the GET of a download. An answer below 400
is the action, unless the view did nothing: then it shows a message of the category "error", tells the reason with
describe(refused=…), or calls record_nothing(). Refusals are limited (refusal_limit.py), and those of callers without a
login are recorded for the login only.

What cannot be stored, because the disk is full or the database is busy, stays in memory until the next entry and is in
the log output at once. Meanwhile nothing is done that only administrators may do.
"""

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from flask import Flask, Response, abort, current_app, g, message_flashed, request

from database import DatabaseUnavailableError, IMEIDatabase, Transaction
from people import Role
from storage.audit_log import FAILED, REFUSED, AuditEntry, NewEntry, append
from web.access import current_permission, describe, described, find_actor, may, records_nothing
from web.refusal_limit import RefusalLimit

#: One line for each entry. The server sends it to standard output, whatever the log level is.
audit = logging.getLogger("audit")

READS = ("GET", "HEAD", "OPTIONS")
NOT_LOGGED_IN = "not logged in"
#: The actor of entries that only count.
PROGRAM = "program"
#: A logged-in user opened a page that needs another role.
ACCESS = "access"
NOT_ALLOWED = 403
#: Entries that wait for a database that can be written; the oldest are dropped, and are in the log output only.
MOST_WAITING = 1000
#: Bytes on the disk below which administrators change nothing, because the entry might not fit.
LEAST_FREE = 1024 * 1024
UNRECORDABLE = "The audit log cannot be written now, so nothing was changed. Free space on the disk, then try again."


class AuditRecorder:
    """Stores entries in the order in which they happen; thread-safe."""

    def __init__(self, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._writing, self._counting = threading.Lock(), threading.Lock()
        self._waiting: deque[NewEntry] = deque(maxlen=MOST_WAITING)
        self._limit = RefusalLimit()

    def record(self, new: NewEntry) -> None:
        """Store an entry; return when it is stored, or when it cannot be stored now."""
        with self._counting:
            self._waiting += [*self._left_out(), new]
        with self._writing:
            self._store()

    def record_refusal(self, new: NewEntry) -> None:
        """Store the entry of a refused request, unless there are too many. Waits for no other thread."""
        with self._counting:
            self._waiting += self._left_out()
            if self._limit.admits(new.address, self._clock()):
                self._waiting.append(new)
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                is_stored = self._store()
            finally:
                self._writing.release()
            if not is_stored:
                break

    def _left_out(self) -> list[NewEntry]:
        """Return one entry for each address that had too many refusals in a minute that is over."""
        left_out = self._limit.ended(self._clock())
        return [
            NewEntry(PROGRAM, address, "requests.refused", detail={"without an entry": count})
            for address, count in left_out.items()
        ]

    def is_working(self) -> bool:
        """Return whether entries can be stored: none waits, and the disk has room."""
        with self._writing:
            is_stored = self._store()
        return is_stored and shutil.disk_usage(self._database.folder).free >= LEAST_FREE

    def _store(self) -> bool:
        """Store the entries that wait in one transaction. Keep them and return False where that is not possible now."""
        waiting = list(self._waiting)
        if not waiting:
            return True
        try:
            with self._database.write() as connection:
                stored = [append(connection, new) for new in waiting]
        except DatabaseUnavailableError as error:
            audit.error("Not stored yet: %s (%s)", waiting[-1].line, error.sentence)
            return False
        for new, entry in zip(waiting, stored, strict=True):
            if self._waiting[0] is new:  # not dropped meanwhile, because too many wait
                self._waiting.popleft()
            _log(entry)
        return True


def init_recording(app: Flask, database: IMEIDatabase) -> None:
    """Record the requests of app. Call it after the login check is registered."""
    app.extensions["audit_recorder"] = AuditRecorder(database)
    app.before_request(_require_log)
    app.after_request(_record)
    message_flashed.connect(_note_error, app)


def record_now(connection: Transaction, **detail: object) -> None:
    """Write the entry of this request in the transaction of what it does, instead of after the answer."""
    g.recorded = append(connection, _entry(_action(), _subject(), detail))


def _note_error(_app: Flask, message: str, category: str) -> None:
    """Take a message of an error as the reason why this request did nothing, unless the view tells another."""
    if category == "error" and "refused" not in described()[1]:
        describe(refused=message)


def _require_log() -> None:
    """Refuse a change that only administrators may make while its entry could not be stored.

    This runs after the checks of the login, the role and the form, unless one of them has answered.
    """
    g.is_let_in = True
    permission = current_permission()
    is_admins = permission is not None and permission.role is Role.ADMIN and may(Role.ADMIN)
    if is_admins and _is_recorded() and not _recorder().is_working():
        abort(503, UNRECORDABLE)


def _record(response: Response) -> Response:
    status = response.status_code
    if status < 400 and (stored := g.get("recorded")):
        _log(stored)
    elif _is_recorded() and (status >= 400 or (g.get("is_let_in") and not records_nothing())):
        subject, detail = described()
        if status >= 400 or detail.get("refused"):
            failed = FAILED if status >= 500 else REFUSED
            status_detail = {"status": status} if status >= 400 else {}
            _recorder().record_refusal(_entry(_action() + failed, subject or _subject(), {**detail, **status_detail}))
        else:
            _recorder().record(_entry(_action(), subject or _subject(), detail))
    elif status == NOT_ALLOWED and find_actor() is not None:
        _recorder().record_refusal(_entry(ACCESS + REFUSED, request.endpoint or "", {"status": status}))
    return response


def _is_recorded() -> bool:
    """Return whether this request is one that the log is about."""
    permission = current_permission()
    if permission is None or not permission.action:
        return False
    if find_actor() is None and permission.role is not None:
        return False
    is_download = request.method == "GET" and "POST" not in (request.url_rule.methods or () if request.url_rule else ())
    return request.method not in READS or is_download


def _entry(action: str, subject: str, detail: Mapping[str, object]) -> NewEntry:
    actor = find_actor()
    return NewEntry(
        actor=actor.name if actor else NOT_LOGGED_IN,
        address=request.remote_addr or "unknown",
        action=action,
        subject=subject,
        detail={name: value for name, value in detail.items() if value not in ("", [])},
        request_id=g.get("request_id", ""),
    )


def _action() -> str:
    permission = current_permission()
    return permission.action if permission else ""


def _subject() -> str:
    """Return what the address of this request names, such as "batch 12"; "" for an export, whose id gives its file."""
    named = {name: value for name, value in (request.view_args or {}).items() if name.endswith("_id")}
    named.pop("export_id", None)
    return next((f"{name.removesuffix('_id')} {value}" for name, value in named.items()), "")


def _log(entry: AuditEntry) -> None:
    """Write the line of a stored entry, with its fields for logs in JSON."""
    audit.info("%s", entry.line, extra={"entry": entry.fields})


def _recorder() -> AuditRecorder:
    return cast(AuditRecorder, current_app.extensions["audit_recorder"])
