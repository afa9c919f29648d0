"""Processes that are killed, stopped, or two at once: another one goes on, and the ledger shows no mistake.

SIGSTOP stands in for a machine that is suspended: it stops all threads of the process and no clock. On a machine that
really sleeps the monotonic clock sleeps too, so waits last longer there and no call times out while nobody looks.
The provider of these tests never refuses a duplicate: what is sent twice is charged twice.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from batch_checks import (
    assert_all_paid_once,
    found,
    new_batch,
    outcomes,
    paid_calls,
    rows,
    see_through,
    told_by_page,
    waits,
)
from forked_command import short_waits
from gunicorn_server import ForkedGunicorn, Server, free_port
from planted_kills import CHUNK, Job, start
from simulated_provider import Knobs, Simulator, judge, put_in_use, system
from waiting import wait_until

from database import IMEIDatabase
from orders import BatchState
from settings import Settings

KILLS = 20
FEW = 10  #: IMEIs a call, where many calls matter
SERVED = 50 * CHUNK  #: IMEIs of a batch that gunicorn orders


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.1, jitter=0.1, duplicates="never"), seed=11) as running:
        yield running


@pytest.fixture
def server(
    simulator: Simulator, settings: Settings, database: IMEIDatabase, require: Callable[[str], NoReturn]
) -> Iterator[Server]:
    """gunicorn with two workers, with the simulator as the real provider. (The database is created first.)"""
    if not Path("/proc/locks").exists():
        require("/proc/locks is missing, which names the process that holds a lock")
    running = Server(
        settings.data_dir,
        free_port(),
        partial(ForkedGunicorn, before=short_waits),
        GSM_FUSION_API_KEY="DEMO-KEY",
        GSM_FUSION_USERNAME="demo",
        GSM_FUSION_BASE_URL=simulator.base_url,
        ADMIN_PASSWORD="a-password-for-tests",
        SETTLE_QUIET="0.3",
        GSM_FUSION_TIMEOUT="5",
        WORKERS="4",
    )
    try:
        wait_until(lambda: runner_of(settings.data_dir) > 0, "one of the workers is the runner")
        yield running
    finally:
        running.kill()


def runner_of(data_dir: Path) -> int:
    """The process that holds the runner's lock by the kernel's own table; 0 for none."""
    lock = data_dir / "runner.lock"
    if not lock.exists():
        return 0
    inode = str(lock.stat().st_ino)
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" not in line)
    return next((int(words[4]) for words in locks if words[1] == "FLOCK" and words[5].endswith(f":{inode}")), 0)


@pytest.mark.usefixtures("quick_looks", "short_proof")
def test_killed_at_twenty_random_moments_every_imei_is_ordered_once(
    simulator: Simulator, database: IMEIDatabase, settings: Settings
) -> None:
    put_in_use(simulator, database)
    batch_id, moments, hits = new_batch(database, 160 * FEW, FEW), random.Random(20), 0
    for _ in range(KILLS):
        before = paid_calls(simulator)
        process = start(Job(settings.data_dir, simulator.base_url, batch_id, workers=2, timeout=1.0, chunk=FEW))
        wait_until(lambda: paid_calls(simulator) > before or not process.is_alive(), "a paid call")  # noqa: B023
        process.join(moments.uniform(0.0, 0.3))
        process.kill()
        process.join(10)
        hits += process.exitcode == -signal.SIGKILL
    assert hits == KILLS
    with system(simulator, database, workers=10, chunk_size=FEW) as running:
        more = see_through(running, batch_id)
    assert_all_paid_once(simulator, database, batch_id, more)
    assert "0 in doubt" in told_by_page(database, settings, batch_id)


def test_when_one_of_two_web_processes_is_killed_the_other_goes_on(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, server: Server
) -> None:
    batch_id = new_batch(database, SERVED, CHUNK)
    wait_until(lambda: len(simulator.charges()) >= 8 * CHUNK, "some calls are through")
    first = runner_of(settings.data_dir)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: runner_of(settings.data_dir) not in (0, first), "another process is the runner")
    wait_until(lambda: outcomes(database, batch_id) == {"ordered": SERVED}, "every IMEI is ordered")
    assert server.process.poll() is None
    assert_all_paid_once(simulator, database, batch_id)


def test_sigterm_waits_for_the_calls_on_the_wire_and_ends_inside_the_drain(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, server: Server
) -> None:
    simulator.set(latency=1.5)
    batch_id = new_batch(database, SERVED, CHUNK)
    wait_until(lambda: waits(simulator) == 4, "four calls are on the wire")
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert time.monotonic() - began < 25
    there = outcomes(database, batch_id)
    assert there["ordered"] == len(simulator.charges()) >= 4 * CHUNK
    assert there.keys() == {"ordered", "waiting"}
    assert rows(database, "SELECT count(*) FROM chunks WHERE state IN ('sending', 'in_doubt')") == [(0,)]
    assert judge(simulator, database) == (0, 0)
    assert f"{there['ordered']} of {SERVED:,}" in told_by_page(database, settings, batch_id)


@pytest.mark.parametrize("timeout", [20.0, 1.0], ids=["within", "beyond"])
def test_a_process_that_was_stopped_within_or_beyond_the_calls_timeout_goes_on(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, timeout: float
) -> None:
    simulator.set(latency=0.4)
    batch_id = new_batch(database, 12 * CHUNK, CHUNK)
    process = start(Job(settings.data_dir, simulator.base_url, batch_id, workers=3, timeout=timeout))
    wait_until(lambda: paid_calls(simulator) >= 6 and waits(simulator) > 0, "calls are on the wire")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.6)  # the fault itself: longer than the shorter timeout
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 0
    assert_all_paid_once(simulator, database, batch_id)


def test_two_copies_of_the_program_share_the_work_of_one(
    simulator: Simulator, database: IMEIDatabase, settings: Settings
) -> None:
    batch_id = new_batch(database, 20 * CHUNK, CHUNK)
    copies = [start(Job(settings.data_dir, simulator.base_url, batch_id, workers=3)) for _ in range(2)]
    for copy in copies:
        copy.join(60)
    assert [copy.exitcode for copy in copies] == [0, 0]
    assert_all_paid_once(simulator, database, batch_id)
    assert rows(database, "SELECT count(*) FROM attempts") == [(20,)]


def test_even_two_runners_on_one_database_pay_nothing_twice(simulator: Simulator, database: IMEIDatabase) -> None:
    """As on a network disk whose file locks do not hold: no election keeps the second one out."""
    batch_id = new_batch(database, 40 * CHUNK, CHUNK)
    with IMEIDatabase(database.path) as second, system(simulator, second, workers=3, chunk_size=CHUNK) as other:
        with system(simulator, database, workers=3, chunk_size=CHUNK) as running:
            stop = threading.Event()
            thread = threading.Thread(target=running.run, args=(stop,))
            thread.start()
            wait_until(lambda: paid_calls(simulator) >= 6 and waits(simulator) > 0, "calls are on the wire")
            more = see_through(other, batch_id)
            stop.set()
            thread.join(20)
        more += see_through(other, batch_id)
    assert found(database, batch_id).state is BatchState.FINISHED
    assert_all_paid_once(simulator, database, batch_id, more)
