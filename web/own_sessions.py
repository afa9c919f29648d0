"""The page Account: the user's default service, password and second factor, and where the user is logged in."""

from flask import Blueprint, flash, render_template, request
from flask.typing import ResponseReturnValue

from access import (
    SHORTEST_PASSWORD,
    AccessRefusedError,
    LoginRefusedError,
    end_session,
    end_sessions,
    open_sessions,
    set_password,
    unused_recovery_codes,
)
from backend import backend
from people import Role
from submission import service_objection
from web.access import allow, current_actor, describe
from web.auth import authenticator, current_session, session_or_403, start_session
from web.context import row_of_form
from web.format import plural
from web.picker import choose_own_service, own_service
from web.redirects import go_to, refuse

blueprint = Blueprint("account", __name__, url_prefix="/account")

BY_USER, UNCHANGED = "ended by the user", "Your password was not changed."


@blueprint.get("")
@allow(Role.VIEWER)
def show() -> str:
    """Show the account of the user who is logged in."""
    login, database = current_session(), backend().database
    chosen = {"catalogue": backend().catalog.current(patience=1.0), "service_id": own_service()}
    if login is None:
        return render_template("account.html", login=None, **chosen)
    return render_template(
        "account.html",
        login=login,
        **chosen,
        sessions=open_sessions(database, authenticator().now(), login.user.user_id),
        recovery_codes=unused_recovery_codes(database, login.user),
        shortest=SHORTEST_PASSWORD,
    )


@blueprint.post("/service")
@allow(Role.OPERATOR, "account.service")
def choose_service() -> ResponseReturnValue:
    """Choose the service that forms begin with for this user, or none."""
    service_id = request.form.get("service_id", "").strip()
    objection = service_objection(backend().catalog.current().find(service_id), service_id) if service_id else ""
    describe(f"user {current_actor().name}", service=service_id)
    if objection:
        return refuse(objection, "account.show")
    choose_own_service(service_id)
    flash("Default service saved." if service_id else "Forms begin with the service that was used last.", "good")
    return go_to("account.show")


@blueprint.post("/password")
@allow(Role.VIEWER, "account.password")
def change_password() -> ResponseReturnValue:
    """Change the own password, with the current one. Every other session ends; this one gets a new id."""
    user, found = session_or_403().user, authenticator()
    describe(f"user {user.name}")
    try:
        found.logins.check(user.name, request.form.get("current", ""), None, request.remote_addr or "")
        set_password(backend().database, found.passwords, user.user_id, request.form.get("password", ""))
    except LoginRefusedError:
        why = "The current password is wrong, or there were too many attempts. Wait a minute and try again."
        return refuse(f"{UNCHANGED} {why}", "account.show")
    except AccessRefusedError as error:
        return refuse(f"{UNCHANGED} {error}", "account.show")
    start_session(user.user_id)
    flash("Your password is changed. All other sessions have ended.", "good")
    return go_to("account.show")


@blueprint.post("/sessions")
@allow(Role.VIEWER, "session.end")
def end() -> ResponseReturnValue:
    """End one of the user's sessions, or all but this one."""
    login, database, now = session_or_403(), backend().database, authenticator().now()
    describe(f"user {login.user.name}")
    session_id = row_of_form("session_id")
    if session_id is None:
        count = end_sessions(database, login.user.user_id, BY_USER, now, login.session_id)
    else:
        count = int(end_session(database, session_id, login.user.user_id, BY_USER, now))
    flash(f"{plural(count, 'session')} ended.", "good")
    return go_to("account.show")
