"""Numbers, times and states as pages write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from web.format import ago, as_utc, chunk_cells, duration, moment, number, percent, sentence, size, status_class, when

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (7200, "2 h"), (172_799, "48 h"),
     (172_800, "2 days")],
)  # fmt: skip
def test_a_duration_has_one_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0.1 + 0.2, 0.3, "100 %"), (0.3, 0.1 + 0.2, "100 %"), (999_999, 1_000_000, "99 %"), (1, 200, "<1 %"),
     (0, 5, "0 %")],
)  # fmt: skip
def test_a_share_is_100_only_for_all_of_it_whatever_the_order_of_its_sum(part: float, whole: float, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (25_000_000, "25.0 MB"), (2e9, "2.00 GB")]
)
def test_bytes_have_the_largest_fitting_unit(value: float, text: str) -> None:
    assert size(value) == text


def test_a_time_is_utc_whatever_it_came_as() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    for value in (NOON, NOON.replace(tzinfo=None), elsewhere, NOON.isoformat(), NOON.timestamp()):
        assert as_utc(value) == NOON
        assert moment(value) == "2026-03-01 12:00:05 UTC"
    for nothing in (None, "", "yesterday", 0):
        assert as_utc(nothing) is None
        assert moment(nothing) == ""
        assert "–" in when(nothing)
    assert when(NOON) == (
        '<time datetime="2026-03-01T12:00:05Z" title="2026-03-01 12:00:05 UTC">01 Mar 2026 12:00 UTC</time>'
    )


def test_an_age_is_told_in_one_unit() -> None:
    ages = [ago(NOON - timedelta(seconds=seconds), NOON) for seconds in (-5, 59, 61, 7200)]
    assert ages == ["just now", "just now", "1 min ago", "2 h ago"]
    assert ago(None, NOON) == "never"


def test_words_become_a_sentence_and_a_status_a_class() -> None:
    assert [sentence(words) for words in ("not sent", " Why? ", "", "it goes on…")] == [
        "Not sent.",
        "Why?",
        "",
        "It goes on…",
    ]
    assert [status_class(status) for status in ("In Process", "", None)] == [
        "status-in-process",
        "status-unknown",
        "status-unknown",
    ]
    assert (number(None), number(1234567)) == ("–", "1,234,567")


def test_the_map_of_calls_has_one_element_for_each() -> None:
    assert chunk_cells("pd") == '<i class="planned"></i><i class="in_doubt"></i>'
    assert chunk_cells("") == ""
