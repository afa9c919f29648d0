"""Which backups are kept: 7 daily, 4 weekly, 6 monthly, and never fewer than the newest three."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sqlite_file.copying import DAILY, MONTHLY, NEWEST, WEEKLY, kept

TODAY = datetime(2026, 3, 12, 3)  # a Thursday
MOMENTS = st.lists(st.datetimes(datetime(2019, 1, 1), datetime(2031, 1, 1)), max_size=60)


def nightly(days: int, first: datetime = datetime(2024, 1, 1, 3)) -> set[datetime]:
    """Return what is left after so many nights, where each night rotates."""
    left: set[datetime] = set()
    for day in range(days):
        left = kept({*left, first + timedelta(days=day)})
    return left


def test_a_year_of_nights_leaves_seven_days_four_weeks_and_six_months() -> None:
    nights = [TODAY - timedelta(days=ago) for ago in range(366)]
    days = [TODAY - timedelta(days=ago) for ago in range(7)]
    weeks = [TODAY, *(datetime(2026, 3, 8, 3) - timedelta(weeks=ago) for ago in range(3))]
    months = [TODAY, *(datetime(2026, month, day, 3) for month, day in ((2, 28), (1, 31)))]
    months += [datetime(2025, month, day, 3) for month, day in ((12, 31), (11, 30), (10, 31))]
    assert kept(nights) == {*days, *weeks, *months}


def test_rotating_each_night_keeps_the_same_as_rotating_once() -> None:
    for days in (1, 7, 8, 30, 60, 365, 800):
        first = datetime(2024, 1, 1, 3)
        assert nightly(days) == kept(first + timedelta(days=day) for day in range(days))


def test_of_several_backups_of_a_day_the_newest_is_kept_once_it_is_past() -> None:
    today = [TODAY + timedelta(hours=hour) for hour in range(6)]
    assert kept(today) == set(today[-NEWEST:])
    later = TODAY + timedelta(days=1)
    assert kept([*today, *(later + timedelta(hours=hour) for hour in range(3))]) >= {today[-1]}
    assert today[-2] not in kept([*today, *(later + timedelta(hours=hour) for hour in range(3))])


@given(MOMENTS)
def test_what_is_kept_is_bounded_stable_and_has_the_newest_of_every_period(moments: list[datetime]) -> None:
    found = kept(moments)
    assert found <= set(moments)
    assert len(found) <= DAILY + WEEKLY + MONTHLY + NEWEST
    assert kept(found) == found
    assert set(sorted(moments)[-NEWEST:]) <= found
    for most, period in ((DAILY, "%Y-%m-%d"), (WEEKLY, "%G-%V"), (MONTHLY, "%Y-%m")):
        newest = {f"{moment:{period}}": moment for moment in sorted(moments)}
        assert {newest[name] for name in sorted(newest)[-most:]} <= found
