"""Several machines on one PostgreSQL: whatever is killed, stopped or cut off, the ledger shows no mistake.

The provider of these tests never refuses a duplicate: what is sent twice is charged twice. The negative controls show
that the same judge notices each mistake that the program must not make.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from batch_checks import found, new_batch, outcomes, waits
from cluster_site import LIMIT, PATIENCE, SAFE, ClusterSite, duplicating, kill, most_in_window
from cut_network import server_behind_links, why_not
from postgresql_cluster import programs
from scaled_cluster import IDLE, LEASE, begun_by_everybody, begun_counts_as_unsent, scaled, unlimited
from simulated_provider import judge
from twenty_blows import END_ONE, FULL_DISK, LOSE_JOBS, REPEAT_JOBS, SPACE, STALLED, prove
from waiting import wait_until

from database import IMEIDatabase
from orders import BatchState
from simulator.server import Simulator

SEED = 1
TROUBLE = 12.0  #: seconds


def test_twenty_blows_charge_nothing_twice_and_lose_nothing(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    """3 web replicas, 3 workers, 20,000 IMEIs, 15 % faults; the rate limit holds in every window."""
    if programs() is None:
        require("the programs of PostgreSQL are not installed")
    finding = prove(tmp_path, SEED)
    assert finding.passed, finding
    assert finding.faulty >= 20


@pytest.mark.parametrize(("before", "is_sound"), [(scaled, True), (begun_by_everybody, False)])
def test_jobs_that_come_twice(tmp_path: Path, server_url: str, before: Callable[[], None], is_sound: bool) -> None:
    """Each job is stored twice; without the guarded UPDATE of an attempt, calls are made twice."""
    with duplicating() as simulator, ClusterSite(tmp_path, server_url, simulator, before) as site:
        site.run(REPEAT_JOBS)
        work_through(site, 2000, lambda: not is_sound and charged_twice(simulator) > 0)
    assert (charged_twice(simulator) == 0) is is_sound


@pytest.mark.parametrize(("before", "is_sound"), [(scaled, True), (begun_counts_as_unsent, False)])
def test_calls_whose_worker_is_killed(
    tmp_path: Path, server_url: str, before: Callable[[], None], is_sound: bool
) -> None:
    """They may have been placed: who takes them for unsent sees orders on the list that it does not know, and stops."""
    with duplicating(latency=1.0) as simulator, ClusterSite(tmp_path, server_url, simulator, before) as site:
        site.start(webs=0, workers=2)
        batch_id = ordered(site, 2000)
        wait_until(lambda: waits(simulator) >= 6, "calls are on the wire", PATIENCE)
        for worker in site.workers:
            kill(worker)
        site.revive()
        if is_sound:
            await_end(site, batch_id)
        with IMEIDatabase(site.url) as database:
            wait_until(
                lambda: found(database, batch_id).state is not BatchState.RUNNING, "it ends or is paused", PATIENCE
            )
            assert (judge(simulator, database) == (0, 0)) is is_sound


@pytest.mark.parametrize(("before", "is_sound"), [(scaled, True), (unlimited, False)])
def test_more_calls_than_the_limit(tmp_path: Path, server_url: str, before: Callable[[], None], is_sound: bool) -> None:
    with duplicating() as simulator, ClusterSite(tmp_path, server_url, simulator, before) as site:
        work_through(site, 5000, lambda: not is_sound and most_in_window(simulator.calls()) > LIMIT)
    assert (most_in_window(simulator.calls()) <= LIMIT) is is_sound


def test_a_server_that_ends_connections_loses_jobs_and_has_no_space(tmp_path: Path, server_url: str) -> None:
    """Every statement and every commit may fail, and nobody knows of some commits whether they did."""
    with duplicating() as simulator, ClusterSite(tmp_path, server_url, simulator) as site:
        site.start(webs=0, workers=2)
        batch_id = ordered(site, 4000)
        site.await_charges(400, PATIENCE)
        site.run(FULL_DISK)
        until = time.monotonic() + TROUBLE
        while time.monotonic() < until:
            for statement in (*[END_ONE] * 5, LOSE_JOBS):
                with contextlib.suppress(psycopg.Error):
                    site.run(statement)
                time.sleep(0.05)
        site.run(SPACE)
        await_end(site, batch_id)
        with IMEIDatabase(site.url) as database:
            assert judge(simulator, database) == (0, 0)
    assert most_in_window(simulator.calls()) <= LIMIT


def test_cuts_of_the_network(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    """Longer than the lease and than an idle transaction lives; of one worker, of both, and of replies to commits."""
    if programs() is None:
        require("the programs of PostgreSQL are not installed")
    if reason := why_not():
        pytest.skip(reason)
    cuts = [((0,), False), ((1,), False), ((0,), True), ((0, 1), True), ((1,), True), ((0, 1), False)]
    with (
        server_behind_links(3, SAFE) as (network, urls),
        duplicating() as simulator,
        ClusterSite(tmp_path, urls[2], simulator) as site,
    ):
        site.worker_urls = urls[:2]
        site.start(webs=0, workers=2)
        batch_id = ordered(site, 6000)
        for place, (links, only_replies) in enumerate(cuts, 1):
            site.await_charges(6000 * place // 8, STALLED)
            for link in links:
                network.cut(link, only_replies)
            time.sleep(IDLE + LEASE)
            for link in links:
                network.mend(link)
        await_end(site, batch_id)
        with IMEIDatabase(site.url) as database:
            assert judge(simulator, database) == (0, 0)
    assert most_in_window(simulator.calls()) <= LIMIT


def work_through(site: ClusterSite, total: int, is_over: Callable[[], bool]) -> None:
    """Let two workers order IMEIs, until a mistake is there."""
    site.start(webs=0, workers=2)
    await_end(site, ordered(site, total), is_over)


def ordered(site: ClusterSite, total: int) -> int:
    with IMEIDatabase(site.url) as database:
        return new_batch(database, total, 100)


def await_end(site: ClusterSite, batch_id: int, is_over: Callable[[], bool] = lambda: False) -> None:
    """Wait until all is ordered; that a call placed nothing may be proven only by orders that are placed later."""
    with IMEIDatabase(site.url) as database:
        batches = [batch_id]

        def is_settled() -> bool:
            return is_over() or all(outcomes(database, one).keys() == {"ordered"} for one in batches)

        for later in range(90_000, 90_060, 3):
            with contextlib.suppress(TimeoutError):
                wait_until(is_settled, "it is over", 10.0)
                return
            batches.append(new_batch(database, 3, 100, first=later))
        raise AssertionError([outcomes(database, one) for one in batches])


def charged_twice(simulator: Simulator) -> int:
    return sum(count > 1 for count in Counter(charge.imei for charge in simulator.charges()).values())
