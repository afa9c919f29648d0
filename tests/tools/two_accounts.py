"""Two accounts at two simulators, their loops on one database, and a check of both ledgers against the records."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from simulated_provider import QUICK, SERVICE, put_in_use
from sqlalchemy import insert

from callers import running_beside
from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from production_submission_system import ProductionSubmissionSystem
from schema import orders
from simulator.knobs import Knobs
from simulator.server import Simulator
from storage import account_store, balance_store
from storage.batch_creation import NewBatch, create_batch
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options

MAIN, SECOND = "main", "b"
PRICE = 0.08
#: Orders of the second simulator have ids from here: both stand for one provider, which numbers all orders.
FIRST_ID = 18_000_000


@dataclass(frozen=True, slots=True)
class Accounts:
    """Two accounts at one provider, each played by a simulator of its own."""

    database: IMEIDatabase
    main: Simulator
    second: Simulator

    def batch(self, numbers: Sequence[str], size: int = 10, **more: Any) -> int:
        """Create a batch in calls of this size."""
        new = NewBatch("test", "command", SERVICE, "T-Mobile", PRICE, [(imei, None) for imei in numbers], **more)
        return create_batch(self.database, new, size)

    def leave(self, name: str, imeis: int) -> None:
        """Let an account hold what this number of IMEIs cost, and record that it does.

        A loop that begins when the other one has started the batch compares its balance with the record: a copy of the
        database could have ordered it.
        """
        simulator = {MAIN: self.main, SECOND: self.second}[name]
        simulator.set(credit=imeis * PRICE)
        with self.database.write() as connection:
            balance_store.record_reading(connection, simulator.balance(), name)

    def charged(self) -> dict[str, Counter[str]]:
        """Return account → IMEI → how often it was charged."""
        return {
            name: Counter(charge.imei for charge in simulator.charges())
            for name, simulator in ((MAIN, self.main), (SECOND, self.second))
        }

    def mistakes(self, times: int = 1) -> list[str]:
        """Return the IMEIs that were not charged so often by one account alone, or whose orders are not recorded so."""
        charged, wrong = self.charged(), list[str]()
        for imei in sorted(set(charged[MAIN]) | set(charged[SECOND])):
            if sorted(charged[name][imei] for name in charged) != [0, times]:
                wrong.append(f"{imei}: {charged[MAIN][imei]} and {charged[SECOND][imei]} charges")
        query = "SELECT account, order_id FROM orders WHERE attempt_id > 0"
        with self.database.read() as connection:
            known = {tuple(row) for row in connection.exec_driver_sql(query)}
        paid = {
            (name, str(charge.order_id))
            for name, simulator in ((MAIN, self.main), (SECOND, self.second))
            for charge in simulator.charges()
        }
        return wrong + [f"order {row[1]} of {row[0]}" for row in sorted(known ^ paid)]

    def attempts(self) -> Counter[str]:
        """Return account → calls."""
        with self.database.read() as connection:
            return Counter(connection.exec_driver_sql("SELECT account FROM attempts").scalars())


@contextmanager
def two_accounts(database: IMEIDatabase, **knobs: Any) -> Iterator[Accounts]:
    """Yield two accounts that have ordered before; knobs are those of both providers."""
    usual = {"history": 1, "latency": 0.02, "duplicates": "never", **knobs}
    with (
        Simulator(Knobs(**usual)) as main,
        Simulator(Knobs(**usual, first_order_id=FIRST_ID), credentials=("DEMO-KEY", "second")) as second,
    ):
        account_store.register(database, {MAIN: "", SECOND: ""})
        put_in_use(main, database)
        with database.write() as connection:
            write_list_limit(connection, SERVICE, 100)
            write_list_limit(connection, SERVICE, 100, SECOND)
            old = {"order_id": "9000001", "imei": "359999000000018", "service_id": SERVICE, "status": "Completed"}
            connection.execute(insert(orders).values(**old, attempt_id=0, account=SECOND))
            balance_store.record_reading(connection, second.balance(), SECOND)
        yield Accounts(database, main, second)


@contextmanager
def clients(accounts: Accounts) -> Iterator[tuple[GSMFusionClient, GSMFusionClient]]:
    """Yield a client of each account."""
    with ExitStack() as held:
        made = [
            GSMFusionClient("DEMO-KEY", user, 5, options=ClientOptions(simulator.base_url, sleep=lambda _: None))
            for user, simulator in (("demo", accounts.main), ("second", accounts.second))
        ]
        yield held.enter_context(made[0]), held.enter_context(made[1])


@contextmanager
def loops(
    accounts: Accounts, of_second: dict[str, Any] | None = None, **options: Any
) -> Iterator[tuple[ProductionSubmissionSystem, ProductionSubmissionSystem]]:
    """Yield the loop of each account; options are those of both, of_second those of the second alone."""
    folder = Checkpoints(accounts.database.path.parent / "checkpoints")
    given = {MAIN: {}, SECOND: of_second or {}}
    with clients(accounts) as both:
        main, second = (
            ProductionSubmissionSystem(
                accounts.database,
                client,
                folder.of_account(name),
                Options(**{**QUICK, "workers": 2, "account": name, **options, **more}),
            )
            for client, (name, more) in zip(both, given.items(), strict=True)
        )
        yield main, second


def run(accounts: Accounts, batch_id: int, of_second: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run both loops until a batch is over. Returns what became of it."""
    with loops(accounts, of_second, **options) as (main, second), running_beside([second], lambda: False):
        return main.run_batch(batch_id)
