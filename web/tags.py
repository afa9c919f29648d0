"""Tags of batches and orders: put on and taken off on their pages and for selected rows, and the page of all tags."""

from collections.abc import Sequence

from flask import Blueprint, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from storage import tag_store
from web.access import allow, describe
from web.batch_fields import one_line
from web.context import at_one_moment, batch_or_404, order_or_404, row_number
from web.filters import asked
from web.format import plural
from web.redirects import go_to

blueprint = Blueprint("tags", __name__)

#: Characters of one tag, and tags of one page.
LONGEST, SHOWN = 30, 500
#: Rows that one request may tag.
MOST_ROWS = 10_000
NO_TAG = "Enter a tag: a short word, or several with commas between them."


@blueprint.get("/tags")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> str:
    """Show every tag with the number of its batches and orders."""
    with backend().database.read() as connection:
        known = tag_store.known_tags(connection, SHOWN)
    return render_template("tags.html", tags=known, counted=tag_store.COUNTED)


@blueprint.post("/batches/<int:batch_id>/tags")
@allow(Role.OPERATOR, "tag.change")
def of_batch(batch_id: int) -> ResponseReturnValue:
    """Put tags on a batch, or take one off."""
    batch_or_404(batch_id)
    database, removed = backend().database, request.form.get("remove", "")
    if removed:
        tag_store.untag_batch(database, batch_id, removed)
        describe(removed=removed)
    for word in _words():
        tag_store.tag_batches(database, [batch_id], word)
    return go_to("batches.live", batch_id=batch_id)


@blueprint.post("/orders/<order_id>/tags")
@allow(Role.OPERATOR, "tag.change")
def of_order(order_id: str) -> ResponseReturnValue:
    """Put tags on an order, or take one off."""
    found, database = order_or_404(order_id), backend().database
    removed = request.form.get("remove", "")
    if removed:
        tag_store.untag_order(database, found.id, removed)
        describe(removed=removed)
    for word in _words():
        tag_store.tag_orders(database, [found.id], word)
    return go_to("orders.order", order_id=order_id)


@blueprint.post("/tags/rows")
@allow(Role.OPERATOR, "tag.change")
def of_rows() -> ResponseReturnValue:
    """Put tags on the orders of the selected rows: row=, repeated. Lead back to the filter, or to ?page_of= a batch."""
    rows = request.form.getlist("row", type=row_number)
    if not rows:
        flash("Select rows first.", "error")
    elif len(rows) > MOST_ROWS:
        abort(400, f"At most {MOST_ROWS:,} rows can get a tag at a time.")
    else:
        words = _words()
        for word in words:
            tag_store.tag_orders(backend().database, rows, word)
        describe("orders", rows=len(rows))
        if words:
            flash(f"{plural(len(rows), 'order')} tagged: {', '.join(words)}.", "good")
    batch_id = request.args.get("page_of", type=row_number)
    if batch_id is not None:
        return go_to("batches.live", batch_id=batch_id)
    return go_to("orders.history", **asked().chosen.arguments())


@blueprint.post("/tags/rename")
@allow(Role.OPERATOR, "tag.rename")
def rename() -> ResponseReturnValue:
    """Write a tag in another way wherever it is."""
    old, words = _known_tag(), _words()
    if len(words) == 1:
        tag_store.rename_tag(backend().database, old, words[0])
        describe(f"tag {old}", new=words[0])
        flash(f"“{old}” is “{words[0]}” now.", "good")
    return go_to("tags.listing")


@blueprint.post("/tags/delete")
@allow(Role.OPERATOR, "tag.delete")
def delete() -> ResponseReturnValue:
    """Take a tag from everything."""
    old = _known_tag()
    tag_store.delete_tag(backend().database, old)
    describe(f"tag {old}")
    flash(f"The tag “{old}” was removed from all batches and orders.", "good")
    return go_to("tags.listing")


def _words() -> Sequence[str]:
    """Return the tags of the form: words with commas between them, each on one line. Without any, say so."""
    given = request.form.get("add_tag", request.form.get("tag"))  # a list has its own tag in its filter
    words = dict[str, str]()
    for part in (given or "").split(","):
        if word := one_line(part, LONGEST):
            words.setdefault(tag_store.tag_key(word), word)
    if given is not None and not words:
        flash(NO_TAG, "error")
    if words:
        describe(tag=", ".join(words.values()))
    return list(words.values())


def _known_tag() -> str:
    word = request.form.get("old", "")
    if not tag_store.is_tag(backend().database, word):
        abort(404, f"There is no tag “{word[:LONGEST]}”. Somebody may have renamed or deleted it.")
    return word
