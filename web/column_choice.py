"""The form that chooses the columns of a list of orders. Each person has their own, kept on the server."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Blueprint, abort, redirect, request
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from storage.preference_store import prefer
from web.access import allow, current_actor, describe
from web.auth import safe_next
from web.order_columns import COLUMNS, IMEI, OrderTable, all_columns, cells, preference_of

blueprint = Blueprint("column_choice", __name__, url_prefix="/history/columns")
blueprint.add_app_template_global(all_columns)
blueprint.add_app_template_filter(cells)


@blueprint.post("")
@allow(Role.VIEWER, "columns.choose")
def choose() -> ResponseReturnValue:
    """Keep the columns of the form for a list. A button of the form moves one of them, or forgets the choice."""
    which, names = request.form.get("list", type=OrderTable), request.form.getlist("shown")
    if which is None:
        abort(400)
    name = preference_of(which)
    chosen = list(dict.fromkeys([IMEI.name, *(name for name in names if name in COLUMNS)]))
    action, _, moved = request.form.get("action", "").partition(":")
    if action in ("up", "down") and moved in chosen:
        _move(chosen, moved, -1 if action == "up" else 1)
    prefer(backend().database, current_actor().name, name, None if action == "reset" else chosen)
    describe(name, columns=chosen if action != "reset" else "usual")
    return redirect(_page_behind(is_open=action in ("up", "down")), 303)


def _page_behind(is_open: bool) -> str:
    """Return the address of the page that sent the form, with the form open or closed."""
    page = urlsplit(safe_next(request.form.get("next", "/")))
    others = [(name, value) for name, value in parse_qsl(page.query) if name != "columns"]
    query = urlencode([*others, *([("columns", "open")] if is_open else [])])
    return urlunsplit(page._replace(query=query))


def _move(chosen: list[str], name: str, step: int) -> None:
    """Move a column by one place. The first one stays the first."""
    place = max(chosen.index(name) + step, 1)
    chosen.remove(name)
    chosen.insert(place, name)
