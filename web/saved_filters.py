"""Save filters of the history under a name; rename, share and delete them."""

from urllib.parse import parse_qsl

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from storage.order_pages import Sort
from storage.saved_filter_store import (
    MOST,
    SavedFilter,
    change_filter,
    delete_filter,
    filters_of,
    find_filter,
    save_filter,
)
from web.access import allow, current_actor, describe, may
from web.batch_fields import one_line
from web.context import at_one_moment
from web.filter_chips import chip_of, may_change, saved_query
from web.filters import asked, read_filter
from web.redirects import go_to, refuse

blueprint = Blueprint("saved_filters", __name__, url_prefix="/history/filters")

#: Characters of a name.
LONGEST = 60


@blueprint.get("")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> str:
    """Show the saved filters, with a reason for each that is no longer valid."""
    database = backend().database
    found = [
        chip_of(saved, objection=read_filter(database, dict(parse_qsl(saved.query))).sentence)
        for saved in filters_of(database, current_actor().name)
    ]
    return render_template("saved_filters.html", saved=found)


@blueprint.post("")
@allow(Role.VIEWER, "filter.save")
def save() -> ResponseReturnValue:
    """Save the filter and sort of the URL under the name of the form, in the place of the person's filter of it."""
    wanted, name = asked(), one_line(request.form.get("name", ""), LONGEST)
    sort = request.args.get("sort", Sort.NEWEST, type=Sort)
    query, is_shared = saved_query(wanted.arguments, sort), _is_shared()
    back = redirect(f"{url_for('orders.history')}?{query}", 303)
    objection = wanted.sentence or ("" if name else "Enter a name.") or ("" if query else "Set a filter first.")
    if not objection and not save_filter(backend().database, current_actor().name, name, query, is_shared):
        objection = f"You have {MOST} saved filters. Delete one first."
    if objection:
        flash(f"The filter was not saved. {objection}", "error")
        return back
    describe(f"saved filter {name}", query=query, shared=is_shared)
    flash(f"Saved filter “{name}”{' for everybody' if is_shared else ''}.")
    return back


@blueprint.post("/<int:filter_id>")
@allow(Role.VIEWER, "filter.change")
def change(filter_id: int) -> ResponseReturnValue:
    """Rename a saved filter, and share it or not."""
    saved, name, is_shared = _own_or_404(filter_id), one_line(request.form.get("name", ""), LONGEST), _is_shared()
    if not name or not change_filter(backend().database, filter_id, name, is_shared):
        why = f"There is a saved filter “{name}” already." if name else "Enter a name."
        return refuse(why, "saved_filters.listing")
    describe(f"saved filter {saved.name}", name=name, shared=is_shared)
    flash(f"Saved filter “{name}” was changed.")
    return go_to("saved_filters.listing")


@blueprint.post("/<int:filter_id>/delete")
@allow(Role.VIEWER, "filter.delete")
def delete(filter_id: int) -> ResponseReturnValue:
    """Delete a saved filter."""
    saved = _own_or_404(filter_id)
    delete_filter(backend().database, filter_id)
    describe(f"saved filter {saved.name}", query=saved.query)
    flash(f"Saved filter “{saved.name}” was deleted.")
    return go_to("saved_filters.listing")


def _is_shared() -> bool:
    """Return whether the form shares the filter. Answers 403 for those who may not."""
    is_shared = "shared" in request.form
    if is_shared and not may(Role.OPERATOR):
        abort(403, "Only operators and admins share filters.")
    return is_shared


def _own_or_404(filter_id: int) -> SavedFilter:
    """Return a saved filter that the person of this request may change, or answer 404 or 403."""
    found = find_filter(backend().database, filter_id)
    if found is None or not (found.is_shared or found.person == current_actor().name):
        abort(404, "There is no such saved filter.")
    if not may_change(found):
        abort(403, f"Only {found.person} and admins change this filter.")
    return found
