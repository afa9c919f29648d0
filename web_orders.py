"""The history of orders, its export, and one order."""

from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue

import batch_queries
import order_queries
from database import utc_now
from device_report import read_report
from order_sync import request_sync
from orders import OrderStatus
from spreadsheets_out import write_provider_csv
from web_context import backend

orders = Blueprint("orders", __name__)

PAGE = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """What the history shows. It lives in the URL."""

    q: str = ""
    status: str = ""
    service: str = ""
    batch: int | None = None

    def arguments(self) -> dict[str, Any]:
        """The filter as url_for wants it, without what is not set."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}

    def terms(self) -> dict[str, Any]:
        """The filter as the database wants it."""
        return {"text": self.q, "status": self.status, "service_id": self.service, "batch_id": self.batch}


@orders.get("/history")
def history() -> ResponseReturnValue:
    """Orders that fit the filter, newest first."""
    chosen, before = _filter(), request.args.get("before", type=int)
    found = backend().database.search_orders(**chosen.terms(), before_id=before, limit=PAGE + 1)
    return render_template(
        "history.html",
        orders=found[:PAGE],
        next_before=found[PAGE - 1]["id"] if len(found) > PAGE else None,
        first_page=before is None,
        chosen=chosen,
        statuses=list(OrderStatus),
        services=order_queries.ordered_services(backend().database),
        total=backend().database.count_orders(),
    )


@orders.post("/history/sync")
def sync_now() -> ResponseReturnValue:
    """Ask for all pending results, by the process that talks to the provider."""
    request_sync(backend().database)
    flash("The provider is being asked for all pending results. They appear within a minute.")
    return redirect(url_for("orders.history", **_filter().arguments()), 303)


@orders.get("/history.csv")
def history_csv() -> Response:
    """All orders that fit the filter, in the provider's format."""
    rows = backend().database.iterate_orders(**_filter().terms())
    lines = write_provider_csv(rows, bom=request.args.get("bom") != "0")
    response = Response(stream_with_context(lines), mimetype="text/csv")
    name = f"orders_{utc_now():%Y%m%dT%H%MZ}.csv"
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@orders.get("/orders/<order_id>")
def order(order_id: str) -> ResponseReturnValue:
    """Everything that is known of one order."""
    database = backend().database
    found = database.get_order(order_id)
    if found is None:
        abort(404, f"There is no order {order_id}.")
    text = found["result_code"] or found["result_code_display"] or ""
    others = [other for other in database.get_orders_by_imei(found["imei"]) if other["id"] != found["id"]]
    return render_template(
        "order.html",
        order=found,
        report=read_report(text),
        others=others,
        timeline=batch_queries.order_timeline(database, found),
    )


def _filter() -> Filter:
    given = request.args
    return Filter(
        q=given.get("q", "").strip(),
        status=given.get("status", "").strip(),
        service=given.get("service", "").strip(),
        batch=given.get("batch", type=int),
    )
