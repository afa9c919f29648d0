"""Who calls the provider: which accounts have a client, their turns and their loops, and loops that start again."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from handmade_calls import planned
from simulated_provider import SERVICE, settings_at
from waiting import Waits, wait_until

import callers
from callers import (
    AGAIN,
    AGAIN_AFTER_ERROR,
    OVERTAKEN_PAUSE,
    Caller,
    Leader,
    all_calling,
    calling,
    leading,
    make_systems,
    provider_access,
    running_beside,
)
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import NotSentError
from orders import Chunk
from production_submission_system import ProductionSubmissionSystem
from settings import ProviderAccount, Settings
from simulator import DemoError, DemoProvider
from simulator.server import Simulator
from storage import account_store
from submission import (
    Checkpoints,
    ClusterCarrier,
    OtherAccountError,
    PaceTurns,
    ThreadCarrier,
    Throttle,
    absence_of,
    account_objection,
    older_copy_objection,
)

NOWHERE = "http://127.0.0.1:9"  #: nothing in these tests calls it
SECOND = ProviderAccount("KEY", "second", NOWHERE, 7.0, "b", rate_limit=9, workers=3)


@pytest.fixture(name="both")
def both_fixture(live: Settings) -> Settings:
    """The settings of two accounts."""
    return replace(live, base_url=NOWHERE, workers=4, rate_limit=20, more_accounts=(SECOND,))


# Clients


def test_the_provider_is_that_of_the_settings_unless_this_is_the_demo(
    live: Settings, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider_access(live) as access:
        assert access is live
    monkeypatch.setattr(callers, "ensure_running", lambda _: DemoProvider("http://127.0.0.1:1"))
    with provider_access(settings) as access:
        assert (access.base_url, access.call_timeout) == ("http://127.0.0.1:1", settings.call_timeout)
        assert access.api_key and access.username


def test_the_provider_of_the_demo_is_started_again_and_the_one_that_was_started_is_held(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure to start it ends nothing: the next look tries again."""
    first, mine = DemoProvider("http://127.0.0.1:1"), DemoProvider("http://127.0.0.1:1", cast(Any, object()))
    asked: list[Path] = []

    def ensure(folder: Path) -> DemoProvider:
        asked.append(folder)
        if len(asked) == 2:
            raise DemoError("it does not start")
        return first if len(asked) == 1 else mine

    monkeypatch.setattr(callers, "DEMO_CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(callers, "ensure_running", ensure)
    with provider_access(settings):
        wait_until(lambda: len(asked) >= 4, "it is looked after")
    assert set(asked) == {settings.data_dir}
    assert "demo" not in [thread.name for thread in threading.enumerate()]


def test_each_account_has_a_client_with_its_own_limits_and_the_main_one_is_first(
    file_database: IMEIDatabase, both: Settings
) -> None:
    account_objection(file_database, both)
    with all_calling(both, file_database) as found:
        assert [caller.account.name for caller in found] == ["main", "b"]
        assert [(caller.throttle.workers, caller.throttle.limit) for caller in found] == [(4, 20), (3, 9)]
        assert [caller.client._timeout for caller in found] == [both.call_timeout, 7.0]
        for caller in found:
            assert caller.client._options.turns is caller.throttle  # reads keep to the limit of the orders


def test_on_a_database_server_reads_take_the_turns_of_all_machines(
    server_database: IMEIDatabase, both: Settings
) -> None:
    throttle = Throttle(3)
    with calling(server_database, SECOND, throttle) as client:
        assert client._options.turns == PaceTurns(server_database, "b", throttle)


def test_an_account_that_is_not_there_cannot_be_asked(both: Settings) -> None:
    main, second = (Caller(account, cast(Any, object()), Throttle(1)) for account in both.accounts)
    leader = Leader((main, second))
    assert leader.client is leader.client_of("main") is main.client
    assert leader.client_of("b") is second.client
    with pytest.raises(NotSentError, match="no account c"):
        leader.client_of("c")


# Loops


def leader_of(settings: Settings, database: IMEIDatabase) -> Leader:
    """What the accounts call with; nothing is called."""
    found = (account for account in settings.accounts if account.name == "main" or not absence_of(database, account))
    return Leader(tuple(Caller(account, cast(Any, object()), Throttle(account.workers)) for account in found))


def test_a_single_loop_recovers_when_it_runs_and_several_before_any_of_them_sends(
    file_database: IMEIDatabase, both: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one could send again what another one is about to find answered."""
    recovered: list[str] = []
    monkeypatch.setattr(ProductionSubmissionSystem, "recover", lambda system: recovered.append(system.options.account))
    alone = replace(both, more_accounts=())
    (system,) = make_systems(alone, file_database, leader_of(alone, file_database))
    assert recovered == []
    assert [one.options.account for one in make_systems(both, file_database, leader_of(both, file_database))] == [
        "main",
        "b",
    ]
    assert recovered == ["main", "b"]
    assert system.options.workers == 4


def test_each_account_keeps_its_answers_in_a_folder_of_its_own(file_database: IMEIDatabase, both: Settings) -> None:
    leader = leader_of(both, file_database)
    systems = make_systems(both, file_database, leader)
    folder = both.data_dir / "checkpoints"
    for system, caller, kept in zip(systems, leader.callers, (folder, folder / "account-b"), strict=True):
        assert isinstance(system.carrier, ThreadCarrier)
        assert system.carrier.checkpoints.folder == kept
        assert (system.client, system.throttle) == (caller.client, caller.throttle)


def test_all_parts_of_a_loop_work_for_its_account(file_database: IMEIDatabase, both: Settings) -> None:
    """One of them with the main account would look at, or pay from, that one."""
    for system in make_systems(both, file_database, leader_of(both, file_database)):
        account = system.options.account
        parts = (system._settler, system._room, system._ownership)
        assert [part.account if hasattr(part, "account") else part._account for part in parts] == [account] * 3
        assert (system._account.name, system._story._is_logged) == (account, account == "main")


def test_on_a_database_server_jobs_make_the_calls(server_database: IMEIDatabase, both: Settings) -> None:
    systems = make_systems(both, server_database, leader_of(both, server_database))
    assert [type(system.carrier) for system in systems] == [ClusterCarrier, ClusterCarrier]
    assert not (both.data_dir / "checkpoints").exists()


@pytest.mark.parametrize("is_here", [True, False])
def test_a_kept_answer_of_an_account_that_is_not_here_stops_the_others(
    file_database: IMEIDatabase, both: Settings, monkeypatch: pytest.MonkeyPatch, is_here: bool
) -> None:
    """The database is an older copy. An account that is here records the answer itself."""
    batch_id, [chunk_id, *_] = planned(file_database, 4)
    kept = Checkpoints(both.data_dir / "checkpoints").of_account("b")
    kept.keep(Chunk(chunk_id, batch_id, SERVICE, 1, 1, (), account="b"), b"<result/>")
    monkeypatch.setattr(ProductionSubmissionSystem, "recover", lambda _: None)
    here = both if is_here else replace(both, more_accounts=())
    make_systems(here, file_database, leader_of(here, file_database))
    assert bool(older_copy_objection(file_database)) is not is_here


class FakeSystem:
    """A loop that ends as it is told: with an error, or overtaken, or well."""

    def __init__(self, *ends: Exception | str) -> None:
        self.options = SimpleNamespace(account="b")
        self.was_overtaken = False
        self.runs = 0
        self._ends = list(ends)

    def run(self, stop: threading.Event, is_over: Callable[[], bool]) -> None:
        self.runs += 1
        end = self._ends.pop(0)
        self.was_overtaken = end == "overtaken"
        if isinstance(end, Exception):
            raise end
        assert not is_over()


def test_a_loop_beside_the_main_one_starts_again_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    """After an error of the program a long one, after an outage a short one, and it does not overtake in turn."""
    caplog.set_level(logging.ERROR, callers.__name__)
    ends = (DatabaseUnavailableError("", None, OSError("a disk")), RuntimeError("a bug"), "overtaken", "well")
    system, pauses = FakeSystem(*ends), Waits(len(ends))
    callers._run_beside(cast(ProductionSubmissionSystem, system), pauses, lambda: False)
    assert pauses.seconds == [AGAIN, AGAIN_AFTER_ERROR, OVERTAKEN_PAUSE, AGAIN]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True]


def test_a_loop_beside_the_main_one_does_not_start_when_all_is_over() -> None:
    system = FakeSystem()
    callers._run_beside(cast(ProductionSubmissionSystem, system), threading.Event(), lambda: True)
    assert system.runs == 0


def test_loops_run_in_threads_of_their_own_and_are_waited_for() -> None:
    began, ended = threading.Event(), list[str]()

    class Slow(FakeSystem):
        def run(self, stop: threading.Event, is_over: Callable[[], bool]) -> None:
            began.set()
            assert stop.wait(20)
            ended.append(threading.current_thread().name)

    with running_beside([cast(ProductionSubmissionSystem, Slow())], lambda: False):
        assert began.wait(20)
        assert ended == []
    assert ended == ["loop-b"]


# The leader


def test_a_leader_of_another_account_calls_nobody(file_database: IMEIDatabase, both: Settings) -> None:
    account_objection(file_database, both)
    with pytest.raises(OtherAccountError), leading(replace(both, username="other"), file_database):
        pass
    with file_database.read() as connection:
        assert account_store.accounts(connection) == []


def test_an_account_that_may_not_work_with_the_database_is_left_out_and_named(
    database: IMEIDatabase, live: Settings, simulator: Simulator
) -> None:
    assert absence_of(database, SECOND) == ""
    third = replace(SECOND, username="third", name="c", base_url=simulator.base_url)
    both = settings_at(simulator, live, more_accounts=(replace(SECOND, username="taken"), third))
    with leading(both, database) as leader:
        assert [caller.account.name for caller in leader.callers] == ["main", "c"]
    with database.read() as connection:
        found = {state.name: state.absence for state in account_store.accounts(connection)}
    assert {name: bool(words) for name, words in found.items()} == {"main": False, "b": True, "c": False}
