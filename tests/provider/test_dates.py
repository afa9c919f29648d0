"""Dates of a list: read where they are certain, and None where a wrong reading could hide a charge."""

from datetime import datetime

import pytest

from provider.dates import read_dates


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-11-14 03:33:00", datetime(2025, 11, 14, 3, 33)),
        ("2025-11-14 3:33:00", datetime(2025, 11, 14, 3, 33)),
        ("2025-1-4 3:33", datetime(2025, 1, 4, 3, 33)),
        ("2025-11-14T03:33:05.250", datetime(2025, 11, 14, 3, 33, 5)),
        ("2025-11-14T03:33:05Z", datetime(2025, 11, 14, 3, 33, 5)),
        ("2025-11-14 03:33:05 +02:00", datetime(2025, 11, 14, 3, 33, 5)),
        ("2025/11/14 3:33 pm", datetime(2025, 11, 14, 15, 33)),
        ("  2025-11-14\n", datetime(2025, 11, 14)),
        ("11/28/2026 3:33 PM", datetime(2026, 11, 28, 15, 33)),
        ("11/28/2026 12:05 AM", datetime(2026, 11, 28, 0, 5)),
        ("11/28/2026 12:05PM", datetime(2026, 11, 28, 12, 5)),
        ("28/11/2026 15:33", datetime(2026, 11, 28, 15, 33)),
        ("28.11.2026", datetime(2026, 11, 28)),
        ("05/05/2026 01:00:00", datetime(2026, 5, 5, 1)),
    ],
)
def test_a_date_that_has_one_meaning_is_read_alone(text: str, moment: datetime) -> None:
    assert read_dates([text]) == [moment]


@pytest.mark.parametrize(
    "text",
    ["", "soon", "0000-00-00 00:00:00", "2025-02-30", "2025-13-01", "2025-11-14 25:00", "2025-11-14 15:00 PM",
     "2025-11-14 0:10 AM", "20251114", "14/11/25", "31/31/2026", "30/02/2026", "2025-11/14", "٢٠٢٥-11-14",
     "2025-11-14 03:33:00 and more", "0001-01-01", "1969-12-31 19:00:00", "1970-01-01 00:00:00", "9999-12-31 23:59:59"],
)  # fmt: skip
def test_what_is_no_certain_date_is_none(text: str) -> None:
    assert read_dates([text]) == [None]


def test_one_text_of_the_list_shows_which_number_is_the_day() -> None:
    ambiguous = "03/04/2026 10:00"
    assert read_dates([ambiguous]) == [None]
    assert read_dates([ambiguous, "13/04/2026"]) == [datetime(2026, 4, 3, 10), datetime(2026, 4, 13)]
    assert read_dates(["04/13/2026", ambiguous]) == [datetime(2026, 4, 13), datetime(2026, 3, 4, 10)]


def test_a_list_that_shows_both_orders_is_not_read() -> None:
    assert read_dates(["13/04/2026", "04/13/2026", "2026-04-13"]) == [None, None, datetime(2026, 4, 13)]


def test_a_text_that_no_calendar_has_shows_nothing() -> None:
    assert read_dates(["03/04/2026", "31/31/2026"]) == [None, None]


def test_an_empty_list_has_no_dates() -> None:
    assert read_dates([]) == []
