"""The overview pages: dashboard, services, database and status."""

import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from flask import Blueprint, abort, flash, render_template, request, send_file
from flask.typing import ResponseReturnValue

from account import read_state
from backend import Backend, backend
from database import utc_now
from grading import NO_VERDICTS, Verdict
from orders import Outcome
from people import Role
from results import last_audits, last_sync
from settings import VERSION
from storage import (
    account_mark,
    batch_queries,
    election_store,
    lease,
    order_queries,
    service_figure_store,
    service_marks,
)
from storage.backups import backup_files, backup_state, make_backup, needs_server_backups, next_backup
from storage.import_store import past_imports
from storage.result_store import withheld_orders
from submission import OtherAccountError, account_objection, adopt_database, may_adopt, metrics
from web.access import allow, describe
from web.checks import RECENT, health_report, needed_actions
from web.context import at_one_moment
from web.format import CHART_HEIGHT, CHART_WIDTH, bars, money, number
from web.redirects import go_to, refuse
from web.service_experience import SORTS, sorted_services
from web.service_search import find_services

blueprint = Blueprint("overview", __name__)

RECENT_BATCHES = 8
#: Days with orders that a chart needs at least.
LEAST_DAYS = 3
#: Most rows of the services page. The search finds the others.
SERVICES_SHOWN = 250
#: Most orders without a result on the status page, the longest waiting first.
WITHHELD_SHOWN = 200
PACKAGES = ("Flask", "SQLAlchemy", "requests", "gunicorn")


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A file in the backup folder."""

    name: str
    size: int  #: bytes
    at: float  #: Unix time when it was written


@blueprint.get("/")
@allow(Role.VIEWER)
def dashboard() -> ResponseReturnValue:
    """Show today's numbers, the batches under way and the latest results."""
    balance, catalogue = backend().account.current(patience=0.2), backend().catalog.current(patience=1.0)
    with backend().database.snapshot() as connection:
        today = batch_queries.today(connection)
        running, recent = batch_queries.under_way_and_recent(connection, RECENT)
        days = [*backend().daily()[:-1], order_queries.Day(utc_now().date(), today.orders, today.spent, today.verdicts)]
        return render_template(
            "dashboard.html",
            balance=balance,
            today=today,
            running=running,
            recent=recent[:RECENT_BATCHES],
            charts=_charts(days),
            chart=(CHART_WIDTH, CHART_HEIGHT),
            since=days[0].day,
            verdicts=sum((day.verdicts for day in days), NO_VERDICTS),
            results=backend().results(),
            newest=order_queries.NEWEST_RESULTS,
            catalogue=catalogue,
            total=backend().database.count_orders(),
        )


