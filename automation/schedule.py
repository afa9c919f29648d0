"""When a scheduled re-check is due next. Pure.

Days are counted in the time zone of the schedule, so that it keeps its hour over a change of the clocks. An hour that
a change of the clocks leaves out is due at the instant at which it would have been; an hour that comes twice is due the
first time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Longest pause between two re-checks.
MOST_DAYS = 365


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every few days at a whole hour."""

    every_days: int
    hour: int  #: 0 to 23
    time_zone: str  #: a name of the tz database, such as Europe/Berlin
    first_day: date  #: in that zone

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after a moment; both are UTC without a zone."""
        return next(due for due in self._around(moment) if due > moment)

    def last_until(self, moment: datetime) -> datetime | None:
        """Return the last due time that is not after a moment, or None before the first one."""
        return max(takewhile(lambda due: due <= moment, self._around(moment)), default=None)

    def _around(self, moment: datetime) -> Iterator[datetime]:
        """Yield due times in order; the first ones lie before the moment, unless there are none before it."""
        zone = ZoneInfo(self.time_zone)
        today = moment.replace(tzinfo=UTC).astimezone(zone).date()
        # Two pauses earlier than needed: in some zones a whole day was left out.
        first = max(0, (today - self.first_day).days // self.every_days - 2)
        for turn in count(first):
            day = self.first_day + timedelta(days=turn * self.every_days)
            yield datetime.combine(day, time(self.hour), zone).astimezone(UTC).replace(tzinfo=None)

    def is_too_far(self, due: datetime, now: datetime) -> bool:
        """Return whether a due time is so far ahead that a wrong clock must have set it."""
        return due > self.next_after(self.next_after(now))


def is_time_zone(name: str) -> bool:
    """Return whether this is the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)
