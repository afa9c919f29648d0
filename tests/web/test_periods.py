"""Periods of reports: what a URL asks for, what they are compared with, and the months beside them."""

from datetime import date

import pytest
from flask import Flask

from web.periods import Period, asked_period, month_of, neighbours, period_before

DAY = date.fromisoformat
MONTHS = [date(2026, 11, 1), date(2026, 10, 1), date(2026, 9, 1)]
TODAY = date(2026, 11, 12)


@pytest.mark.parametrize(
    ("query", "words", "since", "until"),
    [
        ("", "November 2026", "2026-11-01", "2026-11-30"),
        ("month=2024-02", "February 2024", "2024-02-01", "2024-02-29"),
        ("month=all", "All orders", None, None),
        ("since=2026-10-09&until=2026-11-10", "9 Oct 2026 to 10 Nov 2026", "2026-10-09", "2026-11-10"),
        ("since=2026-10-09&until=2026-10-09&month=2026-09", "9 Oct 2026", "2026-10-09", "2026-10-09"),
        ("since=2026-10-09", "Since 9 Oct 2026", "2026-10-09", None),
        ("until=2026-10-09", "Until 9 Oct 2026", None, "2026-10-09"),
    ],
)
def test_a_url_names_a_period(query: str, words: str, since: str | None, until: str | None) -> None:
    with Flask(__name__).test_request_context(f"/?{query}"):
        found = asked_period(MONTHS, TODAY)
    assert found.words == words
    assert (found.since, found.until) == (since and DAY(since), until and DAY(until))
    with Flask(__name__).test_request_context(query_string=found.arguments):
        assert asked_period(MONTHS, TODAY) == found


@pytest.mark.parametrize(
    ("period", "words", "since", "until"),
    [
        (month_of(DAY("2026-11-05")), "1 to 12 October", "2026-10-01", "2026-10-12"),
        (month_of(DAY("2026-10-05")), "September", "2026-09-01", "2026-09-30"),
        (month_of(DAY("2026-01-31")), "December 2025", "2025-12-01", "2025-12-31"),
        (Period("", DAY("2026-11-01"), DAY("2026-11-10")), "the 10 days before", "2026-10-22", "2026-10-31"),
        (Period("", DAY("2026-11-11")), "the 2 days before", "2026-11-09", "2026-11-10"),
    ],
)
def test_a_period_is_compared_with_as_many_days_before_it(period: Period, words: str, since: str, until: str) -> None:
    before = period_before(period, TODAY)
    assert before is not None
    assert (before.words, before.since, before.until) == (words, DAY(since), DAY(until))


def test_a_whole_month_is_compared_with_a_whole_month_on_its_last_day() -> None:
    before = period_before(month_of(DAY("2026-02-28")), DAY("2026-02-28"))
    assert before == Period("January", DAY("2026-01-01"), DAY("2026-01-31"))
    march = period_before(month_of(DAY("2026-03-30")), DAY("2026-03-30"))
    assert march == Period("February", DAY("2026-02-01"), DAY("2026-02-28"))
    assert period_before(Period("", None, TODAY), TODAY) is None
    assert period_before(Period("", DAY("2026-12-01")), TODAY) is None
    assert period_before(Period("", DAY("2026-11-13")), TODAY) is None, "no day of it has begun"
    first = period_before(month_of(DAY("2026-11-01")), DAY("2026-11-01"))
    assert first == Period("1 to 1 October", DAY("2026-10-01"), DAY("2026-10-01"))


def test_the_months_beside_a_month_are_those_with_orders() -> None:
    october, november = month_of(MONTHS[1]), month_of(MONTHS[0])
    assert neighbours(october, MONTHS) == (month_of(MONTHS[2]), november)
    assert neighbours(november, MONTHS) == (october, None)
    assert neighbours(month_of(MONTHS[2]), MONTHS) == (None, october)
    assert neighbours(Period("", DAY("2026-10-01"), DAY("2026-10-31")), MONTHS) == (None, None)
