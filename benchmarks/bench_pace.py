"""200 calls against limiters that let 60 a window through: how near to the least time, how many 429s.

Four kinds of limiter, each with an exact, a too short and no Retry-After. The window is shorter than a minute: what is
measured is a ratio. The least time is that of a program that knows the limiter.
"""

import tempfile
import time
from pathlib import Path

import requests

from benchmarks.bench_submission import CHUNK, imeis, planned, provider, rig, see_through

CALLS, QUOTA, BURST, LATENCY = 200, 60, 10, 0.1
WINDOW = 10.0  #: seconds
SOON = 1.0  #: seconds of a fixed window in which no program sends all its calls
KINDS = ("fixed", "sliding", "token_bucket", "leaky_bucket")
HEADERS: dict[str, dict[str, object]] = {
    "exact": {},
    "too short": {"retry_after_told": "half"},
    "none": {"retry_after": False},
}


def least(kind: str, started: float) -> float:
    """Return the seconds that 200 calls take at least from this moment on."""
    windows = -(-CALLS // QUOTA) - 1  # after the first one
    match kind:
        case "fixed":  # windows begin at whole multiples of their length
            return WINDOW - started % WINDOW + WINDOW * (windows - 1) + LATENCY
        case "sliding":
            return WINDOW * windows + LATENCY
        case "token_bucket":
            return (CALLS - QUOTA) * WINDOW / QUOTA + LATENCY
    return (CALLS - BURST - 1) * WINDOW / QUOTA + LATENCY


def paced(url: str, home: Path, kind: str) -> float:
    """Return how many times the least time 200 calls of 100 IMEIs took."""
    with rig(url, home) as (database, system):
        batch_id = planned(database, imeis(1, CALLS * CHUNK))
        if WINDOW - time.time() % WINDOW < SOON:
            time.sleep(SOON)
        started = time.time()
        see_through(database, system, batch_id)
        return (time.time() - started) / least(kind, started)


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    return [_row(kind, told) for kind in KINDS for told in HEADERS]


def _row(kind: str, told: str) -> tuple[str, str, str]:
    limit: dict[str, object] = {"rate_limit": QUOTA, "rate_window": WINDOW, "rate_limiter": kind, "rate_burst": BURST}
    with (
        tempfile.TemporaryDirectory() as name,
        provider(Path(name), latency=LATENCY, **limit, **HEADERS[told]) as url,
    ):
        ratio = paced(url, Path(name), kind)
        calls = requests.get(f"{url}/calls", timeout=10).json()
    refused = sum(call["status"] == 429 for call in calls)
    measured = f"{ratio:.2f} x the least, {refused / len(calls):.1%} of calls answered 429"
    return f"200 calls, 60 a window, {kind}, Retry-After {told}", measured, "1.15 x, 5 %"
