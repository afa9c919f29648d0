"""The period of a report: one month, the days between two dates, or all orders, as the URL names it. UTC days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NoReturn

from flask import abort, request

#: The word of a URL for all orders.
ALL = "all"
#: Years of the calendar that a report may have; beyond them months cannot be counted on.
YEARS = range(1970, 9000)
#: Characters of a refused text that its message repeats.
REPEATED = 40


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is about. Both days are part of it."""

    words: str  #: such as "November 2026"
    since: date | None = None  #: None: from the first order
    until: date | None = None  #: None: to the newest order
    month: str = ""  #: such as 2026-11; ALL; "" for days between two dates

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of a URL for this period."""
        if self.month:
            return {"month": self.month}
        return {name: day.isoformat() for name, day in (("since", self.since), ("until", self.until)) if day}

    @property
    def file_part(self) -> str:
        """The part of a file name."""
        return "_".join(self.arguments.values())

    def days(self, first: date, today: date) -> int:
        """How many days it has, from the first order to today where it has no ends."""
        return ((self.until or today) - (self.since or first)).days + 1


def month_of(day: date) -> Period:
    """Return the month of a day."""
    first = day.replace(day=1)
    return Period(f"{day:%B %Y}", first, end_of_month(day), f"{day:%Y-%m}")


def end_of_month(day: date) -> date:
    """Return the last day of the month of a day."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def asked_period(months: Sequence[date], today: date) -> Period:
    """Return the period in the URL; without one this month, or the newest month with orders. Answers 400 with reasons.

    months: those with orders, newest first. An invalid day is an error: ignoring it would report other orders.
    """
    since, until, month = (request.args.get(name, "").strip() for name in ("since", "until", "month"))
    if since or until:
        return _between(_day(since), _day(until))
    if month == ALL:
        return Period("All orders", month=ALL)
    if month:
        return month_of(_first_day(month))
    return month_of(next((month for month in months if month.year in YEARS), today))


def period_before(period: Period, today: date) -> Period | None:
    """Return the period to compare with, its words to follow "against"; None where there is none.

    A month that is not over is compared with the same days of the month before.
    """
    if period.since is None:
        return None
    if not period.month:
        until = period.since - timedelta(days=1)
        days = period.days(period.since, today)
        return Period(f"the {days:,} days before", until - timedelta(days=days - 1), until) if days > 0 else None
    first = end_of_month(period.since - timedelta(days=1)).replace(day=1)
    words = f"{first:%B}" if first.year == period.since.year else f"{first:%B %Y}"
    is_over = today < period.since or today >= end_of_month(period.since)
    until = end_of_month(first) if is_over else min(end_of_month(first), first + timedelta(days=today.day - 1))
    return Period(words if until == end_of_month(first) else f"1 to {until.day} {words}", first, until)


def neighbours(period: Period, months: Sequence[date]) -> tuple[Period | None, Period | None]:
    """Return the month before and the month after, None where no month there has orders."""
    if period.since is None or not period.month or not months:
        return None, None
    before, after = period.since - timedelta(days=1), end_of_month(period.since) + timedelta(days=1)
    return (
        month_of(before) if before >= months[-1] else None,
        month_of(after) if after <= months[0] else None,
    )


def _between(since: date | None, until: date | None) -> Period:
    if since and until and since > until:
        abort(400, f"“To” ({until}) is before “From” ({since}).")
    if since and until:
        words = f"{since:%-d %b %Y}" if since == until else f"{since:%-d %b %Y} to {until:%-d %b %Y}"
    else:
        words = f"Since {since:%-d %b %Y}" if since else f"Until {until:%-d %b %Y}"
    return Period(words, since, until)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        _refuse(text, "date such as 2026-11-25")
    return day if day.year in YEARS else _refuse(text, "date such as 2026-11-25")


def _first_day(text: str) -> date:
    try:
        day = date.fromisoformat(f"{text}-01")
    except ValueError:
        _refuse(text, "month such as 2026-11")
    return day if day.year in YEARS else _refuse(text, "month such as 2026-11")


def _refuse(text: str, kind: str) -> NoReturn:
    abort(400, f"“{text[:REPEATED]}” is not a {kind}.")
