"""The page of the accounts at the provider: what each has and does, its limit and budget, and its switch."""

import time

from flask import Blueprint, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

from amounts import read_dollars
from backend import backend
from database import Transaction
from orders import NotPossibleError
from people import Role
from storage import account_store
from storage.account_store import AccountState
from web.access import allow, describe
from web.account_lines import lines_of
from web.format import money
from web.redirects import go_to, refuse

blueprint = Blueprint("accounts", __name__, url_prefix="/settings/accounts")

#: Calls a minute, and US dollars a day, at most.
MOST_CALLS, MOST_DOLLARS = 100_000, 1e9
GONE = "This account no longer exists."


@blueprint.get("")
@allow(Role.ADMIN)
def listing() -> str:
    """Show all accounts."""
    return render_template("accounts.html", accounts=lines_of(backend()))


@blueprint.post("/<name>")
@allow(Role.ADMIN, "provider.change", prove=True)
def change(name: str) -> ResponseReturnValue:
    """Set the limit and the budget of an account; a blank field takes the value of the settings."""
    describe(f"provider {name}")
    try:
        limit = _number(request.form.get("rate_limit", ""), "limit", MOST_CALLS)
        budget = _number(request.form.get("daily_budget", ""), "budget", MOST_DOLLARS)
        if limit is not None and limit != int(limit):
            raise NotPossibleError("The limit must be a whole number of calls.")
    except NotPossibleError as error:
        return refuse(f"Account {name} was not changed: {error}", "accounts.listing")
    calls = None if limit is None else int(limit)
    with backend().database.write() as connection:
        before = _state_or_404(connection, name)
        account_store.change(connection, name, calls, budget)
    describe(old=_terms(before.rate_limit, before.daily_budget), new=_terms(calls, budget))
    flash(f"Account {name} is saved.", "good")
    return go_to("accounts.listing")


@blueprint.post("/<name>/off")
@allow(Role.ADMIN, "provider.switch_off", prove=True)
def switch_off(name: str) -> ResponseReturnValue:
    """Let an account send nothing more."""
    return _switched(name, off=True)


@blueprint.post("/<name>/on")
@allow(Role.ADMIN, "provider.switch_on", prove=True)
def switch_on(name: str) -> ResponseReturnValue:
    """Let an account send again."""
    return _switched(name, off=False)


@blueprint.post("/<name>/retry")
@allow(Role.ADMIN, "provider.retry")
def retry(name: str) -> ResponseReturnValue:
    """Let an account try again that a refusal or a lack of money has stopped."""
    describe(f"provider {name}")
    with backend().database.write() as connection:
        _state_or_404(connection, name)
        account_store.let_go_on(connection, time.time(), name)
    flash(f"Account {name} tries again. Resume the batches that are paused.", "good")
    return go_to("accounts.listing")


def _switched(name: str, off: bool) -> ResponseReturnValue:
    describe(f"provider {name}")
    with backend().database.write() as connection:
        _state_or_404(connection, name)
        account_store.switch(connection, name, off)
    words = "is off. Requests already sent will finish." if off else "is on. Resume the batches that wait for it."
    flash(f"Account {name} {words}", "good")
    return go_to("accounts.listing")


def _state_or_404(connection: Transaction, name: str) -> AccountState:
    return {state.name: state for state in account_store.accounts(connection)}.get(name) or abort(404, GONE)


def _number(text: str, what: str, most: float) -> float | None:
    """Return the number in a text; None for a blank one. Raises NotPossibleError."""
    if not text.strip():
        return None
    value = read_dollars(text)
    if not 0 <= value <= most:
        raise NotPossibleError(f"the {what} {text} is not a number between 0 and {most:,.0f}.")
    return value


def _terms(limit: int | None, budget: float | None) -> str:
    calls = "as in the settings" if limit is None else f"{limit:,} calls a minute" if limit else "no limit"
    return f"{calls}, budget {'as in the settings' if budget is None else money(budget)}"
