"""The table of results by model, carrier, SIM lock and more: as a page with links into the history, and as files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import urlencode

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from database import utc_now
from orders import OrderStatus
from people import Role
from spreadsheets import OutColumn
from storage import order_queries, order_reports, result_count_store
from storage.customer_store import customer_names
from storage.result_count_store import Chosen
from web.access import allow
from web.context import at_one_moment, batch_of_url
from web.downloads import file_download
from web.periods import Period, asked_period, neighbours
from web.pivot_table import LABELS, TOTAL, Layout, Most, PivotColumn, PivotLine, PivotTable, lay_out

blueprint = Blueprint("pivot", __name__)

#: What a page shows, and what a file has: Excel takes 16,384 columns.
ON_PAGE, IN_FILE = Most(25, 6, 8), Most(10**9, 10**9, 1000)
#: Arguments of links that are remembered: a table has few, in hundreds of cells.
ARGUMENTS = 4096
#: The names of fields in counts of results, where they have other ones.
STORED = {"service": "service_name"}


@dataclass(frozen=True, slots=True)
class AskedTable:
    """What the URL asks for."""

    layout: Layout
    period: Period
    batch: int | None
    customer: str

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of a URL, except those of the period."""
        layout = self.layout
        found = {"rows": layout.rows, "then": layout.then, "columns": layout.columns, "customer": self.customer}
        batch = {"batch": str(self.batch)} if self.batch is not None else {}
        return {name: value for name, value in found.items() if value or name in ("then", "columns")} | batch


@blueprint.get("/reports/pivot")
@allow(Role.VIEWER)
@at_one_moment
def page() -> ResponseReturnValue:
    """Show how many results say what."""
    months = order_reports.months(backend().database)
    asked = _asked(months)
    table = _table(asked, ON_PAGE)
    return render_template(
        "pivot.html",
        asked=asked,
        table=table,
        links=_Links.to_history(asked),
        labels=LABELS,
        period=asked.period,
        months=months,
        neighbours=neighbours(asked.period, months),
        customers={name: name for name in customer_names(backend().database)},
    )


@blueprint.get("/reports/pivot.csv", endpoint="as_csv")
@blueprint.get("/reports/pivot.xlsx", endpoint="as_xlsx")
@allow(Role.VIEWER, "export")
def as_file() -> ResponseReturnValue:
    """Download the table with all lines."""
    asked = _asked(order_reports.months(backend().database))
    table = _table(asked, IN_FILE)
    rows = list(_rows(asked.layout, table))
    batch = [f"batch-{asked.batch}"] if asked.batch is not None else []
    stem = "_".join(["results-by-" + "-".join(asked.layout.fields), *batch, asked.period.file_part])
    return file_download(rows, _columns(asked.layout, table), stem, len(rows))


def _asked(months: Sequence[date]) -> AskedTable:
    """Return what the URL asks for. Answers 400 with the reason for what is not valid. months: those with orders."""
    given = request.args
    layout = Layout(given.get("rows", "model"), given.get("then", "carrier"), given.get("columns", "simlock"))
    for name in layout.fields:
        if name not in LABELS:
            abort(400, f"Results can be counted by {', '.join(LABELS.values())}, not by “{name[:40]}”.")
    if not layout.rows or len(set(layout.fields)) < len(layout.fields):
        abort(400, "Choose different fields for lines and columns.")
    if not result_count_store.can_combine(_stored(layout)):
        abort(400, "Model and carrier together can be combined with the SIM lock only.")
    period = asked_period(months, utc_now().date())
    return AskedTable(layout, period, batch_of_url(), given.get("customer", ""))


def _stored(layout: Layout) -> list[str]:
    return [STORED.get(name, name) for name in layout.fields]


def _table(asked: AskedTable, most: Most) -> PivotTable:
    chosen = Chosen(asked.period.since, asked.period.until, asked.batch, asked.customer)
    return lay_out(result_count_store.count(backend().database, _stored(asked.layout), chosen), asked.layout, most)


@dataclass(frozen=True, slots=True)
class _Links:
    """Addresses of the history with the orders of a cell. A filter finds neither what is not reported nor customers."""

    layout: Layout
    address: str
    usual: str | None  #: the filter of every cell, encoded; None: there are no links
    service_ids: Mapping[str, str]  #: by name

    @classmethod
    def to_history(cls, asked: AskedTable) -> "_Links":
        """Return the links of a table."""
        ends = {"since": asked.period.since, "until": asked.period.until}
        usual = {name: day.isoformat() for name, day in ends.items() if day} | {"status": OrderStatus.COMPLETED}
        usual |= {"batch": str(asked.batch)} if asked.batch is not None else {}
        names: dict[str, str] = {}
        if "service" in asked.layout.fields:
            with backend().database.read() as connection:
                names = {name: service_id for service_id, name in order_queries.ordered_services(connection)}
        return cls(asked.layout, url_for("orders.history"), None if asked.customer else urlencode(usual), names)

    def of(self, line: PivotLine, column: PivotColumn | None = None) -> str:
        """Return the address for a cell, or for the sum of a line; "" where no filter finds its orders."""
        if self.usual is None or line.values is None:
            return ""
        found = dict(zip(self.layout.lines, line.values, strict=False))
        if column is not None:
            found[self.layout.columns] = column.value or ""
        if "service" in found:
            found["service"] = self.service_ids.get(found["service"], "")
        if not all(found.values()):
            return ""
        return f"{self.address}?{'&'.join(_argument(*pair) for pair in found.items())}&{self.usual}"


@lru_cache(ARGUMENTS)
def _argument(name: str, value: str) -> str:
    return urlencode({name: value})


def _columns(layout: Layout, table: PivotTable) -> tuple[OutColumn, ...]:
    lines = [OutColumn(LABELS[name].upper(), name, 30) for name in layout.lines]
    cells = [OutColumn(column.words, str(place), 14, "count") for place, column in enumerate(table.columns)]
    return (*lines, *cells, OutColumn(TOTAL.upper(), TOTAL, 10, "count"))


def _rows(layout: Layout, table: PivotTable) -> Iterator[dict[str, object]]:
    """Yield the deepest lines: the file has no sums that a pivot table of Excel would count twice."""
    for line in table.lines:
        if line.depth == len(layout.lines):
            found: dict[str, object] = dict(zip(layout.lines, line.words, strict=True))
            yield found | {str(place): results for place, results in enumerate(line.cells)} | {TOTAL: line.results}
