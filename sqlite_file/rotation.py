"""Which backups are kept: the newest of each day, week and month, for a number of each that have one. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice

#: Days, weeks and months of which the newest backup is kept, and backups that are kept whatever their day.
DAILY, WEEKLY, MONTHLY, NEWEST = 7, 4, 6, 3


def kept(moments: Iterable[datetime]) -> set[datetime]:
    """Return the moments (UTC) of the backups to keep."""
    newest_first = sorted(set(moments), reverse=True)
    return {
        *newest_first[:NEWEST],
        *_newest_of(newest_first, DAILY, lambda moment: moment.date()),
        *_newest_of(newest_first, WEEKLY, lambda moment: moment.isocalendar()[:2]),
        *_newest_of(newest_first, MONTHLY, lambda moment: (moment.year, moment.month)),
    }


def _newest_of(newest_first: Sequence[datetime], most: int, period: Callable[[datetime], object]) -> list[datetime]:
    """Return the newest moment of each of the newest `most` periods."""
    found: dict[object, datetime] = {}
    for moment in newest_first:
        found.setdefault(period(moment), moment)
    return list(islice(found.values(), most))
