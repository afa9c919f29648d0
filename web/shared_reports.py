"""The report of a batch behind a link: for people without a login, read-only, without navigation."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import cast

from flask import Blueprint, Response, abort, current_app, render_template, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from access import network_of, open_link
from backend import backend
from database import utc_now
from results import result_rows
from spreadsheets import WORKBOOK_COLUMNS, OutColumn
from storage.link_store import ReportLink
from web.access import allow_everyone
from web.batch_summary import summary_of
from web.context import batch_or_404
from web.downloads import csv_download, named_after

blueprint = Blueprint("shared_reports", __name__)

#: IMEIs on the page; the file has all of them.
SHOWN = 200
#: The name of the limit among the extensions of the app.
LIMIT = "shared_reports_limit"
#: Requests of one network in one minute, counted by each process for itself.
OF_NETWORK = 120
MINUTE = 60
NOT_THERE = "This link does not show a report. It may have expired or been revoked: ask for a new one."
TOO_MANY = "Too many requests. Try again in a minute."
HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow, noarchive"}


class VisitLimit:
    """Counts the requests of each network in the current minute. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute, self._seen = 0, Counter[str]()

    def admits(self, network: str) -> bool:
        """Count a request, and return whether it may be answered."""
        minute = int(self._clock() // MINUTE)
        with self._lock:
            if minute != self._minute:
                self._minute, self._seen = minute, Counter()
            self._seen[network] += 1
            return self._seen[network] <= OF_NETWORK


@blueprint.record_once
def _add_limit(state: BlueprintSetupState) -> None:
    state.app.extensions[LIMIT] = VisitLimit()


@blueprint.before_request
def _limit() -> None:
    if not cast(VisitLimit, current_app.extensions[LIMIT]).admits(network_of(request.remote_addr or "")):
        abort(429, TOO_MANY)


@blueprint.after_request
def _keep_private(response: Response) -> Response:
    """Keep the address, which is the secret, from other sites and from search engines."""
    response.headers.update(HEADERS)
    return response


@blueprint.get("/shared/<link_secret>")
@allow_everyone()  # whoever has the link may read: 256 random bits, which expire and can be revoked
def show(link_secret: str) -> ResponseReturnValue:
    """Show the report of a link; with ?format=csv its results as a file. Unknown, expired or revoked: 404."""
    link = open_link(backend().database, link_secret, utc_now())
    if link is None or (request.args.get("format") == "csv" and not link.has_csv):
        abort(404, NOT_THERE)
    if request.args.get("format") == "csv":
        return _file(link)
    batch = batch_or_404(link.batch_id)
    rows = islice(result_rows(backend().database, batch), SHOWN) if link.has_imeis else ()
    return render_template(
        "shared_report.html",
        bare=True,
        link=link,
        report=summary_of(backend().database, batch),
        rows=list(rows),
        shown=SHOWN,
    )


def _file(link: ReportLink) -> Response:
    batch = batch_or_404(link.batch_id)
    return csv_download(result_rows(backend().database, batch), _columns(link), f"{named_after(batch, 'results')}.csv")


def _columns(link: ReportLink) -> tuple[OutColumn, ...]:
    hidden = {"order_id"} if link.has_prices else {"order_id", "credits"}
    return tuple(column for column in WORKBOOK_COLUMNS if column.key not in hidden)
