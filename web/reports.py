"""The spend of a period: as a page with charts, as files, and as a report for printing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from database import utc_now
from people import Role
from spreadsheets import OutColumn
from storage import order_filters, order_reports
from storage.order_queries import Day
from storage.order_reports import Spend, Totals, added
from web.access import allow
from web.context import at_one_moment
from web.downloads import file_download, row_mappings
from web.format import CHART_WIDTH, bars, money, number, percent
from web.periods import Period, asked_period, month_of, neighbours, period_before

blueprint = Blueprint("reports", __name__)

#: Most rows of the spend table on the page, of the chart of services, and of each table of the printed report.
SHOWN, SERVICES_SHOWN, PRINTED = 60, 6, 8
#: Days of a period that has a bar for each month, at least.
MOST_DAYS = 62
#: Days or months with orders that a chart needs at least.
LEAST_BARS = 3
#: Height of the chart in SVG units.
TALL = 150
#: What the printed report sums up by.
PRINTED_BY = ("service", "customer", "person", "batch")

SPEND_COLUMNS = (
    OutColumn("ORDERS", "orders", 9, "count"),
    OutColumn("COMPLETED", "completed", 11, "count"),
    OutColumn("REJECTED", "rejected", 9, "count"),
    OutColumn("PASS", "passed", 9, "count"),
    OutColumn("REVIEW", "review", 9, "count"),
    OutColumn("FAIL", "failed", 9, "count"),
    OutColumn("SPENT", "spent", 11, "money"),
    OutColumn("LOST", "lost", 11, "money"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the headline figures."""

    words: str
    value: str
    note: str  #: how much more or less than in the period before, such as "+12 %"; "" for none
    verdict: str = ""  #: the word of a verdict whose share it is


@dataclass(frozen=True, slots=True)
class Chart:
    """The spend over time."""

    unit: str  #: of a bar: "day" or "month"
    bars: list[dict[str, Any]]  #: as web.format.bars() gives them
    words: str  #: what it shows, for those who do not see it
    size: tuple[int, int] = (CHART_WIDTH, TALL)


@dataclass(frozen=True, slots=True)
class Overview:
    """What a period cost."""

    days: list[Spend]  #: newest first; days without orders are left out
    totals: Totals
    figures: list[Figure]
    before: Period | None  #: what the figures are compared with
    chart: Chart | None  #: None where it says nothing


@blueprint.get("/reports")
@allow(Role.VIEWER)
@at_one_moment
def spend() -> ResponseReturnValue:
    """Show the spend by day, month, service, batch, customer or person."""
    database, by = backend().database, _by()
    months, today = order_reports.months(database), utc_now().date()
    period = asked_period(months, today)
    overview = _overview(period, months, today)
    services, service_count = order_reports.top(database, "service", period.since, period.until, SHOWN)
    if by == "day":
        rows, groups = overview.days[:SHOWN], len(overview.days)
    elif by == "service":
        rows, groups = services, service_count
    else:
        rows, groups = order_reports.top(database, by, period.since, period.until, SHOWN)
    with database.read() as connection:
        mismatched = order_filters.mismatched_count(connection)
    return render_template(
        "reports.html",
        overview=overview,
        period=period,
        by=by,
        ways=order_reports.BY,
        months=months,
        neighbours=neighbours(period, months),
        services=services[:SERVICES_SHOWN],
        more_services=service_count - len(services[:SERVICES_SHOWN]),
        rows=rows,
        more=groups - len(rows),
        mismatched=mismatched,
    )


@blueprint.get("/reports/print")
@allow(Role.VIEWER)
@at_one_moment
def printed() -> ResponseReturnValue:
    """Show a report of a period for printing: figures, a chart, and the largest of each kind."""
    database = backend().database
    months, today = order_reports.months(database), utc_now().date()
    period = asked_period(months, today)
    return render_template(
        "reports_print.html",
        overview=_overview(period, months, today),
        period=period,
        tables={by: order_reports.top(database, by, period.since, period.until, PRINTED) for by in PRINTED_BY},
        now=utc_now(),
    )


