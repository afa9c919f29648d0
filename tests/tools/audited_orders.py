"""Orders of a simulated provider and of our records, and the audit of both."""

import time
from collections.abc import Sequence
from datetime import datetime

import pending_orders
from pending_orders import client_of
from simulated_provider import Simulator
from sqlalchemy import delete

from database import IMEIDatabase
from gsm_fusion_client import GSMFusionClient, NotSentError
from orders import Account, IMEIOrder
from results.auditing import run_audit
from results.comparison import AuditReport
from results.rebuild import RebuildReport, plan_rebuild, rebuild_records
from schema import orders
from settings import MAIN_ACCOUNT
from storage import balance_store
from submission import Checkpoints

COUNT = 30


def place(simulator: Simulator, database: IMEIDatabase, count: int = COUNT) -> list[str]:
    """That many orders by a batch; returns their ids, oldest first."""
    with client_of(simulator) as client:
        database.store_services(client.get_imei_services(), time.time())
    return pending_orders.place(simulator, database, count)


def audited(simulator: Simulator, database: IMEIDatabase, since: datetime | None = None) -> AuditReport:
    with client_of(simulator) as client:
        return run_audit(database, client, since, MAIN_ACCOUNT)


def restored(simulator: Simulator, database: IMEIDatabase) -> RebuildReport:
    with client_of(simulator) as client:
        return rebuilt(database, client)


def rebuilt(database: IMEIDatabase, client: GSMFusionClient) -> RebuildReport:
    """Restore what the provider and the answers beside the database name, as `rebuild-from-provider` does."""
    checkpoints = Checkpoints(database.folder / "checkpoints")
    return rebuild_records(database, plan_rebuild(database, client, checkpoints, MAIN_ACCOUNT))


def counts(report: AuditReport) -> tuple[int, int, int, int]:
    found = (report.unknown_to_us, report.unknown_to_them, report.charged_twice, report.other_device)
    return (found[0].count, found[1].count, found[2].count, found[3].count)


def forget(database: IMEIDatabase, order_id: str) -> None:
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.order_id == order_id))


class Banker:
    """The simulator's orders, and an account that holds what the test says."""

    def __init__(self, client: GSMFusionClient, credits: float | None, listed: list[IMEIOrder] | None = None) -> None:
        self.client = client
        self.credits = credits
        self.listed = listed

    def list_recent_orders(self) -> list[IMEIOrder]:
        return self.client.list_recent_orders() if self.listed is None else self.listed

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        return self.client.get_imei_orders(order_ids)

    def get_account(self) -> Account:
        if self.credits is None:
            raise NotSentError("The provider has no such action.")
        return Account(self.credits, f"$ {self.credits}")


def read_balance(database: IMEIDatabase, credits: float) -> None:
    with database.write() as connection:
        balance_store.record_reading(connection, credits)


def audited_with(
    simulator: Simulator, database: IMEIDatabase, credits: float | None, since: datetime | None = None
) -> AuditReport:
    with client_of(simulator) as client:
        return run_audit(database, Banker(client, credits), since, MAIN_ACCOUNT)
