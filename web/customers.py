"""Customers that batches name: the list, the page of one with its default service, and the offer of that service."""

from flask import Blueprint, Response, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from people import Role
from results import reading_choice
from spreadsheets import OutColumn
from storage import customer_store, order_queries
from storage.batch_uploads import change_upload
from storage.customer_store import Customer
from storage.order_queries import ListedBatches
from submission import service_objection
from web.access import allow, describe
from web.batch_fields import one_line
from web.context import at_one_moment, row_number
from web.customers_seen import seen_batches
from web.downloads import csv_download
from web.format import plural
from web.redirects import go_to, refuse

blueprint = Blueprint("customers", __name__)

#: Customers of one page, and batches on the page of one.
PAGE, NEWEST = 50, 10
SEEN_COLUMNS = (
    OutColumn("IMEI NO.", "imei", 17, "digits"),
    OutColumn("CUSTOMER", "customer", 30),
    OutColumn("BATCH", "batch_id", 9),
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("CREATED", "created_at", 20, "moment"),
)


@blueprint.get("/customers")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> str:
    """Show the customers; those with the newest batches first."""
    known, place = customer_store.known_customers(backend().database), request.args.get("after", 0, type=row_number)
    listed = known[place : place + PAGE]
    return render_template(
        "customers.html",
        customers=listed,
        spent=customer_store.spent_by(backend().database, listed),
        services={one.package_id: one.title for one in backend().catalog.stored().services},
        total=len(known),
        following=place + PAGE if len(known) > place + PAGE else None,
        is_first=not place,
    )


@blueprint.get("/customers/one")
@allow(Role.VIEWER)
def show() -> str:
    """Show the customer ?name=: what was ordered for it, its default service, and its newest batches."""
    database, catalogue = backend().database, backend().catalog.current(patience=1.0)
    with database.snapshot():
        found = _customer_or_404(request.args.get("name", ""))
        return render_template(
            "customer.html",
            customer=found,
            spent=customer_store.spent_by(database, [found])[found.name],
            catalogue=catalogue,
            batches=order_queries.listed_batches(database, ListedBatches(customers=found.writings), NEWEST),
        )


@blueprint.post("/customers/default")
@allow(Role.OPERATOR, "customer.default")
def set_default() -> ResponseReturnValue:
    """Choose the service that is suggested for batches of a customer, or none."""
    name, service_id = one_line(request.form.get("customer", "")), request.form.get("service_id", "").strip()
    describe(f"customer {name}", service=service_id)
    objection = service_objection(backend().catalog.current().find(service_id), service_id) if service_id else ""
    if objection:
        return refuse(objection, "customers.show", name=name)
    customer_store.set_default_service(backend().database, name, service_id)
    flash("Default service saved." if service_id else "No service is suggested any more.", "good")
    return go_to("customers.show", name=name)


@blueprint.post("/customers/rename")
@allow(Role.OPERATOR, "customer.rename")
def rename() -> ResponseReturnValue:
    """Write another name on all batches of a customer; where it exists, the two become one."""
    found, new = _customer_or_404(request.form.get("customer", "")), one_line(request.form.get("new", ""))
    describe(f"customer {found.name}", new=new)
    if not new:
        return refuse("Enter a name.", "customers.show", name=found.name)
    count = customer_store.rename_customer(backend().database, found.name, new)
    flash(f"{plural(count, 'batch', 'batches')} renamed to “{new}”.", "good")
    return go_to("customers.show", name=new)


@blueprint.post("/batch/preview/<token>/customer-service")
@allow(Role.OPERATOR)
def use_default(token: str) -> ResponseReturnValue:
    """Preview an upload with the default service of its customer."""
    found = drafts.upload_or_404(token)
    service_id = customer_store.default_service(backend().database, found.customer)
    if service_id:
        change_upload(backend().database, token, service_id, found.choice)
    return go_to("preview.show", token=token)


@blueprint.get("/batch/preview/<token>/other-customers.csv")
@allow(Role.OPERATOR, "export")
def seen_csv(token: str) -> Response:
    """Download each phone of an upload that another customer had, with the batch."""
    found = drafts.upload_or_404(token)
    seen = seen_batches(found, drafts.read(found, reading_choice(found.choice)))
    names = ("batch_id", "customer", "created_at", "service_name")
    rows = [{name: getattr(one, name) for name in names} | {"imei": imei} for one in seen for imei in one.imeis]
    describe(rows=len(rows))
    return csv_download(rows, SEEN_COLUMNS, "seen-for-other-customers.csv")


def _customer_or_404(name: str) -> Customer:
    found = customer_store.find_customer(backend().database, name)
    return found or abort(404, f"No batch names a customer “{name[:40]}”.")
