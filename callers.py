"""Who calls the provider: for each account a client, the throttle of all its calls, and its loop.

The leader makes them (runner.py), and every worker makes the clients. An account that must not work with the database,
or whose credentials are missing, has none: its open calls wait for it, and no other account sends them.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from account import answering_requests, watching
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient, NotSentError, ReadTurns
from production_submission_system import ProductionSubmissionSystem
from settings import MAIN_ACCOUNT, Access, ProviderAccount, Settings
from simulator import DemoError, DemoProvider, ensure_running
from storage import account_store
from submission import (
    Carrier,
    Checkpoints,
    ClusterCarrier,
    PaceTurns,
    Throttle,
    absence_of,
    options_of,
    require_account,
    stop_where_answered,
    stop_where_commits_are_lost,
)

logger = logging.getLogger(__name__)

#: Seconds between two looks whether the demo provider is alive.
DEMO_CHECK_INTERVAL = 2.0
#: Seconds until a loop beside the main one is started again, after an outage of the database and after an error.
AGAIN, AGAIN_AFTER_ERROR = 1.0, 60.0
#: Seconds for which a loop that was overtaken leaves the lease to the other one.
OVERTAKEN_PAUSE = 60.0


@contextmanager
def provider_access(settings: Settings) -> Iterator[Access]:
    """Yield how to reach the provider. In the demo it is the simulator, kept alive meanwhile. Raises DemoError."""
    if not settings.demo:
        yield settings
        return
    closing = threading.Event()
    demo = ensure_running(settings.data_dir)
    keeper = threading.Thread(target=_keep_demo, args=(settings.data_dir, demo, closing), name="demo", daemon=True)
    keeper.start()
    try:
        yield Access(demo.api_key, demo.username, demo.base_url, settings.call_timeout)
    finally:
        closing.set()
        keeper.join()


@dataclass(frozen=True, slots=True)
class Caller:
    """One account at the provider, and what its calls are made with."""

    account: ProviderAccount
    client: GSMFusionClient
    throttle: Throttle


@dataclass(frozen=True, slots=True)
class Leader:
    """What the leader calls the provider with."""

    callers: tuple[Caller, ...]  #: the main account first; without accounts that must not work with the database

    @property
    def client(self) -> GSMFusionClient:
        """The client of the main account."""
        return self.callers[0].client

    def client_of(self, account: str) -> GSMFusionClient:
        """Return the client of an account. Raises NotSentError for one that must not work with the database."""
        for caller in self.callers:
            if caller.account.name == account:
                return caller.client
        raise NotSentError(f"There is no account {account} that can be asked.")


@contextmanager
def leading(settings: Settings, database: IMEIDatabase) -> Iterator[Leader]:
    """Call the provider, and answer the requests of pages and commands, as long as this is held. Needs the lock.

    Raises OtherAccountError where the orders of the database were placed with another account, and DemoError.
    """
    require_account(database, settings)
    if database.engines.risk:
        logger.error(database.engines.risk)
    stop_where_commits_are_lost(database, settings.lossless_failover)
    absences = {account.name: absence_of(database, account) for account in settings.more_accounts}
    for name, words in absences.items():
        if words:
            logger.error("Account %s sends nothing: %s", name, words)
    account_store.register(database, {MAIN_ACCOUNT: ""} | absences)
    with (
        all_calling(settings, database) as callers,
        answering_requests(database, [(caller.account, caller.throttle) for caller in callers]),
    ):
        yield Leader(callers)


@contextmanager
def all_calling(settings: Settings, database: IMEIDatabase) -> Iterator[tuple[Caller, ...]]:
    """Yield a client for each account that may work with the database, the main one first. Raises DemoError."""
    with provider_access(settings) as access, ExitStack() as held:
        main = replace(settings.accounts[0], api_key=access.api_key, username=access.username, base_url=access.base_url)
        others = [account for account in settings.more_accounts if not absence_of(database, account)]
        yield tuple(_caller(held, database, account) for account in (main, *others))


def _caller(held: ExitStack, database: IMEIDatabase, account: ProviderAccount) -> Caller:
    """Return what the calls of an account are made with, until held ends."""
    throttle = Throttle(account.workers, account.rate_limit)
    return Caller(account, held.enter_context(calling(database, account, throttle)), throttle)


@contextmanager
def calling(database: IMEIDatabase, account: ProviderAccount, throttle: Throttle) -> Iterator[GSMFusionClient]:
    """Yield a client of an account, whose reads take their turns among all calls of the account.

    On a database server the turns are there, for all machines.
    """
    turns: ReadTurns = throttle if database.is_file else PaceTurns(database, account.name, throttle)
    with watching(database, account.name) as report:
        options = ClientOptions(account.base_url, account.workers + 2, turns=turns, report=report)
        with GSMFusionClient(account.api_key, account.username, account.call_timeout, options=options) as client:
            yield client


def _keep_demo(data_dir: Path, demo: DemoProvider, closing: threading.Event) -> None:
    """Start the simulator again, on its port, when the process that had started it is gone."""
    held = [demo]  # a provider that we started ends when nobody holds it
    while not closing.wait(DEMO_CHECK_INTERVAL):
        try:
            held.append(ensure_running(data_dir))
        except DemoError:
            logger.exception("The demo provider is gone and did not start again")
        held = [provider for provider in held if provider.process is not None]


def make_systems(settings: Settings, database: IMEIDatabase, leader: Leader) -> list[ProductionSubmissionSystem]:
    """Return the submission system of each account, the main one first. Where there are several, all have recovered.

    On a database server, jobs call.
    """
    systems, checkpoints = [], Checkpoints(settings.data_dir / "checkpoints") if database.is_file else None
    for caller in leader.callers:
        options, name = options_of(settings, database, caller.account), caller.account.name
        carrier: Carrier | Checkpoints = (
            ClusterCarrier(database, name, options, caller.throttle, time.monotonic)
            if checkpoints is None
            else checkpoints.of_account(name)
        )
        systems.append(ProductionSubmissionSystem(database, caller.client, carrier, options, caller.throttle))
    if checkpoints is not None:
        _stop_for_missing(database, checkpoints, {caller.account.name for caller in leader.callers})
    for system in systems if len(systems) > 1 else ():
        system.recover()
    return systems


def _stop_for_missing(database: IMEIDatabase, checkpoints: Checkpoints, here: Collection[str]) -> None:
    """Stop an older copy of the database that would send again what an account that is not here was paid for."""
    for name, folder in checkpoints.of_accounts().items():
        if name not in here:
            stop_where_answered(database, folder)


@contextmanager
def running_beside(systems: Sequence[ProductionSubmissionSystem], is_over: Callable[[], bool]) -> Iterator[None]:
    """Run systems, each in a thread of its own, as long as this is held. Calls on the wire are waited for."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_run_beside, args=(system, ended, is_over), name=f"loop-{system.options.account}")
        for system in systems
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _run_beside(system: ProductionSubmissionSystem, ended: threading.Event, is_over: Callable[[], bool]) -> None:
    """Run a system until this is over; start it again after a failure."""
    while not (ended.is_set() or is_over()):
        pause = AGAIN
        try:
            system.run(ended, is_over)
            pause = OVERTAKEN_PAUSE if system.was_overtaken else pause
        except DatabaseUnavailableError as error:
            logger.error("The loop of account %s will start again: %s", system.options.account, error.sentence)
        except Exception:  # a thread ends here; the next turn tries again
            pause = AGAIN_AFTER_ERROR
            logger.exception("The loop of account %s failed", system.options.account)
        ended.wait(0.0 if is_over() else pause)
