"""Numbers, times and states as pages write them."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from orders import BatchState, ChunkState, Outcome, Progress
from results import SyncReport
from storage.batch_doubt import Settled
from storage.order_queries import Day
from storage.rows import EarlierOrder
from web.format import (
    CHART_WIDTH,
    ago,
    as_utc,
    bars,
    batch_title,
    chunk_cells,
    duration,
    finding_class,
    moment,
    number,
    percent,
    result_words,
    sentence,
    settled_words,
    size,
    status_class,
    stop_words,
    synced,
    when,
)

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (3600, "1 h"), (7200, "2 h"),
     (172_799, "48 h"), (172_800, "2 days")],
)  # fmt: skip
def test_a_duration_has_one_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0.1 + 0.2, 0.3, "100 %"), (0.3, 0.1 + 0.2, "100 %"), (999_999, 1_000_000, "99 %"), (1, 200, "<1 %"),
     (1, 100, "1 %"), (1, 0, "0 %"), (0, 5, "0 %")],
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


def earlier(**values: Any) -> EarlierOrder:
    nothing = dict.fromkeys(EarlierOrder._fields)
    return EarlierOrder(**{**nothing, "imei": "353370080000011", "words": "", "id": 1, "second_of": "", **values})


def test_a_result_is_a_line_of_its_findings_else_its_text_else_its_status() -> None:
    found = {"model": "iPhone 12", "simlock": "Locked", "fmi": "ON", "blacklist": "Clean", "words": "Model: iPhone 12"}
    assert result_words(earlier(**found)) == "iPhone 12 · Locked · FMI ON · Clean"
    assert result_words(earlier(words=" No such\n IMEI ", status="Rejected")) == "No such IMEI"
    assert result_words(earlier(status="Pending")) == "Pending"
    assert result_words(earlier()) == "no result"


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        *(("simlock", "Locked", "bad"), ("simlock", "Unlocked", "good"), ("fmi", "Lost Mode", "bad")),
        *(("fmi", "Off", "good"), ("blacklist", "Clean", "good"), ("blacklist", "Reported stolen", "bad")),
        *(("fmi", "See notes", "unsure"), ("simlock", "", "unsure")),
    ],
)
def test_a_finding_is_coloured_by_what_its_words_mean(name: str, value: str, kind: str) -> None:
    assert finding_class(value, name) == kind


def progress(state: BatchState, outcomes: dict[Outcome, int], **more: Any) -> Progress:
    counts = dict.fromkeys(Outcome, 0) | outcomes
    chunks = dict.fromkeys(ChunkState, 0)
    names = (7, "Lot", state, "1", "A", 0.5)
    return Progress(*names, sum(counts.values()), counts, chunks, revision=1, spent=1.5, **more)


def test_the_title_of_a_batch_begins_with_how_far_it_is_or_that_a_person_must_act() -> None:
    sending = progress(BatchState.RUNNING, {Outcome.ORDERED: 3, Outcome.WAITING: 1})
    assert batch_title(sending) == "75 % ordered · Batch 7"
    waiting = progress(BatchState.FINISHED, {Outcome.ORDERED: 4}, results=1, pending=3)
    assert batch_title(waiting) == "25 % results · Batch 7"
    assert batch_title(progress(BatchState.FINISHED, {Outcome.IN_DOUBT: 1})) == "Needs you · Batch 7"
    assert batch_title(progress(BatchState.FINISHED, {Outcome.ORDERED: 4}, results=4)) == "Batch 7"


def test_before_a_stop_it_is_said_what_is_paid_what_may_be_and_what_is_saved() -> None:
    batch = progress(BatchState.RUNNING, {Outcome.ORDERED: 3, Outcome.IN_DOUBT: 2, Outcome.WAITING: 5})
    assert stop_words(batch, 4) == (
        "3 already ordered, $1.50 paid. 2 in doubt, which may have cost $1.00."
        " 1 being sent now; these cannot be stopped. Stop the other 4 and save $2.00?"
    )
    assert stop_words(batch, 0).endswith("5 being sent now; these cannot be stopped. There is nothing else to stop.")
    fresh = progress(BatchState.RUNNING, {Outcome.WAITING: 4})
    assert stop_words(fresh, 4) == "0 already ordered, $1.50 paid. Stop all 4 and save $2.00?"


def test_what_was_in_doubt_is_counted_by_what_became_of_it() -> None:
    assert settled_words(Settled(0, 0, 0, 0, 0)) == ""
    assert settled_words(Settled(1, 0, 0, 0, 0)) == (
        "1 IMEI was in doubt and settled: 1 found in the provider's list and recorded"
    )
    assert settled_words(Settled(0, 1200, 2, 4, 3)) == (
        "1,209 IMEIs were in doubt and settled: 1,200 not placed, sent again and ordered,"
        " 2 ordered before, so not charged now, 3 not placed and cancelled, 4 recorded by hand"
    )


def test_the_last_sync_is_one_sentence_and_its_error_another() -> None:
    now = time.time()
    assert synced(None) == ""
    assert synced(SyncReport(0, 0, 0, at=now)) == "Results last requested just now: no orders were pending."
    done = "Results last requested just now: 2 of 1,000 orders updated, 998 still pending."
    assert synced(SyncReport(1000, 2, 998, at=now)) == done
    assert synced(SyncReport(1000, 2, 998, "Maintenance.", at=now)) == f"{done} Maintenance."
    assert synced(SyncReport(0, 0, 3, "Maintenance.", at=now)).endswith(
        "0 of 0 orders updated, 3 still pending. Maintenance."
    )


def test_a_chart_has_a_bar_for_each_day_the_highest_almost_as_high_as_the_chart() -> None:
    days = [Day(date(2026, 11, n), orders, orders * 0.1) for n, orders in ((1, 0), (2, 10), (3, 5))]
    found = bars(days, lambda day: day.orders, height=104)
    assert [(bar["height"], bar["y"], bar["empty"]) for bar in found] == [
        (1.5, 102.5, True),
        (100.0, 4.0, False),
        (50.0, 54.0, False),
    ]
    slot = CHART_WIDTH / 3
    assert [bar["middle"] for bar in found] == [round(slot * part, 1) for part in (0.5, 1.5, 2.5)]
    assert all(bar["x"] + bar["width"] / 2 == pytest.approx(bar["middle"], abs=0.1) for bar in found)
    assert found[1]["title"] == "Mon 02 Nov: 10 orders, $1.00"
    assert (
        bars([Day(date(2026, 11, 1), 0, 0.0)], lambda day: day.spent, "%B %Y")[0]["title"]
        == "November 2026: 0 orders, $0.00"
    )
    assert bars([], lambda day: day.orders) == []
