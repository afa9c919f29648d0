"""The state of the app as JSON: for Railway's health check, for the status bar, and for programs."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from web.access import allow, allow_everyone
from web.auth import is_inside
from web.checks import UNHEALTHY, health_report, states_only, status_report

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@allow_everyone()
def probe() -> ResponseReturnValue:
    """Return the health report: 200 while the app works, even if the provider does not; else 503."""
    report = health_report(backend())
    shown = report if is_inside() else states_only(report)
    return jsonify(shown), 503 if report["status"] == UNHEALTHY else 200


@blueprint.get("/status.json", endpoint="bar")
@blueprint.get("/api/status")
@allow(Role.VIEWER)
def status() -> ResponseReturnValue:
    """Return the data of the status bar: for the script of a page, and for programs with a token."""
    return jsonify(status_report(backend()))
