"""A simulator, a submission system that uses it, and a check of both against the simulator's ledger."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plain_sql import run
from stored_orders import names_of_orders

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from production_submission_system import ProductionSubmissionSystem
from settings import Settings
from simulator.knobs import Knobs
from simulator.server import Simulator
from storage import balance_store, call_queries
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options
from submission.thread_carrier import ThreadCarrier
from submission.throttle import Throttle

SERVICE = "269"
#: The order id of the simulator's newest order from a month ago.
OLD_ORDER = "9000000"
QUICK: dict[str, Any] = {
    "workers": 5,
    "settle_quiet": 0.2,
    "call_timeout": 0.0,
    "patience": 4.0,
    "maintenance_wait": 0.3,
    "poll": 0.05,
}


def threads_of(running: ProductionSubmissionSystem) -> ThreadCarrier:
    """The carrier of a system that makes its calls in threads."""
    assert isinstance(running.carrier, ThreadCarrier)
    return running.carrier


@contextmanager
def changed_again_and_again(
    simulator: Simulator, pause: Callable[[], float], drawn: Callable[[], dict[str, Any]], **well: Any
) -> Iterator[None]:
    """Change the knobs of the provider after each pause (seconds) until the block ends; then it is well again."""
    over = threading.Event()

    def change() -> None:
        while not over.wait(pause()):
            simulator.set(**drawn())

    mood = threading.Thread(target=change)
    mood.start()
    try:
        yield
    finally:
        over.set()
        mood.join()
        simulator.set(fault="", listing="on", **well)


def imeis(count: int, first: int = 0) -> list[str]:
    """Made-up IMEIs of 15 digits with a right check digit."""
    return [with_check_digit(f"35{number:012d}") for number in range(first, first + count)]


#: Each digit → the sum of the digits of its double.
DOUBLED = str.maketrans("0123456789", "0246813579")


def with_check_digit(body: str) -> str:
    return body + str(-sum(map(int, body[::2] + body[1::2].translate(DOUBLED))) % 10)


@contextmanager
def system(
    simulator: Simulator,
    database: IMEIDatabase,
    timeout: float = 5,
    proven: bool = True,
    client_class: type[GSMFusionClient] = GSMFusionClient,
    throttle: Throttle | None = None,
    in_use: bool = True,
    **options: Any,
) -> Iterator[ProductionSubmissionSystem]:
    """Yield a submission system on this database, with short waits. proven: its service is known to take lists.

    in_use plants an old order and a balance, so that doubt about the first calls can be settled by itself.
    """
    if in_use:
        put_in_use(simulator, database)
    if proven:
        with database.write() as connection:
            write_list_limit(connection, SERVICE, 100)
    options_of_client = ClientOptions(simulator.base_url, sleep=lambda _: None)
    with TemporaryDirectory() as nearby, client_class("DEMO-KEY", "demo", timeout, options=options_of_client) as client:
        folder = database.path.parent if database.is_file else Path(nearby)
        checkpoints = Checkpoints(folder / "checkpoints")
        yield ProductionSubmissionSystem(database, client, checkpoints, Options(**{**QUICK, **options}), throttle)


def account_settings(base_url: str, data_dir: Path, **changes: Any) -> Settings:
    """Return the settings of the account at a simulator, for a process of its own, with these changes."""
    account = {"api_key": "DEMO-KEY", "username": "demo", "base_url": base_url, "data_dir": data_dir}
    return Settings(**{**account, "settle_quiet": 0.2, "call_timeout": 5.0, **changes})


def settings_at(simulator: Simulator, settings: Settings, **more: Any) -> Settings:
    """Return the settings of an account at this provider."""
    account = {"api_key": "DEMO-KEY", "username": "demo", "base_url": simulator.base_url, "admin_password": "x"}
    return replace(settings, **{**account, **more})


def put_in_use(simulator: Simulator, database: IMEIDatabase) -> None:
    """Make the account one that has ordered before: an old order of ours on the list, and a balance.

    Without an order from before a call, and a balance, nothing proves that it placed nothing.
    """
    simulator.set(history=1)
    with database.write() as connection:
        if not call_queries.newest_order(connection):
            old = (OLD_ORDER, "359999000000000", SERVICE, "Completed", 0)
            columns = "order_id, imei, service_id, status, attempt_id"
            run(connection, f"INSERT INTO orders ({columns}) VALUES (?, ?, ?, ?, ?)", *old)
        if balance_store.newest_reading(connection) is None and not call_queries.newest_attempt(connection):
            balance_store.record_reading(connection, simulator.balance())


def judge(simulator: Simulator, database: IMEIDatabase) -> tuple[int, int]:
    """Return how many IMEIs were charged more than once, and how many charges our database does not record.

    A charge is recorded where an order has its id, its IMEI and its service, or does not know its service yet.
    """
    charges = simulator.charges()
    twice = sum(count > 1 for count in Counter((charge.imei, charge.service_id) for charge in charges).values())
    known = names_of_orders(database)
    recorded = [
        any((str(charge.order_id), charge.imei, service) in known for service in (charge.service_id, None))
        for charge in charges
    ]
    return twice, recorded.count(False)


__all__ = ["QUICK", "SERVICE", "Knobs", "Simulator", "imeis", "judge", "system"]
