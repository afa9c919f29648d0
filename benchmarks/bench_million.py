"""A million IMEIs in ten batches at zero latency: does the last one cost more than the first, in time or in memory?

One process and one database all the way, with the sums kept beside the runner as in life. The simulator keeps a
ledger that grows too, so the processor time of our own process is measured beside the clock.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_submission import imeis, planned, provider, rig, see_through
from benchmarks.measuring import kilobytes
from database import IMEIDatabase
from production_submission_system import ProductionSubmissionSystem
from runner import spare_collector, use_one_heap
from storage import kept_sums

FIRST, EACH, BATCHES = 20_000, 100_000, 10


class Leg(NamedTuple):
    """What one batch took."""

    imeis: int
    planning: float  #: seconds
    placing: float  #: seconds
    processor: float  #: seconds of this process while placing
    memory: float  #: megabytes that the process holds after it

    @property
    def clock_each(self) -> float:
        """Microseconds an IMEI by the clock."""
        return self.placing / self.imeis * 1e6

    @property
    def processor_each(self) -> float:
        """Microseconds an IMEI of processor time."""
        return self.processor / self.imeis * 1e6


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    return rows(legs(BATCHES))


def legs(batches: int) -> list[Leg]:
    """The first 20,000 IMEIs, then this number of batches of 100,000, with memory treated as the server does."""
    use_one_heap()
    with tempfile.TemporaryDirectory() as name, provider(Path(name)) as url, rig(url, Path(name)) as (database, system):
        stop = threading.Event()
        tending = threading.Thread(target=kept_sums.duties(database)[0].repeat, args=(stop,))
        tending.start()
        try:
            place(database, system, 0, 2000)  # warm
            spare_collector()
            found = [place(database, system, 1, FIRST)]
            print(f"  first: {found[0]}", file=sys.stderr, flush=True)
            for number in range(2, 2 + batches):
                found.append(place(database, system, number, EACH))
                print(f"  batch {number - 1}: {found[-1]}", file=sys.stderr, flush=True)
        finally:
            stop.set()
            tending.join()
        if database.count_orders() != 2000 + FIRST + batches * EACH:
            raise RuntimeError(f"{database.count_orders()} orders were stored")
        return found


def place(database: IMEIDatabase, system: ProductionSubmissionSystem, number: int, count: int) -> Leg:
    """One batch from its confirmation to its last outcome."""
    started = time.perf_counter()
    batch_id = planned(database, imeis(number, count))
    ready, used = time.perf_counter(), time.process_time()
    see_through(database, system, batch_id)
    placing, processor = time.perf_counter() - ready, time.process_time() - used
    return Leg(count, ready - started, placing, processor, kilobytes(of="VmRSS") / 1024)


def rows(found: list[Leg]) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    first, *rest = found
    clock = max(leg.clock_each for leg in rest) / first.clock_each
    processor = max(leg.processor_each for leg in rest) / first.processor_each
    total = sum(leg.imeis for leg in rest)
    return [
        (
            f"{total:,} IMEIs in {len(rest)} batches, time an IMEI",
            f"slowest {clock:.2f} x the first {first.imeis:,} by the clock, {processor:.2f} x in processor time",
            "1.3 x",
        ),
        ("the first 20,000, an IMEI", _each(first), "-"),
        ("the last batch, an IMEI", _each(rest[-1]), "-"),
        ("planning 100,000", f"{rest[0].planning:.2f} s, at last {rest[-1].planning:.2f} s", "-"),
        ("memory after each batch", f"{rest[0].memory:.0f} MB, then {_range(rest[1:])} MB", "flat"),
    ]


def _range(found: list[Leg]) -> str:
    held = [leg.memory for leg in found]
    return f"{min(held):.0f} to {max(held):.0f}, at last {held[-1]:.0f}" if held else "-"


def _each(leg: Leg) -> str:
    return f"{leg.clock_each:.0f} us, {leg.processor_each:.0f} us of processor"


if __name__ == "__main__":
    for row in rows(legs(int(sys.argv[1]))):
        print(*row)