def _charts(days: Sequence[order_queries.Day]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return the bars of orders and of spend by day; none before there are LEAST_DAYS with orders."""
    if sum(day.orders > 0 for day in days) < LEAST_DAYS:
        return []
    return [
        ("Orders", number(sum(day.orders for day in days)), bars(days, lambda day: day.orders)),
        ("Spent", money(sum(day.spent for day in days)), bars(days, lambda day: day.spent)),
    ]


@blueprint.get("/services")
@allow(Role.VIEWER)
def services() -> ResponseReturnValue:
    """Show the services that match ?q=, ?category= and ?used=, in the order of ?sort=."""
    args, catalogue = request.args, backend().catalog.current()
    q, category, sort, used = args.get("q", "").strip(), args.get("category", ""), args.get("sort", ""), "used" in args
    with backend().database.snapshot():
        figures = service_figure_store.figures(backend().database)
        found = [one for one in find_services(catalogue.services, q) if category in ("", one.category)]
        return render_template(
            "services.html",
            catalogue=catalogue,
            services=sorted_services([one for one in found if not used or one.package_id in figures], figures, sort),
            favourites=service_marks.favourites(backend().database),
            categories={name: name for name in sorted({one.category for one in catalogue.services if one.category})},
            previous=order_queries.previous_prices(backend().database),
            figures=figures,
            sorts={name: words for name, (words, _) in SORTS.items()},
            sort=sort if sort in SORTS else "",
            used=used,
            shown=SERVICES_SHOWN,
            q=q,
            category=category,
        )


@blueprint.post("/favourites")
@allow(Role.OPERATOR)
def mark_favourite() -> ResponseReturnValue:
    """Mark the service ?mark= as a favourite, or unmark= no longer; pickers list favourites first."""
    form = request.form
    service_id = form.get("mark") or form.get("unmark", "")
    if not service_marks.mark_favourite(backend().database, service_id, "mark" in form):
        abort(404, f"There is no service {service_id}.")
    return go_to("overview.services", q=form.get("q") or None, _anchor=f"s{service_id}")


@blueprint.get("/help")
@allow(Role.VIEWER)
@at_one_moment
def help_page() -> ResponseReturnValue:
    """Explain outcomes, statuses, verdicts and shortcuts."""
    return render_template("help.html", outcomes=Outcome, verdicts=Verdict)


@blueprint.get("/database")
@allow(Role.VIEWER)
def database() -> ResponseReturnValue:
    """Show what is stored, with backup, export and import."""
    stored = backend().database
    return render_template(
        "database.html",
        counts=order_queries.table_counts(backend().database),
        is_file=stored.is_file,
        place=stored.engines.place if not stored.is_file else stored.path,
        version=stored.engines.version,
        size=stored.engines.size(),
        statistics=order_queries.statistics(backend().database),
        backups=_backups(backend()),
        backup=backup_state(backend().database),
        needs_server_backups=needs_server_backups(stored),
        next_backup=next_backup(utc_now(), backend().settings.backup_time),
        imports=past_imports(backend().database),
    )


@blueprint.post("/database/check")
@allow(Role.ADMIN, "database.check")
def check_database() -> ResponseReturnValue:
    """Run the integrity check of SQLite; a server watches its data itself."""
    started = time.monotonic()
    word = backend().database.check_integrity()
    seconds = time.monotonic() - started
    describe(found=word, refused="")  # the check is done, whatever it found
    if word == "ok":
        flash(f"Checked in {seconds:.1f} s: no damage found.", "good")
    else:
        flash(f"Damaged: {word[:500]}", "error")
    return go_to("overview.database")


@blueprint.post("/database/backup")
@allow(Role.ADMIN, "backup", prove=True)
def backup() -> ResponseReturnValue:
    """Store a consistent copy of the database in the backup folder; download it, unless it holds secrets."""
    try:
        copy = make_backup(backend().database)
    except OSError as error:
        return refuse(f"No backup was made: {error.strerror}.", "overview.database")
    describe(file=copy.name, size=copy.stat().st_size)
    if not backend().database.is_file:
        flash(f"A backup was written into the backup folder: {copy.name}.", "good")
        return go_to("overview.database")
    return send_file(copy, "application/vnd.sqlite3", as_attachment=True, download_name=copy.name)


@blueprint.get("/status")
@allow(Role.VIEWER)
@at_one_moment
def status() -> ResponseReturnValue:
    """Show the state of provider, runner, queue and disk, the versions, and what needs action."""
    disk = shutil.disk_usage(backend().settings.data_dir)
    report, newest_backup = health_report(backend()), _newest_backup(backend())
    with backend().database.read() as connection:
        unfinished, newest = batch_queries.unfinished_batches(connection), batch_queries.newest_started(connection)
        holder, today = lease.holder_of(connection), batch_queries.today(connection)
        provider, balance = read_state(connection), backend().account.read(connection)
        withheld = withheld_orders(connection, WITHHELD_SHOWN)
        workers = None if backend().database.is_file else election_store.count_workers(connection)
    return render_template(
        "status.html",
        report=report,
        holder=holder,
        provider=provider,
        balance=balance,
        catalogue=backend().catalog.stored(),
        unfinished=unfinished,
        waiting=sum(batch.total - batch.done for batch in unfinished),
        today=today,
        newest=newest,
        metrics=metrics(newest) if newest else None,
        disk=disk,
        newest_backup=newest_backup,
        workers=workers,
        backup_failure=backup_state(backend().database).failed,
        versions=_versions(backend()),
        advice=needed_actions(backend(), report, disk.free / disk.total, newest_backup),
        settings=backend().settings,
        adoption=_adoption(backend()),
        synced=last_sync(backend().database),
        audits=last_audits(backend().database),
        withheld=withheld,
    )


@blueprint.post("/status/adopt-account")
@allow(Role.ADMIN, "account.adopt")
def adopt_account() -> ResponseReturnValue:
    """Adopt a database with the orders of another account for the account in the settings."""
    if "sure" not in request.form:
        return refuse("The database was not adopted: tick the box to confirm.", "overview.status")
    try:
        adopt_database(backend().database, backend().settings)
    except OtherAccountError as error:
        return refuse(str(error), "overview.status")
    flash(
        "The database is adopted. Its unfinished batches are paused; resume those that this account should order.",
        "good",
    )
    return go_to("overview.status")


def _adoption(backend: Backend) -> account_mark.Adoption | None:
    """Return what adopting this database means, or None if there is nothing to adopt."""
    database, settings = backend.database, backend.settings
    if not account_objection(database, settings) or not may_adopt(database, settings):
        return None
    return account_mark.adoption(database)


def _backups(backend: Backend) -> list[BackupFile]:
    """Return the files in the backup folder, newest first."""
    found = [(path.name, path.stat()) for path in backup_files(backend.database)]
    files = [BackupFile(name, stat.st_size, stat.st_mtime) for name, stat in found]
    return sorted(files, key=lambda file: -file.at)


def _newest_backup(backend: Backend) -> float | None:
    """Return when the newest backup was made, as Unix time: of a server, on whichever machine its file is."""
    if backend.database.is_file:
        return max((file.at for file in _backups(backend)), default=None)
    last = backup_state(backend.database).last
    return last.at if last else None


def _versions(backend: Backend) -> dict[str, str]:
    name, _, number = backend.database.engines.version.partition(" ")
    return {"HAMMER-API": VERSION, "Python": platform.python_version(), name: number} | _installed()


@cache
def _installed() -> dict[str, str]:
    """Return the versions of PACKAGES; cached because each lookup reads files."""
    return {name: version(name) for name in PACKAGES}
