"""An app's backend without pages, phones with results, and automations that take their turns."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from local_provider import LocalProvider
from plain_sql import run as run_sql
from sqlalchemy import select
from web_client import CARRIER, SERVICES, Provider, answer_chunks

from account.answerer import Questions
from automation import AutomationTurn
from backend import Backend
from database import IMEIDatabase, utc_now
from orders import AutomationKind, IMEIOrder, OrderStatus, RunKind
from people import DEMO_USER, Actor
from results.order_values import result_values
from schema import items, orders
from settings import Settings
from storage import automation_store
from storage.automation_store import Automation, NewRun, Run, Terms
from storage.batch_creation import NewBatch, create_batch
from storage.result_store import store_results

#: The service that follow-ups order here, and its price.
SECOND, PRICE = "269", 0.1
#: When re-checks are due here.
DUE = datetime(2026, 12, 6, 8)
#: Long enough for a follow-up to gather results.
LATER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """A database, and what automations of it are run with."""

    database: IMEIDatabase
    backend: Backend
    provider: Provider = field(default_factory=lambda: Provider(list(SERVICES)))

    def check(self, numbers: Sequence[str], fmi: str = "OFF", service_id: str = CARRIER.package_id, **more: str) -> int:
        """Order these phones by hand and let their results come. Return the batch."""
        listed = [(imei, None) for imei in numbers]
        new = NewBatch("by hand", "command", service_id, "a service", 0.08, listed, recheck=True)
        batch_id = create_batch(self.database, new)
        self.answer(fmi, **more)
        return batch_id

    def answer(self, fmi: str = "OFF", status: str = OrderStatus.COMPLETED, **more: str) -> None:
        """Place what is planned, and let every result come that is awaited."""
        answer_chunks(self.database)
        text = "\n".join([f"Model: iPhone 12\nFind My iPhone: {fmi}", *(f"{k}: {v}" for k, v in more.items())])
        with self.database.read() as connection:
            waiting = select(orders.c.order_id, orders.c.imei).where(orders.c.status == OrderStatus.PENDING)
            rows = connection.execute(waiting.order_by(orders.c.id)).all()
        store_results(self.database, [IMEIOrder(row.order_id, row.imei, status, text) for row in rows], result_values)

    def add(self, kind: AutomationKind = AutomationKind.FOLLOW_UP, actor: Actor = DEMO_USER, **terms: Any) -> int:
        """Make an automation and turn it on. Return its id."""
        usual: dict[str, Any] = {
            "name": f"{kind} {terms}"[:60],
            "filter": "fmi=OFF",
            "service_id": SECOND,
            "max_price": PRICE,
            "daily_limit": 100.0,
            "first_day": "2026-01-01" if kind is AutomationKind.RECHECK else "",
        }
        with self.database.write() as connection:
            automation_id = automation_store.create(connection, kind, Terms(**usual | terms), actor)
        self.turn_on(automation_id, actor)
        return automation_id

    def turn_on(self, automation_id: int, actor: Actor = DEMO_USER, due_at: datetime | None = None) -> None:
        with self.database.write() as connection:
            found = automation_store.find_automation(connection, automation_id)
            assert found
            automation_store.turn_on(connection, found, actor, due_at)

    def turn_off(self, automation_id: int) -> None:
        with self.database.write() as connection:
            found = automation_store.find_automation(connection, automation_id)
            assert found
            automation_store.turn_off(connection, found, "by the test")

    def turn(self, now: datetime | None = None) -> None:
        """Let every automation do what is new or due, an hour after the results have come."""
        AutomationTurn(self.backend, lambda: now or utc_now() + LATER).take(threading.Event())

    def get(self, automation_id: int) -> Automation:
        with self.database.read() as connection:
            found = automation_store.find_automation(connection, automation_id)
        assert found
        return found

    def log(self, automation_id: int) -> list[Run]:
        """Return the runs of an automation, the oldest first."""
        with self.database.read() as connection:
            return automation_store.runs_of(connection, automation_id, 1000)[::-1]

    def sent(self, automation_id: int) -> list[str]:
        """Return the IMEIs that an automation has ordered, in the order of its batches."""
        batches = [run.batch_id for run in self.log(automation_id) if run.batch_id]
        query = select(items.c.imei).where(items.c.batch_id.in_(batches), items.c.outcome != "duplicate")
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(items.c.id)).scalars())

    def run(self, statement: str, *values: object) -> None:
        with self.database.write() as connection:
            run_sql(connection, statement, *values)


def store_automation(
    database: IMEIDatabase,
    kind: AutomationKind = AutomationKind.FOLLOW_UP,
    run: RunKind = RunKind.TRIAL,
    batch_id: int | None = None,
) -> None:
    """Store an automation that is off, with one run."""
    terms = Terms("Second stage", "fmi=OFF", SECOND, PRICE, 10.0, first_day="2026-01-01")
    with database.write() as connection:
        automation_id = automation_store.create(connection, kind, terms, DEMO_USER)
        found = automation_store.find_automation(connection, automation_id)
        assert found
        automation_store.add_run(connection, found, NewRun(run, DEMO_USER.name, 1, 1, PRICE), batch_id)


def make_scene(settings: Settings, database: IMEIDatabase) -> Scene:
    """Return a scene whose provider answers in this process."""
    provider = Provider(list(SERVICES))
    requests = LocalProvider(database, Questions(services=provider.list_services, account=partial(provider.account)))
    return Scene(database, Backend(settings, database, requests, threading.Event()), provider)
