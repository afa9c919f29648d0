"""The pages of the second factor: set it up, get recovery codes, and confirm that it is still the same person."""

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue

from access import (
    AccessRefusedError,
    LoginRefusedError,
    is_secret,
    new_secret,
    otpauth_uri,
    renew_recovery_codes,
    set_up,
)
from backend import backend
from people import Role
from storage.session_store import Session
from web.access import allow, describe, record_nothing
from web.auth import authenticator, renew_proof, safe_next, session_or_403, start_session
from web.redirects import go_to

blueprint = Blueprint("second_factor", __name__, url_prefix="/account")


@blueprint.get("/second-factor")
@allow(Role.VIEWER, prove=True)
def show() -> str:
    """Show a new key for the user's authenticator app, and ask for its first code."""
    return _set_up_page(session_or_403(), new_secret())


@blueprint.post("/second-factor")
@allow(Role.VIEWER, "account.second_factor", prove=True)
def store() -> ResponseReturnValue:
    """Store the key if the code fits, and show recovery codes once. Every other session ends."""
    user, secret = session_or_403().user, request.form.get("secret", "")
    describe(f"user {user.name}")
    try:
        codes = set_up(backend().database, user, secret, request.form.get("code", ""), authenticator().clock())
    except AccessRefusedError as error:
        return _set_up_page(session_or_403(), secret if is_secret(secret) else new_secret(), str(error)), 400
    start_session(user.user_id)
    return render_template("recovery_codes.html", codes=codes, is_new=True)


@blueprint.post("/recovery-codes")
@allow(Role.VIEWER, "account.recovery_codes", prove=True)
def renew() -> ResponseReturnValue:
    """Make new recovery codes and show them once. The old ones are void."""
    user = session_or_403().user
    describe(f"user {user.name}")
    if not user.has_second_factor:
        record_nothing()
        return go_to("second_factor.show")
    return render_template("recovery_codes.html", codes=renew_recovery_codes(backend().database, user), is_new=False)


@blueprint.route("/prove", methods=["GET", "POST"])
@allow(Role.VIEWER, "account.prove")
def prove() -> ResponseReturnValue:
    """Ask for password and second factor again, and lead back to the page that needs them."""
    login, target, unsent = session_or_403(), safe_next(request.values.get("next", "/")), "unsent" in request.values
    if request.method == "GET":
        return _prove_page(login, target, unsent)
    describe(f"user {login.user.name}")
    password, code = request.form.get("password", ""), request.form.get("code", "")
    try:
        authenticator().logins.check(login.user.name, password, code, request.remote_addr or "")
    except LoginRefusedError as error:
        wait = f" Wait {error.wait:.0f} seconds before you try again." if error.wait else ""
        return _prove_page(login, target, unsent, f"The password or the code is wrong.{wait}"), 403
    renew_proof(login)
    if unsent:
        flash("You have confirmed that it is you. Nothing has been changed yet: send the form again.", "good")
    return redirect(target, 303)


def _set_up_page(login: Session, secret: str, error: str = "") -> str:
    user = login.user
    uri = otpauth_uri(secret, user.name)
    return render_template("second_factor.html", secret=secret, uri=uri, error=error, user=user)


def _prove_page(login: Session, target: str, unsent: bool, error: str = "") -> str:
    return render_template("prove.html", next=target, unsent=unsent, error=error, user=login.user)
