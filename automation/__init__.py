"""Saved rules that order by themselves: follow-ups on new results, and scheduled re-checks."""

from automation.choosing import MustTurnOffError, MustWaitError
from automation.comparing import LABELS, compare_open_runs
from automation.running import LOOKED_AT, AutomationTurn, duty, run_by_hand, schedule_of, token_of, try_out
from automation.schedule import MOST_DAYS, Schedule, is_time_zone

__all__ = [
    "LABELS",
    "LOOKED_AT",
    "MOST_DAYS",
    "AutomationTurn",
    "MustTurnOffError",
    "MustWaitError",
    "Schedule",
    "compare_open_runs",
    "duty",
    "is_time_zone",
    "run_by_hand",
    "schedule_of",
    "token_of",
    "try_out",
]
