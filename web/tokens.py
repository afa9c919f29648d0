"""The page of tokens: programs that may use the API, what they may do, and when each was last used."""

from flask import Blueprint, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from access import AccessRefusedError, create_token, read_days, read_limit, read_scopes, revoke_token
from backend import backend
from database import utc_now
from people import Role, Scope
from storage import token_store
from storage.token_store import NewToken
from web.access import allow, current_actor, describe
from web.forms import keep_typed, typed_into
from web.redirects import go_to, refuse

blueprint = Blueprint("tokens", __name__, url_prefix="/settings/tokens")

#: Days until a token expires → words of the form.
DAYS = {"30": "30 days", "90": "90 days", "365": "One year", "": "Never"}
USUAL_DAYS = "90"


@blueprint.get("")
@allow(Role.ADMIN)
def listing() -> str:
    """Show all tokens, and the form for another one."""
    return _page()


@blueprint.post("")
@allow(Role.ADMIN, "token.create", prove=True)
def create() -> ResponseReturnValue:
    """Create a token and show it, once: the answer is the page itself, because nothing may keep the token."""
    form = request.form
    describe(
        f"token {form.get('name', '')[:64]}",
        role=form.get("role", ""),
        scopes=form.getlist("scope"),
        daily_limit=form.get("daily_limit", ""),
        days=form.get("days", ""),
    )
    try:
        new = _posted()
        return _page(create_token(backend().database, new), new.name)
    except AccessRefusedError as error:
        keep_typed()
        return refuse(f"The token was not created: {error}", "tokens.listing")


@blueprint.post("/<int:token_id>/revoke")
@allow(Role.ADMIN, "token.revoke", prove=True)
def revoke(token_id: int) -> ResponseReturnValue:
    """Revoke a token. Its requests are refused from now on."""
    database = backend().database
    known = {token.token_id: token for token in token_store.listed(database)}
    found = known.get(token_id) or abort(404, f"There is no token {token_id}.")
    describe(f"token {found.name}")
    is_revoked = revoke_token(database, found)
    flash(f"Token {found.name} is revoked." if is_revoked else f"Token {found.name} was revoked before.", "good")
    return go_to("tokens.listing")


def _posted() -> NewToken:
    """Return the token of the form. Raises AccessRefusedError."""
    form = request.form
    role = form.get("role", type=Role)
    if role is None:
        raise AccessRefusedError("Choose a role.")
    return NewToken(
        name=form.get("name", "").strip(),
        role=role,
        scopes=read_scopes(form.getlist("scope"), role),
        user_id=current_actor().user_id,
        daily_limit=read_limit(form.get("daily_limit", "")),
        expires_at=read_days(form.get("days", "")),
    )


def _page(created: str = "", name: str = "") -> str:
    """Return the page; created: a new token, which is shown now and never again."""
    return render_template(
        "tokens.html",
        tokens=token_store.listed(backend().database),
        now=utc_now(),
        scopes={scope: SCOPE_WORDS[scope] for scope in Scope},
        days=DAYS,
        typed=typed_into(url_for("tokens.create")),
        usual_days=USUAL_DAYS,
        created=created,
        name=name,
    )


SCOPE_WORDS = {
    Scope.READ: "see batches, orders and reports",
    Scope.EXPORT: "download files of results",
    Scope.ORDER: "create, pause, resume and stop batches",
    Scope.MANAGE: "do what only an admin may do",
}
