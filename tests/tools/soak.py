"""Faults that change while the program runs, for as long as you like.

`python tests/tools/soak.py [minutes]` runs for ten minutes by default. `python tests/tools/soak.py unscaled` plays the
slow provider with the default settings and real seconds instead: some ten minutes. `python tests/tools/soak.py cluster
[minutes] [seed]` kills and stops the processes of several machines and their PostgreSQL (twenty_blows.py), at first
with the blows of this seed.

Each round puts a batch through a provider that fails in ever new ways, while processes are killed or stopped, or
another program locks the database for a minute. Then the provider is well again, and its ledger is the judge.
Exit code 1: an IMEI was charged twice or lost, or a doubt was left.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from batch_checks import locked_by_another_program, new_batch, outcomes, see_through
from cluster_site import Finding
from planted_kills import Job, start
from simulated_provider import Knobs, Simulator, changed_again_and_again, judge, put_in_use, system
from stored_orders import all_orders, imeis_in_doubt
from twenty_blows import ALL_BLOWS, prove

from database import IMEIDatabase

TOTAL, CHUNK = 6000, 50
#: What the provider does wrong; nothing that stops the batch until a person resumes it.
FAULTS = (
    *("", "503", "502", "429", "html200", "empty", "reset", "close", "hang", "late", "trickle", "cut_body"),
    *("truncated", "two_roots", "phpxml", "notice", "fewer", "more", "foreign", "repeated", "repeated_ids"),
)
#: Seconds that the provider stays as it is.
SHORTEST_MOOD, LONGEST_MOOD = 0.2, 2.0
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Round:
    """What one round did, and what the ledger says."""

    kind: str
    seed: int
    blows: int  #: kills, stops or locks
    faulty: int  #: calls that the provider answered wrongly, or not at all
    twice: int
    lost: int
    in_doubt: int
    summed: int
    seconds: float

    @property
    def passed(self) -> bool:
        return not (self.twice or self.lost or self.in_doubt) and self.summed == TOTAL

    def __str__(self) -> str:
        return (
            f"{'ok  ' if self.passed else 'FAIL'} {self.kind:<6} seed {self.seed:<10} {TOTAL:,} IMEIs, "
            f"{self.blows:>2} {self.kind}, {self.faulty:>3} faulty calls, charged twice {self.twice}, "
            f"lost {self.lost}, left in doubt {self.in_doubt}, outcomes {self.summed:,}, {self.seconds:.0f} s"
        )


@dataclass
class Scene:
    """A batch on disk, its provider, and the process that works on it."""

    simulator: Simulator
    database: IMEIDatabase
    batch_id: int
    chance: random.Random

    def job(self) -> Job:
        folder = Path(self.database.path).parent
        return Job(
            folder, self.simulator.base_url, self.batch_id, workers=self.chance.randint(2, 8), timeout=2.0, chunk=CHUNK
        )

    def waits(self) -> bool:
        return "waiting" in outcomes(self.database, self.batch_id)


@contextmanager
def changing(simulator: Simulator, chance: random.Random) -> Iterator[None]:
    """Change the faults of the provider again and again until the end of the block, then remove them."""

    def drawn() -> dict[str, Any]:
        return {
            "fault": chance.choice(FAULTS),
            "fault_when": chance.choice(("before", "after")),
            "fault_share": chance.uniform(0.1, 0.5),
            "latency": chance.uniform(0.02, 0.5),
            "listing": chance.choice(("on", "on", "lagging", "off")),
            "listing_lag": 1.0,
            "hang_seconds": 3.0,
            "trickle_seconds": 0.1,
        }

    with changed_again_and_again(simulator, lambda: chance.uniform(SHORTEST_MOOD, LONGEST_MOOD), drawn, latency=0.02):
        yield


def kills(scene: Scene) -> int:
    """kill -9 at random moments, until all is sent or it was done thirty times."""
    blows = 0
    while scene.waits() and blows < 30:
        process = start(scene.job())
        process.join(scene.chance.uniform(0.1, 3.0))
        process.kill()
        process.join()
        blows += process.exitcode == -signal.SIGKILL
    return blows


def stops(scene: Scene) -> int:
    """SIGSTOP for 3 to 15 seconds, twice, as a suspended machine does it."""
    process = start(scene.job())
    for _ in range(2):
        process.join(scene.chance.uniform(1.0, 3.0))
        if process.pid is None or not process.is_alive():
            break
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(scene.chance.uniform(3.0, 15.0))
        os.kill(process.pid, signal.SIGCONT)
    process.join(30)
    process.terminate()
    process.join()
    return 2


def locks(scene: Scene) -> int:
    """Lock the database from another program for a minute: longer than any writer waits."""
    process = start(scene.job())
    process.join(1.0)
    with locked_by_another_program(scene.database):
        time.sleep(LOCK_SECONDS)
    process.join(30)
    process.terminate()
    process.join(60)
    return 1


KINDS: tuple[Callable[[Scene], int], ...] = (kills, stops, kills, locks)


def play(kind: Callable[[Scene], int], seed: int) -> Round:
    """Run one round from the upload to the check of the ledger."""
    began, chance = time.monotonic(), random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(Knobs(history=1, duplicates="never"), seed=seed) as simulator,
        IMEIDatabase(Path(folder) / "imei_orders.db") as database,
    ):
        scene = Scene(simulator, database, new_batch(database, TOTAL, CHUNK), chance)
        with changing(simulator, chance):
            blows = kind(scene)
        with (
            system(simulator, database, workers=8, chunk_size=CHUNK, patience=10.0) as running,
            contextlib.suppress(AssertionError),  # it was not free of doubt in time: the finding counts the rest
        ):
            see_through(running, scene.batch_id)
        return finding(scene, kind.__name__, seed, blows, began)


def finding(scene: Scene, kind: str, seed: int, blows: int, began: float) -> Round:
    """Compare the ledger with our records."""
    charges = scene.simulator.charges()
    known = {order["order_id"] for order in all_orders(scene.database)}
    doubtful = imeis_in_doubt(scene.database)
    there = outcomes(scene.database, scene.batch_id)
    return Round(
        kind,
        seed,
        blows,
        faulty=sum(bool(call.fault) for call in scene.simulator.calls() if call.action == "placeorder"),
        twice=judge(scene.simulator, scene.database)[0],
        lost=len({charge.imei for charge in charges if str(charge.order_id) not in known} - doubtful),
        in_doubt=len(doubtful),
        summed=sum(there.values()) - there.get("waiting", 0),
        seconds=time.monotonic() - began,
    )


MIGRATING = threading.Lock()


@dataclass(frozen=True)
class Unscaled:
    """A provider in real time, and what happens to the program; the settings are the defaults."""

    name: str
    knobs: dict[str, object]
    total: int
    kill_after: float | None = None  #: seconds; None: it is not killed
    settled_within: float | None = None  #: seconds from the first call until nothing is in doubt


UNSCALED = (
    Unscaled("1.0 s an IMEI, kill -9 after 8 s, the same command again", {"seconds_per_imei": 1.0}, 3203, 8.0),
    Unscaled("1.8 s an IMEI, longer than a call may take, kill -9 after 8 s", {"seconds_per_imei": 1.8}, 1203, 8.0),
    Unscaled("524 after 100 s, 1.1 s an IMEI", {"seconds_per_imei": 1.1, "gateway_timeout": 100.0}, 1003),
    Unscaled(
        "orders created 90 s after the break",
        {"fault": "close", "fault_when": "later", "create_after": 90.0, "fault_calls": (5,)},
        2003,
    ),
    Unscaled(
        "short calls, one breaks before it is placed",
        {"fault": "reset", "fault_when": "before", "fault_calls": (5,), "latency": 0.5},
        6000,
        settled_within=120 + 60 + 15,
    ),
)


def play_unscaled(one: Unscaled) -> bool:
    """One provider in real time. Prints what the ledger says; returns whether the promise held."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(Knobs(history=1, duplicates="never", **one.knobs)) as simulator,  # type: ignore[arg-type]
        _opened(Path(folder) / "imei_orders.db") as database,
    ):
        put_in_use(simulator, database)
        batch_id = new_batch(database, one.total, 100)
        job = Job(Path(folder), simulator.base_url, batch_id, workers=30, timeout=120.0, quiet=60.0, chunk=100)
        if one.kill_after is not None:
            process = start(job)
            process.join(one.kill_after)
            process.kill()
            process.join()
        started = time.monotonic()
        process = start(job)
        process.join(900)
        seconds = time.monotonic() - started
        there = outcomes(database, batch_id)
        twice, unknown = judge(simulator, database)
        print(
            f"{one.name}: {one.total:,} IMEIs, {there}, charged twice {twice}, unknown charges {unknown},"
            f" {seconds:.0f} s, exit code {process.exitcode}, {time.monotonic() - began:.0f} s in all",
            flush=True,
        )
    lost = unknown > there.get("in_doubt", 0)
    late = one.settled_within is not None and (seconds > one.settled_within or "in_doubt" in there)
    return not (twice or lost or late)


