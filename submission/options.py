"""How the loop works: its options, with their units, those that the settings ask for, and its parts."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from settings import MAIN_ACCOUNT, ProviderAccount, Settings, load_settings
from storage.account_mark import AccountMark
from submission.account_guard import mark_of, require_account
from submission.checkpoints import Checkpoints
from submission.older_copy import recognise_older_copy, stop_where_answered
from submission.throttle import Throttle


def call_threads(count: int) -> Executor:
    """Return the threads in which calls are made, all started: starting one while others are busy delays the writer."""
    pool, all_there = ThreadPoolExecutor(count, thread_name_prefix="call"), threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(all_there.wait)
    all_there.wait()
    return pool


@dataclass(frozen=True, slots=True)
class Options:
    """How many calls at once, and how long to wait for what. Times are seconds."""

    workers: int = 30
    limit: int | None = None  #: calls a minute to the provider, in all
    chunk_size: int = 100
    settle_quiet: float = 60.0
    call_timeout: float = 120.0  #: how long a call may take; before, nothing shows that it placed nothing
    send_order_key: bool = False  #: calls of one IMEI carry a key by which some panels know a repeat; never relied on
    resend_limit: float = 5.0  #: US dollars that are sent again after one proof without asking a person
    poll: float = 0.25  #: how often to look for new batches while nothing happens
    maintenance_wait: float = 30.0
    patience: float = 200.0  #: how long submit_batch waits for doubt to settle after the last answer
    account: str = MAIN_ACCOUNT  #: the name of the provider account that sends
    budget: float | None = None  #: US dollars that this account may spend in one UTC day; None: no limit of its own
    mark: AccountMark | None = None  #: whose orders these are; with another one nothing is sent
    canaries: int = 3  #: IMEIs held back while something is in doubt, to prove the provider's list fresh
    pool: Callable[[int], Executor] = call_threads  #: makes the executor for this many calls at once


def options_of(settings: Settings, database: IMEIDatabase, account: ProviderAccount | None = None) -> Options:
    """Return the options that the settings ask for, for the main account or another one."""
    account = account or settings.accounts[0]
    return Options(
        workers=account.workers,
        limit=account.rate_limit,
        chunk_size=settings.chunk_size,
        settle_quiet=settings.settle_quiet,
        call_timeout=settings.call_timeout,
        resend_limit=settings.resend_limit,
        send_order_key=settings.send_order_key,
        patience=patience_of(settings),
        account=account.name,
        budget=account.daily_budget,
        mark=mark_of(settings if account.name == MAIN_ACCOUNT else account, database.install_id()),
    )


def patience_of(settings: Settings) -> float:
    """Return the seconds that doubt may take to settle after the last answer: timeout, quiet time and proof."""
    return settings.call_timeout + 1.5 * settings.settle_quiet + 10


def parts_from_environment() -> tuple[IMEIDatabase, GSMFusionClient, Checkpoints, Options, Throttle, Settings]:
    """Open the database, make the client of the account in the environment, and the other parts of a system.

    Raises SettingsError without credentials, and OtherAccountError where the database belongs to another account. A
    database that is older than the answers kept beside it orders nothing.
    """
    settings = load_settings()
    throttle = Throttle(settings.workers, settings.rate_limit)
    client = GSMFusionClient(options=ClientOptions(settings.base_url, settings.workers + 2, turns=throttle))
    database = IMEIDatabase(settings.database_place, settings.data_dir)
    require_account(database, settings)
    checkpoints = Checkpoints(settings.data_dir / "checkpoints")
    recognise_older_copy(database, checkpoints)
    for folder in checkpoints.of_accounts().values():
        stop_where_answered(database, folder)
    return database, client, checkpoints, options_of(settings, database), throttle, settings
