"""The state of the app: provider, database, runner and settings, and what needs action.

Nothing here calls the provider. Its state is what the last call of any process stored in the database.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import url_for

from access import SHORTEST_PASSWORD, has_users, keeps_environment_password
from account import provider_state, read_state
from amounts import plural
from backend import Backend
from database import utc_now
from orders import BatchStage, Progress
from settings import VERSION
from storage import account_store, batch_queries
from storage.backups import backup_state, needs_server_backups
from submission import VOLATILE, account_objection, disk_objection, is_led, leader_alive, older_copy_objection
from web.format import ago

#: The share of a disk that must be free, and the seconds after which a backup is old.
LITTLE_DISK, OLD_BACKUP = 0.03, 7 * 86_400.0
#: The newest batches among which those that wait for results are looked for.
RECENT = 20
HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"


def health_report(backend: Backend) -> dict[str, Any]:
    """Return status, version, checks (database, api, cache, environment, runner) and metrics."""
    orders = backend.order_count()
    if orders is None:
        checks: dict[str, Any] = {"database": {"status": "failed"}, "environment": environment_check(backend)}
        return {"status": UNHEALTHY, "version": VERSION, "checks": checks, "metrics": {}}
    api = _api_check(backend)
    checks = {
        "database": {"status": "connected", "orders": orders},
        "api": api,
        "cache": _cache_check(backend),
        "environment": environment_check(backend),
        "runner": {"status": "alive" if leader_alive(backend.database, backend.settings.data_dir) else "absent"},
    }
    metrics = {"total_orders": orders, "api_response_time_ms": api.get("response_time_ms")}
    return {"status": overall(checks), "version": VERSION, "checks": checks, "metrics": metrics}


def states_only(report: dict[str, Any]) -> dict[str, Any]:
    """Return the public part of a health report: no totals, no provider messages, no settings."""
    checks = {name: {"status": check["status"]} for name, check in report["checks"].items()}
    return {"status": report["status"], "checks": checks}


def overall(checks: dict[str, Any]) -> str:
    """Return "healthy" if every check passes, "unhealthy" if one failed, else "degraded"."""
    states = {check["status"] for check in checks.values()}
    if "failed" in states:
        return UNHEALTHY
    return DEGRADED if states & {"failing", "stale", "absent", "incomplete"} else HEALTHY


def environment_check(backend: Backend) -> dict[str, Any]:
    """Return whether the settings allow paid orders, and what is missing. An invalid value prevents the start."""
    advice = environment_advice(backend)
    mode = "demo" if backend.settings.demo else "live"
    return {"status": "incomplete" if advice else "ok", "mode": mode} | ({"advice": advice} if advice else {})


def environment_advice(backend: Backend) -> list[str]:
    """Return a sentence for each missing setting, for a full disk, and for an unsafe or an older database."""
    settings, advice = backend.settings, []
    if settings.volatile_disk:
        advice.append(VOLATILE)
    advice.append(disk_objection(settings.data_dir))
    if backend.order_count() is not None:
        if not settings.demo and not has_users(backend.database):
            advice.append("There is no user, so nobody can log in: set ADMIN_PASSWORD and start again.")
        advice.append("" if settings.demo else backend.database.engines.risk)
        advice.append(older_copy_objection(backend.database))
        advice.append(account_objection(backend.database, settings))
    return [sentence for sentence in advice if sentence]


def needed_actions(backend: Backend, report: dict[str, Any], free: float, newest_backup: float | None) -> list[str]:
    """Return a sentence for each problem, with its remedy.

    report is a health report, free the free share of the disk, newest_backup a Unix time.
    """
    checks = report["checks"]
    found = list(checks["environment"].get("advice", ()))
    if checks["runner"]["status"] == "absent" and not account_objection(backend.database, backend.settings):
        start = "the app with “make run”" if backend.database.is_file else "a worker with “flask worker”"
        found.append(f"No process sends batches or fetches results. Start {start}, or check its log.")
    if checks["api"]["status"] == "failing":
        found.append(
            f"The last call to the provider failed. {checks['api']['error']} Batches continue automatically when"
            " it answers. If this persists, check GSM_FUSION_BASE_URL and the two credentials."
        )
    if free < LITTLE_DISK:
        found.append("The disk is almost full, and nothing is sent without free space. Delete old copies in “backups”.")
    if 0 < len(backend.settings.admin_password) < SHORTEST_PASSWORD and keeps_environment_password(backend.database):
        found.append(
            f"ADMIN_PASSWORD is short: new passwords need {SHORTEST_PASSWORD} characters. Log in as admin and"
            " change the password on the page Account."
        )
    if not backend.settings.auto_sync_interval:
        found.append("Results are fetched only by hand because AUTO_SYNC_INTERVAL is 0. Set it to 300.")
    with backend.database.read() as connection:
        stopped = [account for account in account_store.accounts(connection) if account.obstacle]
    for account in stopped:
        found.append(f"Account {account.name} sends nothing: {account.obstacle.rstrip('.')}. See Settings, Accounts.")
    failure = backup_state(backend.database).failed
    if failure:
        found.append(f"The last backup failed: {failure.reason}. It is tried again every hour.")
    if checks["database"]["orders"]:
        found.append(_backup_advice(backend, newest_backup))
    return [sentence for sentence in found if sentence]


def _backup_advice(backend: Backend, newest: float | None) -> str:
    """Return what to do about backups that are old or missing, where the program writes them; "": nothing."""
    if newest is not None and time.time() - newest <= OLD_BACKUP:
        return ""
    if newest is None and needs_server_backups(backend.database):
        return ""  # those of the server are not known here
    age = "There is no backup" if newest is None else f"The last backup was made {ago(newest)}"
    write = "Download one" if backend.database.is_file else "Write one"
    return f"{age}. {write} on the Database page and keep it on another machine."


def status_report(backend: Backend) -> dict[str, Any]:
    """Return the state of provider, database and runner, and the running batches. Contains no secrets."""
    if backend.order_count() is None:
        unknown = {"provider": "unknown", "database": "failed", "runner": "unknown"}
        return unknown | {"running": [], "running_words": ""}
    with backend.database.snapshot() as connection:
        state, balance = read_state(connection), backend.account.read(connection)
        running, _ = batch_queries.under_way_and_recent(connection, RECENT)
        is_alive = is_led(backend.database, connection, backend.settings.data_dir)
    return {
        "mode": "demo" if backend.settings.demo else "live",
        "provider": {True: "ok", False: "failing", None: "unknown"}[state.ok],
        "provider_error": state.error,
        "provider_ms": state.ms,
        "database": "ok",
        "orders": backend.order_count(),
        "runner": "alive" if is_alive else "absent",
        "balance": balance.credits,
        "balance_at": balance.at,
        "balance_outdated": balance.is_outdated,
        "running": [_running(batch) for batch in running],
        "running_words": running_words(running),
        "waiting": sum(batch.total - batch.done for batch in running),
        "time": utc_now().isoformat(timespec="seconds") + "Z",
    }


def _running(batch: Progress) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "label": batch.label,
        "state": batch.state,
        "stage": batch.stage,
        "stage_label": batch.stage.label,
        "percent": batch.percent,
        "done": batch.handled,
        "total": batch.total,
        "results": batch.results,
        "expected": batch.expected,
        "url": url_for("batches.live", batch_id=batch.batch_id),
    }


def running_words(batches: Sequence[Progress]) -> str:
    """Return how many batches are in each stage, and how many IMEIs are still to be sent."""
    counted = Counter(batch.stage for batch in batches)
    words = [f"{counted[stage]} {stage.label.lower()}" for stage in BatchStage if counted[stage]]
    left = sum(batch.total - batch.done for batch in batches)
    words += [f"{plural(left, 'IMEI')} to go"] if left else []
    return ", ".join(words) or "Nothing is running"


def _api_check(backend: Backend) -> dict[str, Any]:
    state = provider_state(backend.database)
    if state.ok is None:
        return {"status": "unknown", "response_time_ms": None}
    check = {"response_time_ms": state.ms, "age_seconds": round(time.time() - state.at), "call": state.call}
    return {"status": "ok"} | check if state.ok else {"status": "failing", "error": state.error} | check


def _cache_check(backend: Backend) -> dict[str, Any]:
    catalogue = backend.catalog.stored()
    if not catalogue.services:
        return {"status": "empty", "services": 0}
    failing = catalogue.stale and catalogue.error
    return {"status": "stale" if failing else "active", "services": len(catalogue.services)}
