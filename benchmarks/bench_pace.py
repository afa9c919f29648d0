"""200 calls against a provider that lets 60 through in each fixed window: how near to the least time, how many 429s.

A small window stands for the minute; what is measured is a ratio. The least time is that of a program that knows the
window: 60 calls at once, 60 more at each reset.
"""

import tempfile
import time
from pathlib import Path

import requests

from benchmarks.bench_submission import CHUNK, imeis, planned, provider, rig, see_through

CALLS, QUOTA, LATENCY = 200, 60, 0.1
WINDOW = 10.0  #: seconds


def paced(url: str, home: Path) -> tuple[float, float]:
    """Seconds until 200 calls of 100 IMEIs got through, and the least that this can take from where it began."""
    with rig(url, home) as (database, system):
        batch_id = planned(database, imeis(1, CALLS * CHUNK))
        started = time.time()
        see_through(database, system, batch_id)
        left = WINDOW - started % WINDOW  # the provider's windows begin at whole multiples of their length
        return time.time() - started, left + WINDOW * (-(-CALLS // QUOTA) - 2) + LATENCY


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    return [_row(retry_after) for retry_after in (True, False)]


def _row(retry_after: bool) -> tuple[str, str, str]:
    with tempfile.TemporaryDirectory() as name:
        knobs = {"rate_limit": QUOTA, "rate_window": WINDOW, "retry_after": retry_after, "latency": LATENCY}
        with provider(Path(name), **knobs) as url:
            seconds, least = paced(url, Path(name))
            calls = requests.get(f"{url}/calls", timeout=10).json()
    refused = sum(call["status"] == 429 for call in calls)
    said = "with" if retry_after else "without"
    measured = f"{seconds:.1f} s = {seconds / least:.2f} x the least, {refused / len(calls):.1%} of calls answered 429"
    return f"200 calls, 60 a window, {said} Retry-After", measured, "1.15 x, 5 %" if retry_after else "-"