@blueprint.get("/reports/spend.csv", endpoint="spend_csv")
@blueprint.get("/reports/spend.xlsx", endpoint="spend_xlsx")
@allow(Role.VIEWER, "export")
def spend_file() -> ResponseReturnValue:
    """Download the spend of a period, with all rows and, in a workbook, real dates."""
    database, by = backend().database, _by()
    period = asked_period(order_reports.months(database), utc_now().date())
    rows = order_reports.spend(database, by, period.since, period.until)
    columns = (OutColumn(by.upper(), "key", 34, "day" if by == "day" else ""), *SPEND_COLUMNS)
    mappings = (dict(row, key=_day_or_text(by, row["key"])) for row in row_mappings(rows, columns))
    return file_download(mappings, columns, f"spend-by-{by}_{period.file_part}", len(rows))


def _by() -> str:
    by = request.args.get("by", "day")
    if by not in order_reports.BY:
        abort(400, f"Spend can be grouped by {', '.join(order_reports.BY)}.")
    return by


def _day_or_text(by: str, key: object) -> object:
    return date.fromisoformat(str(key)) if by == "day" and key else key


# Figures and charts


def _overview(period: Period, months: Sequence[date], today: date) -> Overview:
    """Read the days of a period and of the one before it, in one query, and add them up."""
    before = period_before(period, today)
    first = before.since if before else period.since
    found = order_reports.spend(backend().database, "day", first, period.until)
    start = "" if period.since is None else period.since.isoformat()
    days = [row for row in found if row.key >= start]
    totals = added(days)
    earlier = added(row for row in found if before and before.until and row.key <= before.until.isoformat())
    compared = list(figures(totals, earlier if before else None))
    return Overview(days, totals, compared, before, _chart(period, days, months, today))


def figures(now: Totals, then: Totals | None) -> Iterator[Figure]:
    """Yield the headline figures, compared with those of the period before."""

    def compared(name: str) -> str:
        return change(getattr(now, name), getattr(then, name)) if then else ""

    yield Figure("Spent", money(now.spent), compared("spent"))
    yield Figure("Orders", number(now.orders), compared("orders"))
    yield Figure("Completed", number(now.completed), compared("completed"))
    yield Figure("Rejected", number(now.rejected), compared("rejected"))
    refunds = f"after {money(now.refunded)} paid back" if now.refunded else ""
    yield Figure("Lost to rejections", money(now.lost), refunds or compared("lost"))
    yield Figure("Cost per result", money(now.cost_per_result), compared("cost_per_result"))
    for words, name in (("pass", "passed"), ("review", "review"), ("fail", "failed")):
        note = f"was {percent(getattr(then, name), then.graded)}" if then and then.graded else ""
        yield Figure(words.capitalize(), percent(getattr(now, name), now.graded), note, words)


def change(now: float | None, then: float | None) -> str:
    """Return by how much a figure grew or fell, such as "+12 %"."""
    if not then or now is None:
        return "was 0" if now else ""
    share = round(100 * (now - then) / then)
    return f"{share:+,} %".replace("-", "−") if share else "no change"


def _chart(period: Period, days: Sequence[Spend], months: Sequence[date], today: date) -> Chart | None:
    """Return the spend of each day, or of each month of a long period; None where that says nothing."""
    first = period.since or (months[-1] if months else today)
    last = min(period.until or today, max(today, first))
    is_long = (last - first).days >= MOST_DAYS
    unit, form, length = ("month", "%B %Y", 7) if is_long else ("day", "%a %d %b", 10)
    parts = defaultdict[str, list[Spend]](list)
    for row in days:
        parts[row.key[:length]].append(row)
    if len(parts) < LEAST_BARS:
        return None
    totals = [(start, added(parts[start.isoformat()[:length]])) for start in _starts(first, last, is_long)]
    shown = [Day(start, total.orders, total.spent) for start, total in totals]
    highest = max(shown, key=lambda day: day.spent)
    words = f"From {money(min(day.spent for day in shown))} to {money(highest.spent)} a {unit}"
    most = f"most {'in' if is_long else 'on'} {highest.day:{form}}"
    return Chart(unit, bars(shown, lambda day: day.spent, form, TALL), f"{words}, {most}")


def _starts(first: date, last: date, is_long: bool) -> Iterator[date]:
    """Yield each day of a period, or the first day of each month of it."""
    if not is_long:
        yield from (date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1))
        return
    month = month_of(first).since
    while month and month <= last:
        yield month
        month = month_of(date.fromordinal(month.toordinal() + 31)).since
