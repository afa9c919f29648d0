"""The pages of users: who may log in, with which role and daily limit, and where they are logged in."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from access import (
    SHORTEST_PASSWORD,
    AccessRefusedError,
    NewUser,
    add_user,
    all_users,
    disable,
    enable,
    end_session,
    end_sessions,
    find_user,
    open_sessions,
    read_limit,
    reset_second_factor,
    set_daily_limit,
    set_password,
    set_role,
)
from backend import backend
from people import Role
from storage.user_store import User
from web.access import allow, current_actor, describe
from web.auth import authenticator
from web.context import row_of_form
from web.format import money, plural
from web.forms import keep_typed, typed_into
from web.redirects import go_to, refuse

blueprint = Blueprint("users", __name__, url_prefix="/settings/users")

BY_ADMIN = "ended by an admin"


@blueprint.get("")
@allow(Role.ADMIN)
def listing() -> str:
    """Show all users, and the form for another one."""
    sessions = open_sessions(backend().database, authenticator().now())
    return render_template(
        "users.html",
        users=all_users(backend().database),
        seen={session.user.user_id: session.seen_at for session in reversed(sessions)},
        sessions=Counter(session.user.user_id for session in sessions),
        shortest=SHORTEST_PASSWORD,
        typed=typed_into(url_for("users.add")),
    )


@blueprint.post("")
@allow(Role.ADMIN, "user.add", prove=True)
def add() -> ResponseReturnValue:
    """Add a user."""
    form = request.form
    describe(f"user {form.get('name', '')[:64]}", role=form.get("role", ""), daily_limit=form.get("daily_limit", ""))
    try:
        limit = read_limit(form.get("daily_limit", ""))
        new = NewUser(form.get("name", ""), _role(), form.get("password", ""), limit)
        user = add_user(backend().database, authenticator().passwords, new)
    except AccessRefusedError as error:
        keep_typed()
        return refuse(f"The user was not added: {error}", "users.listing")
    flash(f"User {user.name} is added. Hand over the password; it can be changed on the page Account.", "good")
    return go_to("users.show", user_id=user.user_id)


@blueprint.get("/<int:user_id>")
@allow(Role.ADMIN)
def show(user_id: int) -> str:
    """Show a user, with the sessions that are open."""
    user = _user_or_404(user_id)
    sessions = open_sessions(backend().database, authenticator().now(), user_id)
    return render_template(
        "user.html", user=user, sessions=sessions, shortest=SHORTEST_PASSWORD, is_own=user_id == current_actor().user_id
    )


@blueprint.post("/<int:user_id>")
@allow(Role.ADMIN, "user.change", prove=True)
def change(user_id: int) -> ResponseReturnValue:
    """Change role and daily limit."""
    user, form = _user_or_404(user_id), request.form
    with _changing(user):
        limit = read_limit(form.get("daily_limit", ""))
        describe(old=_terms(user.role, user.daily_limit), new=_terms(form.get("role", ""), limit))
        is_other_role = set_role(backend().database, user_id, _role(), current_actor().user_id)
        set_daily_limit(backend().database, user_id, limit)
        ended = " All sessions of this user have ended." if is_other_role else ""
        flash(f"User {user.name} is saved.{ended}", "good")
    return go_to("users.show", user_id=user_id)


@blueprint.post("/<int:user_id>/password")
@allow(Role.ADMIN, "user.password", prove=True)
def password(user_id: int) -> ResponseReturnValue:
    """Set a new password for another user, who can then change it."""
    user = _user_or_404(user_id)
    with _changing(user):
        if user_id == current_actor().user_id:
            raise AccessRefusedError("Change your own password on the page Account.")
        set_password(backend().database, authenticator().passwords, user_id, request.form.get("password", ""))
        flash(f"User {user.name} has a new password. All sessions of this user have ended.", "good")
    return go_to("users.show", user_id=user_id)


@blueprint.post("/<int:user_id>/disable")
@allow(Role.ADMIN, "user.disable", prove=True)
def turn_off(user_id: int) -> ResponseReturnValue:
    """Refuse a user from now on."""
    user = _user_or_404(user_id)
    with _changing(user):
        disable(backend().database, user_id, current_actor().user_id)
        flash(f"User {user.name} is disabled and logged out.", "good")
    return go_to("users.show", user_id=user_id)


@blueprint.post("/<int:user_id>/enable")
@allow(Role.ADMIN, "user.enable", prove=True)
def turn_on(user_id: int) -> ResponseReturnValue:
    """Accept a disabled user again."""
    user = _user_or_404(user_id)
    with _changing(user):
        enable(backend().database, user_id)
        flash(f"User {user.name} can log in again.", "good")
    return go_to("users.show", user_id=user_id)


@blueprint.post("/<int:user_id>/second-factor")
@allow(Role.ADMIN, "user.reset_factor", prove=True)
def reset_factor(user_id: int) -> ResponseReturnValue:
    """Forget the second factor of another user, who has lost it."""
    user = _user_or_404(user_id)
    with _changing(user):
        if user_id == current_actor().user_id:
            raise AccessRefusedError("Change your own second factor on the page Account.")
        reset_second_factor(backend().database, user_id)
        next_login = "sets up a new second factor at the next login"
        flash(f"User {user.name} {next_login}. All sessions of this user have ended.", "good")
    return go_to("users.show", user_id=user_id)


@blueprint.post("/<int:user_id>/sessions")
@allow(Role.ADMIN, "session.end")
def end(user_id: int) -> ResponseReturnValue:
    """End one session of a user, or all."""
    user, session_id = _user_or_404(user_id), row_of_form("session_id")
    database, now = backend().database, authenticator().now()
    with _changing(user):
        if session_id is None:
            count = end_sessions(database, user_id, BY_ADMIN, now)
        else:
            count = int(end_session(database, session_id, user_id, BY_ADMIN, now))
        flash(f"{plural(count, 'session')} of user {user.name} ended.", "good")
    return go_to("users.show", user_id=user_id)


@contextmanager
def _changing(user: User) -> Iterator[None]:
    """Name the user in the audit log; where the change inside is refused, show why."""
    describe(f"user {user.name}")
    try:
        yield
    except AccessRefusedError as error:
        flash(f"Nothing was changed. {error}", "error")


def _user_or_404(user_id: int) -> User:
    return find_user(backend().database, user_id) or abort(404, f"There is no user {user_id}.")


def _terms(role: str, limit: float | None) -> str:
    """Return role and daily limit for the audit log."""
    return f"{role}, {'no limit' if limit is None else money(limit)}"


def _role() -> Role:
    """Return the role of the form. Raises AccessRefusedError for an unknown one."""
    role = request.form.get("role", type=Role)
    if role is None:
        raise AccessRefusedError("Choose a role.")
    return role
