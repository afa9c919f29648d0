"""Whether everything is well: for Railway's probe, for the status bar, and for people.

Nothing here asks the provider: its state is what the last call of any process left in the database.
"""

import time
from typing import Any

from flask import Blueprint, jsonify, url_for
from flask.typing import ResponseReturnValue

from account import provider_state
from backend import VOLATILE, Backend, backend
from database import utc_now
from runner import runner_alive
from settings import VERSION
from storage import batch_queries
from submission import account_objection, disk_objection, older_copy_objection
from web.auth import is_inside
from web.format import ago

blueprint = Blueprint("health", __name__)

#: The share of a disk that must be free, and the seconds after which a backup is old.
LITTLE_DISK, OLD_BACKUP = 0.03, 7 * 86_400.0
HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"


@blueprint.get("/health")
def probe() -> ResponseReturnValue:
    """200 while the app can do its work, also when the provider cannot; 503 when it cannot."""
    report = health_report(backend())
    shown = report if is_inside() else states_only(report)
    return jsonify(shown), 503 if report["status"] == UNHEALTHY else 200


@blueprint.get("/api/status")
def status() -> ResponseReturnValue:
    """What the status bar shows."""
    return jsonify(status_report(backend()))


def health_report(backend: Backend) -> dict[str, Any]:
    """status, version, checks (database, api, cache, environment, runner) and metrics."""
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
        "runner": {"status": "alive" if runner_alive(backend.settings.data_dir) else "absent"},
    }
    metrics = {"total_orders": orders, "api_response_time_ms": api.get("response_time_ms")}
    return {"status": overall(checks), "version": VERSION, "checks": checks, "metrics": metrics}


def states_only(report: dict[str, Any]) -> dict[str, Any]:
    """Return a health report as anybody may see it: no totals, no words of the provider, nothing of the settings."""
    checks = {name: {"status": check["status"]} for name, check in report["checks"].items()}
    return {"status": report["status"], "checks": checks}


def overall(checks: dict[str, Any]) -> str:
    """healthy when nothing is wrong, unhealthy when something failed, else degraded."""
    states = {check["status"] for check in checks.values()}
    if "failed" in states:
        return UNHEALTHY
    return DEGRADED if states & {"failing", "stale", "absent", "incomplete"} else HEALTHY


def environment_check(backend: Backend) -> dict[str, Any]:
    """Whether the settings allow paid orders, and what is missing. A wrong value stops the start."""
    advice = environment_advice(backend)
    mode = "demo" if backend.settings.demo else "live"
    return {"status": "incomplete" if advice else "ok", "mode": mode} | ({"advice": advice} if advice else {})


def environment_advice(backend: Backend) -> list[str]:
    """A sentence for each setting that is missing, for a disk that takes nothing more, and for an older database."""
    settings, advice = backend.settings, []
    if not settings.demo and not settings.admin_password:
        advice.append("ADMIN_PASSWORD is not set, so nobody can log in: set it and start again.")
    if settings.volatile_disk:
        advice.append(VOLATILE)
    advice.append(disk_objection(settings.data_dir))
    if backend.order_count() is not None:
        advice.append(older_copy_objection(backend.database))
        advice.append(account_objection(backend.database, settings))
    return [sentence for sentence in advice if sentence]


def mending(backend: Backend, report: dict[str, Any], free: float, newest_backup: float | None) -> list[str]:
    """A sentence for everything that is not as it should be, with what mends it.

    report is a health report, free the share of the disk that is free, newest_backup a Unix time.
    """
    found, checks = environment_advice(backend), report["checks"]
    if checks["runner"]["status"] == "absent":
        found.append("No process sends batches or fetches results. Start the app with “make run”, or check its log.")
    if checks["api"]["status"] == "failing":
        found.append(
            f"The provider did not answer the last call: {checks['api']['error']} Batches continue automatically when"
            " it answers. If this persists, check GSM_FUSION_BASE_URL and the two credentials."
        )
    if free < LITTLE_DISK:
        found.append("The disk is almost full, and nothing is sent without free space. Delete old copies in “backups”.")
    if not backend.settings.auto_sync_interval:
        found.append("Results are fetched only by hand because AUTO_SYNC_INTERVAL is 0. Set it to 300.")
    if checks["database"]["orders"] and (newest_backup is None or time.time() - newest_backup > OLD_BACKUP):
        age = "There is no backup" if newest_backup is None else f"The last backup was made {ago(newest_backup)}"
        found.append(f"{age}. Download one on the Database page and keep it on another machine.")
    return found


def status_report(backend: Backend) -> dict[str, Any]:
    """Provider, database and runner, and how much is running. Holds no secrets."""
    if backend.order_count() is None:
        return {"provider": "unknown", "database": "failed", "runner": "unknown", "running": []}
    state, balance = provider_state(backend.database), backend.account.stored()
    unfinished = batch_queries.unfinished_batches(backend.database)
    return {
        "mode": "demo" if backend.settings.demo else "live",
        "provider": {True: "ok", False: "failing", None: "unknown"}[state.ok],
        "provider_error": state.error,
        "provider_ms": state.ms,
        "database": "ok",
        "orders": backend.order_count(),
        "runner": "alive" if runner_alive(backend.settings.data_dir) else "absent",
        "balance": balance.credits,
        "balance_at": balance.at,
        "balance_outdated": balance.is_outdated,
        "running": [
            {
                "batch_id": batch.batch_id,
                "label": batch.label,
                "state": batch.state,
                "percent": batch.percent,
                "done": batch.handled,
                "total": batch.total,
                "url": url_for("batches.live", batch_id=batch.batch_id),
            }
            for batch in unfinished
        ],
        "waiting": sum(batch.total - batch.done for batch in unfinished),
        "time": utc_now().isoformat(timespec="seconds") + "Z",
    }


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
