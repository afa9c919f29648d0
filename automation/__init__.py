"""Saved rules that order by themselves: follow-ups on new results, and scheduled re-checks."""

from automation.choosing import MustWaitError
from automation.running import LOOKED_AT, AutomationTurn, duty, run_by_hand, schedule_of, token_of, try_out
from automation.schedule import MOST_DAYS, is_time_zone
