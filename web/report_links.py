"""Make, list and revoke links to reports: on the report of a batch, and for all batches in the settings."""

from datetime import timedelta

from flask import Blueprint, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from access import create_link
from backend import backend
from database import utc_now
from people import Role
from storage import link_store
from storage.link_store import NewLink
from web.access import allow, current_actor, describe
from web.batch_summary import summary_of
from web.context import at_one_moment, batch_or_404
from web.redirects import go_to

blueprint = Blueprint("report_links", __name__)

#: Days until a link expires → words of the form.
DAYS = {1: "1 day", 7: "7 days", 30: "30 days", 90: "90 days"}
USUAL_DAYS = 7


@blueprint.get("/batches/<int:batch_id>/report")
@allow(Role.VIEWER)
@at_one_moment
def report(batch_id: int) -> str:
    """Show a report of a batch for printing, with the links to it."""
    return _page(batch_id)


@blueprint.post("/batches/<int:batch_id>/links")
@allow(Role.OPERATOR, "report_link.create")
def create(batch_id: int) -> ResponseReturnValue:
    """Create a link and show it, once: the answer is the page itself, because nothing may keep the link."""
    form, batch = request.form, batch_or_404(batch_id)
    days = form.get("days", type=int)
    if days not in DAYS:
        abort(400, f"A link expires after {', '.join(map(str, DAYS))} days.")
    new = NewLink(
        batch_id=batch.batch_id,
        created_by=current_actor().name,
        expires_at=utc_now() + timedelta(days=days),
        has_prices="prices" in form,
        has_imeis="imeis" in form,
        has_csv="csv" in form,
    )
    describe(days=days, prices=new.has_prices, imeis=new.has_imeis, csv=new.has_csv)
    secret = create_link(backend().database, new)
    return _page(batch_id, url_for("shared_reports.show", link_secret=secret, _external=True))


@blueprint.post("/batches/<int:batch_id>/links/<int:link_id>/revoke")
@allow(Role.OPERATOR, "report_link.revoke")
def revoke(batch_id: int, link_id: int) -> ResponseReturnValue:
    """Revoke a link: it shows nothing from now on."""
    batch_or_404(batch_id)
    describe(link=link_id)
    if link_store.revoke(backend().database, batch_id, link_id):
        flash(f"Link {link_id} is revoked.", "good")
    else:
        flash(f"There is no link {link_id} that can be revoked.", "error")
    if "listing" in request.form:
        return go_to("report_links.listing")
    return go_to("report_links.report", batch_id=batch_id, _anchor="links")


@blueprint.get("/settings/links")
@allow(Role.ADMIN)
def listing() -> str:
    """Show the links to the reports of all batches."""
    links = link_store.listed(backend().database)
    return render_template("links.html", links=links, most=link_store.MOST_LISTED, now=utc_now())


def _page(batch_id: int, created: str = "") -> str:
    """Return the page; created: a new link, which is shown now and never again."""
    batch, database = batch_or_404(batch_id), backend().database
    return render_template(
        "report.html",
        report=summary_of(database, batch),
        links=link_store.listed(database, batch_id),
        created=created,
        days=DAYS,
        usual_days=USUAL_DAYS,
        now=utc_now(),
    )
