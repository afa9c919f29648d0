"""The page of one service: what it costs now and did before, and what our own orders say about it."""

import time

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from storage import service_figure_store
from storage.service_figure_store import ALL, RECENT
from web.access import allow
from web.context import at_one_moment
from web.service_experience import price_line, price_words

blueprint = Blueprint("service_pages", __name__)


@blueprint.get("/services/<service_id>")
@allow(Role.VIEWER)
@at_one_moment
def show(service_id: str) -> ResponseReturnValue:
    """Show one service, also one that the provider no longer lists."""
    database = backend().database
    service = database.get_service(service_id) or abort(404, f"There is no service {service_id[:40]}.")
    prices = service_figure_store.prices(database, service_id)
    line = price_line(prices, time.time())
    figures = service_figure_store.figures_of(database, service_id)
    return render_template(
        "service.html",
        service=service,
        prices=prices[::-1],
        line=line,
        line_words=price_words(line) if line else "",
        spans={f"Last {RECENT} days": figures.get(RECENT), "All orders": figures.get(ALL)},
        computed_at=max((found.computed_at for found in figures.values()), default=0.0),
    )