def _opened(path: Path) -> IMEIDatabase:
    """A new database; Alembic makes one at a time."""
    with MIGRATING:
        return IMEIDatabase(path)


def unscaled() -> int:
    """All of them at once; 1 if one failed."""
    with ThreadPoolExecutor(len(UNSCALED)) as pool:
        return 0 if all(list(pool.map(play_unscaled, UNSCALED))) else 1


def in_cluster(minutes: float, seed: int) -> int:
    """Prove a cluster with this seed and the next ones until the minutes are over, and finish the last round.

    Returns 1 if one failed.
    """
    until, found, failed = time.monotonic() + 60 * minutes, list[Finding](), 0
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                found.append(prove(Path(folder), seed))
            passed, words = found[-1].passed, str(found[-1])
        except (AssertionError, TimeoutError, subprocess.CalledProcessError) as error:  # it was not settled in time
            passed, words = False, repr(error)
        seconds = time.monotonic() - began
        print(f"{'ok  ' if passed else 'FAIL'} cluster seed {seed} in {seconds:.0f} s: {words}", flush=True)
        seed, failed = seed + 1, failed + (not passed)
    total, calls, faulty = (sum(getattr(one, name) for one in found) for name in ("total", "calls", "faulty"))
    print(
        f"{len(found)} rounds to the end, {total:,} IMEIs, {calls:,} calls of which {faulty} were answered wrongly, "
        f"{len(found) * len(ALL_BLOWS)} blows: {f'{failed} FAILED' if failed else 'all passed'}"
    )
    return 1 if failed else 0


def main() -> int:
    """Rounds until the minutes are over; 1 if one of them failed. SIGTERM ends it and removes all, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.argv[1:] == ["unscaled"]:
        return unscaled()
    if sys.argv[1:2] == ["cluster"]:
        given = sys.argv[2:]
        return in_cluster(float(given[0] if given else 10), int(given[1] if len(given) > 1 else time.time()))
    until = time.monotonic() + 60 * float(sys.argv[1] if len(sys.argv) > 1 else 10)
    first, rounds = int(time.time()), list[Round]()
    while time.monotonic() < until:
        rounds.append(play(KINDS[len(rounds) % len(KINDS)], first + len(rounds)))
        print(rounds[-1], flush=True)
    failed = sum(not one.passed for one in rounds)
    print(f"{len(rounds)} rounds, {len(rounds) * TOTAL:,} IMEIs: {f'{failed} FAILED' if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
