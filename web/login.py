"""The pages for logging in and out."""

import logging
from math import ceil

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from access import LoginRefusedError, all_users
from amounts import plural
from people import Role
from web.access import allow, allow_everyone, describe, set_actor
from web.auth import authenticator, is_inside, safe_next, start_session, stop_session
from web.redirects import go_to

logger = logging.getLogger(__name__)
blueprint = Blueprint("login", __name__)

#: Characters of a tried user name that the form shows again.
NAMED = 64


@blueprint.route("/login", methods=["GET", "POST"])
@allow_everyone("login")
def login() -> ResponseReturnValue:
    """Show the login form, or check the posted password and start a session."""
    target = safe_next(request.values.get("next", "/"))
    if request.method == "GET":
        return redirect(target, 303) if is_inside() else _login_page(target)
    name, password, code = (request.form.get(field, "") for field in ("username", "password", "code"))
    describe(_tried(name))
    try:
        user = authenticator().logins.check(name, password, code, request.remote_addr or "")
    except LoginRefusedError as error:
        logger.warning("Refused a login from %s", request.remote_addr)
        return _refused(target, name[:NAMED], error)
    start_session(user.user_id)
    set_actor(user.actor)
    logger.info("Logged in user %s from %s", user.name, request.remote_addr)
    return redirect(target, 303)


@blueprint.post("/logout")
@allow(Role.VIEWER, "logout")
def logout() -> ResponseReturnValue:
    """End the session of this browser."""
    stop_session()
    return go_to("login.login")


def _tried(name: str) -> str:
    """Return the subject of a login for the audit log. A name that no user has may be a password in the wrong field."""
    known = {user.name for user in all_users(authenticator().database)}
    tried = name.strip().lower()
    return f"user {tried}" if tried in known else "unknown user"


def _refused(target: str, name: str, error: LoginRefusedError) -> ResponseReturnValue:
    if not error.wait:
        return _login_page(target, name, str(error)), 401
    seconds = ceil(error.wait)
    words = f"Too many failed logins. Wait {plural(seconds, 'second')}, then try again."
    return _login_page(target, name, words), 429, {"Retry-After": str(seconds)}


def _login_page(target: str, name: str = "", error: str = "") -> str:
    return render_template("login.html", next=target, name=name, error=error)
