"""The pages for logging in and out. Failed logins are slowed down by web/login_throttle.py."""

import logging
from ipaddress import IPv6Address, ip_address
from math import ceil

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from people import Role
from web.access import allow, allow_everyone
from web.auth import authenticator, is_inside, start_session

logger = logging.getLogger(__name__)
blueprint = Blueprint("login", __name__)


@blueprint.route("/login", methods=["GET", "POST"])
@allow_everyone("login")
def login() -> ResponseReturnValue:
    """Show the login form, or check the posted password and start a session."""
    target = safe_next(request.values.get("next", "/"))
    if request.method == "GET":
        return redirect(target, 303) if is_inside() else _login_page(target)
    user, password = request.form.get("username", ""), request.form.get("password", "")
    wait = authenticator().throttle.attempt(client_address(), lambda: authenticator().accepts(user, password))
    if wait is not None:
        return _refused(target, wait)
    start_session()
    logger.info("Logged in from %s", client_address())
    return redirect(target, 303)


@blueprint.post("/logout")
@allow(Role.VIEWER, "logout")
def logout() -> ResponseReturnValue:
    """End the session of this browser."""
    session.clear()
    return redirect(url_for("login.login"), 303)


def safe_next(target: str) -> str:
    """Return the path on this site that target names, or "/" for anything else."""
    if not target.startswith("/") or target.startswith(("//", "/login")):
        return "/"
    return target if "\\" not in target and target.isprintable() else "/"


def client_address() -> str:
    """Return the address that the throttle counts by; for IPv6 the /64 network that one customer has."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def _refused(target: str, wait: float) -> ResponseReturnValue:
    logger.warning("Refused a login from %s", client_address())
    if not wait:
        return _login_page(target, "The user name or the password is wrong."), 401
    seconds = ceil(wait)
    error = f"Too many failed logins. Wait {seconds} second{'s' if seconds > 1 else ''}, then try again."
    return _login_page(target, error), 429, {"Retry-After": str(seconds)}


def _login_page(target: str, error: str = "") -> str:
    return render_template("login.html", next=target, error=error)
