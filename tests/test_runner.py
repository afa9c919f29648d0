"""The leader: it answers what pages and commands ask, hands over on request, and starts again when it failed."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from waiting import Waits, wait_until

import runner
from account import ProviderRequests, ServiceCatalog
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import NotSentError, RefusedError
from orders import RequestKind, RequestState
from runner import LONGEST_PAUSE, Background, audit_or_follow, led, start_background, taking_the_lead
from settings import MAIN_ACCOUNT, Settings
from storage import request_store
from submission import runner_alive


@pytest.mark.parametrize(
    ("error", "seconds", "traceback"),
    [
        (RuntimeError("a bug"), [2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE], True),
        (DatabaseUnavailableError("", None, OSError("a disk")), [1.0] * 7, False),
    ],
)
def test_a_runner_that_fails_starts_again(
    settings: Settings,
    database: IMEIDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    seconds: list[float],
    traceback: bool,
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Background, "_run", fails)
    caplog.set_level(logging.ERROR, runner.__name__)
    waits = Waits(7)
    Background(settings, database, waits)._stand()
    assert waits.seconds == seconds
    assert {bool(record.exc_info) for record in caplog.records} == {traceback}


# What the leader does for others


@pytest.fixture(name="simulator")
def simulator_fixture() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


@pytest.fixture(name="real")
def real_fixture(simulator: Simulator, settings: Settings) -> Settings:
    return replace(settings, api_key="DEMO-KEY", username="demo", base_url=simulator.base_url, call_timeout=5.0)


def test_pages_of_another_process_read_what_the_leader_asks(
    simulator: Simulator, real: Settings, database: IMEIDatabase
) -> None:
    with system(simulator, database) as running:
        running.submit_batch(imeis(3), SERVICE)
    background = start_background(real, database)
    try:
        with IMEIDatabase(database.path) as other:
            pages = ProviderRequests(other)
            assert not ServiceCatalog(pages).current().stale
            listed = pages.recent_orders(MAIN_ACCOUNT)
            assert {order.imei for order in listed} >= set(imeis(3))
            assert pages.find_order(listed[0].id, MAIN_ACCOUNT)[0].imei == listed[0].imei
            with pytest.raises(RefusedError):
                pages.find_order("15990001", MAIN_ACCOUNT)
    finally:
        background.stop()


def test_a_limit_counts_the_calls_of_pages_in_the_leader(
    simulator: Simulator, real: Settings, database: IMEIDatabase
) -> None:
    pages = ProviderRequests(database)
    with led(replace(real, rate_limit=2), database):
        pages.recent_orders(MAIN_ACCOUNT)
        with pytest.raises(NotSentError, match="that pages may make are made"):
            pages.find_order("7", MAIN_ACCOUNT)
    with led(replace(real, rate_limit=2), database), pytest.raises(NotSentError, match="that pages may make are made"):
        pages.find_order("7", MAIN_ACCOUNT)
    assert len(simulator.calls()) == 1


def test_a_command_becomes_the_leader_only_where_there_is_none(real: Settings, database: IMEIDatabase) -> None:
    with led(real, database) as leader:
        assert leader is not None
        assert runner_alive(real.data_dir)
        with led(real, database) as second:
            assert second is None
    assert not runner_alive(real.data_dir)


def test_a_leader_hands_over_to_a_command_and_takes_over_after_it(
    simulator: Simulator, real: Settings, database: IMEIDatabase
) -> None:
    request_store.leave(database, RequestKind.LEAD, "", time.time() - 3600)  # of a command that was killed
    background = start_background(real, database)
    try:
        wait_until(lambda: runner_alive(real.data_dir), "the background leads")
        with taking_the_lead(real, database) as leader:
            assert leader.client.get_account().credits is not None
            seen = len(simulator.calls())
            time.sleep(2)  # longer than an election
            assert len(simulator.calls()) == seen
        wait_until(lambda: runner_alive(real.data_dir), "the background leads again")
    finally:
        background.stop()


def test_a_command_that_gives_up_waiting_does_not_keep_the_leader_from_working(
    real: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HANDOVER", -5.0)
    with led(real, database), pytest.raises(NotSentError, match="did not hand over"), taking_the_lead(real, database):
        pass
    assert request_store.waiting(database, RequestKind.LEAD) is None


def test_an_audit_is_made_by_the_process_that_leads(
    simulator: Simulator, real: Settings, database: IMEIDatabase
) -> None:
    background = start_background(real, database)
    try:
        wait_until(lambda: runner_alive(real.data_dir), "the background leads")
        report = audit_or_follow(real, database, None, MAIN_ACCOUNT)
    finally:
        background.stop()
    assert (report.since, report.error) == ("", "")
    request = request_store.newest_finished(database, RequestKind.AUDIT)
    assert request is not None
    assert request.state is RequestState.ANSWERED
    assert simulator.calls()
    assert audit_or_follow(real, database, None, MAIN_ACCOUNT).listed == report.listed  # by this process
