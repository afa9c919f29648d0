"""Due times: at their hour in their zone on the right days, through changes of the clocks and any downtime."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.schedule import Schedule, is_time_zone

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2032, 1, 1))
SCHEDULES = st.builds(
    Schedule,
    st.integers(1, 40),
    st.integers(0, 23),
    st.sampled_from(ZONES),
    st.dates(date(2010, 1, 1), date(2031, 1, 1)),
)


@given(SCHEDULES, MOMENTS)
def test_the_next_due_time_is_the_first_after_a_moment_and_on_a_day_of_the_schedule(
    schedule: Schedule, moment: datetime
) -> None:
    due = schedule.next_after(moment)
    local = due.replace(tzinfo=UTC).astimezone(ZoneInfo(schedule.time_zone))
    before = schedule.next_after(due - timedelta(seconds=1))
    assert moment < due == before
    days = (local.date() - schedule.first_day).days
    is_skipped = local.hour != schedule.hour  # the clocks left this hour out
    assert days >= 0
    assert days % schedule.every_days == 0 or (is_skipped or schedule.time_zone == "Pacific/Apia")
    gap = timedelta(days=schedule.every_days, hours=2)
    assert due - moment <= gap or due == schedule.next_after(datetime(2009, 12, 1)) or schedule.time_zone in ZONES[4:5]


@given(SCHEDULES, MOMENTS, st.lists(st.integers(0, 60 * 86_400), max_size=20))
def test_whenever_it_is_looked_at_each_due_time_is_run_at_most_once(
    schedule: Schedule, start: datetime, pauses: list[int]
) -> None:
    """After a run the next due time is computed from now: a downtime of many turns is one run."""
    now, due, runs = start, schedule.next_after(start), list[datetime]()
    for pause in pauses:
        now += timedelta(seconds=pause)
        if due <= now:
            runs.append(due)
            due = schedule.next_after(now)
    assert runs == sorted(set(runs))
    assert due > now
    assert not schedule.is_too_far(due, now)


@given(SCHEDULES, MOMENTS)
def test_the_last_due_time_is_the_one_before_the_next(schedule: Schedule, moment: datetime) -> None:
    last = schedule.last_until(moment)
    if last is None:
        assert schedule.next_after(moment) == schedule.next_after(datetime(2009, 12, 1))
    else:
        assert last <= moment
        assert schedule.next_after(last) == schedule.next_after(moment)
        assert schedule.next_after(last - timedelta(seconds=1)) == last


@pytest.mark.parametrize(
    ("zone", "hour", "after", "due"),
    [
        ("Europe/Berlin", 8, datetime(2026, 3, 28, 12), datetime(2026, 3, 29, 6)),  # summer time begins: still 8:00
        ("Europe/Berlin", 2, datetime(2026, 3, 28, 12), datetime(2026, 3, 29, 1)),  # this hour is left out
        ("Europe/Berlin", 2, datetime(2026, 10, 24, 12), datetime(2026, 10, 25, 0)),  # this hour comes twice
        ("Europe/Berlin", 2, datetime(2026, 10, 25, 0), datetime(2026, 10, 26, 1)),
    ],
)
def test_a_change_of_the_clocks_moves_neither_the_hour_nor_the_number_of_runs(
    zone: str, hour: int, after: datetime, due: datetime
) -> None:
    assert Schedule(1, hour, zone, date(2026, 1, 1)).next_after(after) == due


def test_a_due_time_of_a_wrong_clock_is_recognised() -> None:
    weekly = Schedule(7, 8, "UTC", date(2026, 12, 6))
    now = datetime(2026, 12, 6, 7)
    assert [weekly.is_too_far(due, now) for due in (datetime(2026, 12, 6, 8), datetime(2026, 12, 13, 8))] == [0, 0]
    assert weekly.is_too_far(datetime(2031, 1, 5, 8), now)


@pytest.mark.parametrize("name", ["", "Europe", "../etc/passwd", "Mars/Base", "x" * 300, "/etc/localtime"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    assert not is_time_zone(name)
    assert is_time_zone("Europe/Berlin")
