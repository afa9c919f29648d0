"""Several machines on one PostgreSQL: whatever is killed, stopped or cut off, the ledger shows no mistake.

The provider of these tests never refuses a duplicate: what is sent twice is charged twice. The negative controls show
that the same judge notices each mistake that the program must not make. Twenty blows are in test_twenty_blows.py.
"""

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from automation_scene import make_scene
from batch_checks import PRICE, all_ordered, found, new_batch, waits
from cluster_site import LIMIT, PATIENCE, PROOF_AFTER, SAFE, ClusterSite, duplicating, kill, most_in_window
from cut_network import server_behind_links, why_not
from postgresql_cluster import programs
from scaled_cluster import IDLE, LEASE, automating, begun_by_everybody, begun_counts_as_unsent, scaled, unlimited
from simulated_provider import SERVICE, imeis, judge
from stored_people import add_user
from twenty_blows import BY_HAND, END_ONE, FULL_DISK, REPEAT_JOBS, SPACE, STALLED
from waiting import wait_until
from web_client import CARRIER

from database import IMEIDatabase, utc_now
from orders import AutomationKind, BatchState, IMEIOrder, OrderStatus
from results.order_values import result_values
from settings import Settings
from simulator.server import Simulator
from storage import order_filters
from storage.batch_creation import NewBatch, create_batch
from storage.order_terms import OrderFilter
from storage.result_store import store_results

TROUBLE = 12.0  #: seconds


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
            is_ended = found(database, batch_id).state is BatchState.FINISHED
            assert (is_ended and judge(simulator, database) == (0, 0)) is is_sound


@pytest.mark.parametrize(("before", "is_sound"), [(scaled, True), (unlimited, False)])
def test_more_calls_than_the_limit(tmp_path: Path, server_url: str, before: Callable[[], None], is_sound: bool) -> None:
    with duplicating() as simulator, ClusterSite(tmp_path, server_url, simulator, before) as site:
        work_through(site, 5000, lambda: not is_sound and most_in_window(simulator.calls()) > LIMIT)
    assert (most_in_window(simulator.calls()) <= LIMIT) is is_sound


def test_a_server_that_ends_connections_loses_rows_of_the_queue_and_has_no_space(
    tmp_path: Path, server_url: str
) -> None:
    """Every statement and every commit may fail, and nobody knows of some commits whether they did.

    Jobs are lost, repeated and restarted, and workers and leaders are forgotten, as by hand.
    """
    with duplicating() as simulator, ClusterSite(tmp_path, server_url, simulator) as site:
        site.start(webs=0, workers=2)
        batch_id = ordered(site, 4000)
        site.await_charges(400, PATIENCE)
        site.run(FULL_DISK)
        until, by_hand = time.monotonic() + TROUBLE, itertools.cycle(BY_HAND)
        while time.monotonic() < until:
            for statement in (*[END_ONE] * 5, next(by_hand)):
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


def test_automations_whose_leader_is_killed(tmp_path: Path, server_url: str, settings: Settings) -> None:
    """A follow-up within its daily limit, and a re-check that is due: each phone is paid once, whoever dies when."""
    phones, fits, first = imeis(60), 25, CARRIER.package_id
    with (
        duplicating() as simulator,
        ClusterSite(tmp_path, server_url, simulator, automating) as site,
        IMEIDatabase(site.url) as database,
    ):
        scene, anna = make_scene(settings, database), add_user(database, "anna")
        shared: dict[str, Any] = {"actor": anna, "filter": f"service={first}", "max_price": 1.0}
        follow_up = scene.add(**shared, daily_limit=fits * PRICE)
        site.start(webs=0, workers=2)
        new = NewBatch("stock", "command", first, "Carrier", PRICE, [(one, None) for one in phones])
        stock = create_batch(database, new, 10)
        await_end(site, stock)
        give_results(database)
        again = scene.add(AutomationKind.RECHECK, **shared, service_id=first)
        scene.turn_on(again, anna, due_at=utc_now() - timedelta(hours=1))

        def batches() -> list[int]:
            return [run.batch_id for one in (follow_up, again) for run in scene.log(one) if run.batch_id]

        def paid(service_id: str) -> Counter[str]:
            charged = [charge.imei for charge in simulator.charges() if charge.service_id == service_id]
            return Counter(imei for imei in charged if imei in phones)

        wait_until(lambda: bool(batches()), "an automation has ordered")
        kill(site.leader())
        site.revive()
        with_proofs(site, lambda: len(batches()) == 2 and all_ordered(database, batches()))
        assert (paid(SERVICE).total(), paid(first).total()) == (fits, 2 * len(phones))
        scene.run("UPDATE automations SET daily_limit = 1000, revision = revision + 1 WHERE id = ?", follow_up)
        with_proofs(site, lambda: len(batches()) == 3 and all_ordered(database, batches()))
        assert (set(paid(SERVICE).values()), set(paid(first).values())) == ({1}, {2})
        assert (sorted(paid(SERVICE)), sorted(paid(first))) == (phones, phones)


def give_results(database: IMEIDatabase) -> None:
    """Let every result come that is awaited."""
    waiting = order_filters.page(database, OrderFilter(status=OrderStatus.PENDING), None, 1000)
    answered = [IMEIOrder(one.order_id or "", one.imei, OrderStatus.COMPLETED, "Model: iPhone 12") for one in waiting]
    store_results(database, answered, result_values)


def work_through(site: ClusterSite, total: int, is_over: Callable[[], bool]) -> None:
    """Let two workers order IMEIs, until a mistake is there."""
    site.start(webs=0, workers=2)
    await_end(site, ordered(site, total), is_over)


def ordered(site: ClusterSite, total: int) -> int:
    with IMEIDatabase(site.url) as database:
        return new_batch(database, total, 100)


def await_end(site: ClusterSite, batch_id: int, is_over: Callable[[], bool] = lambda: False) -> None:
    """Wait until all is ordered."""
    with IMEIDatabase(site.url) as database:
        batches = [batch_id]
        with_proofs(site, lambda: is_over() or all_ordered(database, batches), batches)


def with_proofs(site: ClusterSite, is_true: Callable[[], bool], proofs: list[int] | None = None) -> None:
    """Wait until something is true; that a call placed nothing may be proven only by orders that are placed later."""
    with IMEIDatabase(site.url) as database:
        for later in range(90_000, 90_120, 3):
            with contextlib.suppress(TimeoutError):
                wait_until(is_true, "it is over", PROOF_AFTER)
                return
            site.list_for_doubt()
            made = new_batch(database, 3, 100, first=later)
            if proofs is not None:
                proofs.append(made)
        raise AssertionError(f"not over after orders {proofs}\n{site.trouble()}")


def charged_twice(simulator: Simulator) -> int:
    return sum(count > 1 for count in Counter(charge.imei for charge in simulator.charges()).values())
