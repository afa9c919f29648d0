"""Days of work: users and programs with daily limits, two accounts at the provider, automations, and one clock for all.

What happens is drawn, as in people_at_once.py. The midnight of UTC passes again and again, users are thrown out while
their pages are open, tags, customers and services get other names, files are forgotten, and bad results stop batches.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from api_client import ApiClient
from flask import Flask
from local_provider import LocalProvider
from login_client import PASSWORD, log_in, token_on
from people_at_once import FAULTS, NOTHING, People, Seen
from plain_sql import run
from provider_model import Clock, Model, ModelClient
from simulated_provider import SERVICE, imeis
from stepped_loop import CALL, Loop, started
from two_accounts import FIRST_ID, MAIN, SECOND
from web_client import Browser
from werkzeug.test import TestResponse

import database as database_module
from access import create_token, revoke_token
from access.sessions import end_sessions
from access.users import NewUser, add_user, disable, enable
from account.answerer import Questions
from automation import AutomationTurn, MustWaitError, run_by_hand, try_out
from backend import Backend
from database import IMEIDatabase, utc_now
from grading import StopLoss
from orders import AutomationKind, IMEIOrder, OrderStatus
from people import Actor, Role, scopes_of
from results.order_values import result_values
from settings import Settings
from simulator.knobs import Knobs
from simulator.ledger import Charge
from storage import account_store, automation_store, balance_store, stop_loss, token_store
from storage.automation_store import ChangedMeanwhileError, Run, Terms
from storage.batch_creation import NotOrderedError
from storage.list_limits import write_list_limit
from storage.result_store import store_results
from storage.token_store import NewToken
from web.auth import Authenticator
from web_app import create_app

#: What a follow-up orders. It costs as much as the other service: $0.08.
FOLLOWED = "1739"
#: US dollars a UTC day.
LIMIT_OF_ANNA, LIMIT_OF_PROGRAM, LIMIT_OF_RULE, BUDGET, BUDGET_OF_SECOND = 0.48, 0.24, 0.24, 1.2, 0.48
CREDIT = 20.0  #: US dollars that each account holds
RESULTS = {
    OrderStatus.COMPLETED: "Model: iPhone 12\nFind My iPhone: OFF",
    OrderStatus.REJECTED: "Rejected",
}
#: The batch of each order, and of each IMEI that is open.
OF_ORDERS = "SELECT order_id, batch_id FROM orders WHERE batch_id IS NOT NULL"
OF_OPEN = "SELECT imei, service_id, batch_id FROM items WHERE outcome IN ('waiting', 'in_doubt')"
#: What an admin looks at in the end.
PAGES = ("/", "/history", "/reports", "/automations", "/status", "/settings/accounts", "/customers", "/tags")
SUMS = (
    "SELECT b.id, (SELECT coalesce(sum(o.credits), 0) FROM orders o WHERE o.batch_id = b.id),"
    " (SELECT count(*) FROM orders o WHERE o.batch_id = b.id) FROM batches b"
)


class Visitor(Browser):
    """A browser of a user, who may be logged out at any time. No answer may be an error of the program."""

    def __init__(self, app: Flask, name: str) -> None:
        super().__init__(app)
        self.name = name
        self.log_in()

    def log_in(self) -> None:
        assert log_in(self.client, PASSWORD, self.name).status_code == 303

    def token(self) -> str:
        return token_on(self.client, "/account") if self.get("/account").status_code == 200 else token_on(self.client)

    def get(self, url: str, **more: Any) -> TestResponse:
        return _without_error(super().get(url, **more))

    def post(self, url: str, data: Any = None, **more: Any) -> TestResponse:
        return _without_error(super().post(url, data, **more))


def _without_error(answer: TestResponse) -> TestResponse:
    assert answer.status_code < 500, f"{answer.request.path}: {answer.text[-1000:]}"
    return answer


@dataclass(frozen=True)
class Limit:
    """What the batches of a condition may cost in one UTC day, by the ledger."""

    whose: str
    batches: str  #: the condition
    dollars: float


class Workdays(People):
    """Two users and their programs on two accounts at the provider."""

    pool = imeis(24)

    def __init__(self, app: Flask, database: IMEIDatabase, loops: tuple[Loop, Loop], seed: int) -> None:
        super().__init__(app, database, loops[0], seed)
        self.app, self.loops = app, loops
        self.clock = loops[0].clock
        self.backend = cast(Backend, app.extensions["backend"])
        found: Authenticator = app.extensions["authenticator"]
        new = [NewUser("anna", Role.OPERATOR, PASSWORD, LIMIT_OF_ANNA), NewUser("ben", Role.OPERATOR, PASSWORD)]
        self.users = {user.name: user for user in (add_user(database, found.passwords, one) for one in new)}
        self.browsers = [Visitor(app, name) for name in self.users]
        self.admin = Visitor(app, "admin")
        self.programs = [self._program("stock", "anna", LIMIT_OF_PROGRAM), self._program("shop 0", "ben", None)]
        self.revoked = 0
        self.checked = 0  #: charges
        self.of_files: set[str] = set()  #: IMEIs that the main account has ordered too, by a file
        self.trials: list[tuple[Run, Seen]] = []
        self.rules = {kind: self._rule(kind) for kind in AutomationKind}
        self.limits = [
            Limit("anna", f"user_id = {self.users['anna'].user_id}", LIMIT_OF_ANNA),
            Limit("the program", "ordered_by = 'token stock'", LIMIT_OF_PROGRAM),
            Limit("everybody", "true", BUDGET),
            *(Limit(kind, f"id IN (SELECT batch_id FROM automation_runs WHERE automation_id = {rule})", LIMIT_OF_RULE)
              for kind, rule in self.rules.items()),
        ]  # fmt: skip

    def _program(self, name: str, maker: str, limit: float | None) -> ApiClient:
        new = NewToken(name, Role.OPERATOR, scopes_of(Role.OPERATOR), self.users[maker].user_id, limit)
        return ApiClient(self.app, create_token(self.database, new))

    def _rule(self, kind: AutomationKind) -> int:
        terms = Terms(
            name=f"a {kind}",
            filter="fmi=OFF",
            service_id=FOLLOWED if kind is AutomationKind.FOLLOW_UP else SERVICE,
            max_price=0.1,
            daily_limit=LIMIT_OF_RULE,
            every_days=1,
            first_day=utc_now().date().isoformat() if kind is AutomationKind.RECHECK else "",
        )
        with self.database.write() as connection:
            return automation_store.create(connection, kind, terms, self._actor("anna"))

    def _actor(self, name: str) -> Actor:
        user = self.users[name]
        return Actor(name, Role.OPERATOR, user_id=user.user_id, user_limit=user.daily_limit)

    @property
    def charges(self) -> list[Charge]:
        return [charge for loop in self.loops for charge in loop.model.charges]

    # Automations

    def find(self, kind: AutomationKind) -> automation_store.Automation:
        with self.database.read() as connection:
            found = automation_store.find_automation(connection, self.rules[kind])
        assert found
        return found

    def turn_on(self) -> None:
        self.turn_on_for(self.draw.choice(list(self.users)))

    def turn_on_for(self, name: str) -> None:
        """A user turns an automation on; a re-check is due at once."""
        found = self.find(self.draw.choice(list(AutomationKind)))
        with self.database.write() as connection:
            automation_store.turn_on(connection, found, self._actor(name), utc_now() if found.rechecks else None)

    def automate(self) -> None:
        """Each automation takes its turn. A follow-up pays for nothing again, a re-check for what is due."""
        for kind in AutomationKind:
            before, seen = len(self.batches()), self.seen() if kind is AutomationKind.RECHECK else NOTHING
            if (found := self.find(kind)).is_on:
                AutomationTurn(self.backend, lambda: utc_now() + timedelta(minutes=5)).run_one(found)
                self.note_made(before, seen)

    def try_out(self) -> None:
        kind = self.draw.choice(list(AutomationKind))
        found, seen = self.find(kind), self.seen() if kind is AutomationKind.RECHECK else NOTHING
        try_out(self.backend, found, self._actor("ben"))
        with self.database.read() as connection:
            self.trials.append((automation_store.runs_of(connection, found.automation_id, 1)[0], seen))

    def order_trial(self) -> None:
        """Order any trial that was ever shown, twice."""
        if not self.trials:
            return
        shown, seen = self.draw.choice(self.trials)
        found = next(one for one in map(self.find, AutomationKind) if one.automation_id == shown.automation_id)
        before = len(self.batches())
        for _ in range(2):
            try:
                run_by_hand(self.backend, found, shown, self._actor("ben"))
            except (MustWaitError, NotOrderedError, ChangedMeanwhileError):
                continue
        self.note_made(before, seen)

    # Users, names and files

    def throw_out(self) -> None:
        """A user is disabled, or all sessions are ended, while pages are open: what they send makes nothing."""
        browser = cast(Visitor, self.draw.choice(self.browsers))
        user_id, before = self.users[browser.name].user_id, self.batches()
        is_disabled = self.draw.random() < 0.5
        if is_disabled:
            self.turn_on_for(browser.name)
            disable(self.database, user_id)
        else:
            end_sessions(self.database, user_id, "by the test", utc_now())
        for whose, preview, fields, _ in self.previews[-5:]:
            if whose is browser:
                browser.post(preview, fields)
        browser.post("/submit", {"imei": self.draw.choice(self.pool), "service_id": SERVICE})
        browser.post("/scan/check.json", {"imei": self.draw.choice(self.pool), "service_id": SERVICE})
        browser.post("/batch", {"imeis": self.pool[0], "service_id": SERVICE})
        assert self.batches() == before
        if is_disabled:
            self.automate_for_nobody(browser.name, before)
            enable(self.database, user_id)
        browser.log_in()

    def automate_for_nobody(self, name: str, before: list[int]) -> None:
        """What a disabled user turned on orders nothing."""
        theirs = [found for found in map(self.find, AutomationKind) if found.is_on and found.ordered_by == name]
        for found in theirs:
            AutomationTurn(self.backend, lambda: utc_now() + timedelta(minutes=5)).run_one(found)
        assert self.batches() == before

    def revoke(self) -> None:
        """The program's token is revoked in the middle of its work, and it gets another one."""
        before, program = self.batches(), self.programs[1]
        token = next(one for one in token_store.listed(self.database) if one.name == f"shop {self.revoked}")
        revoke_token(self.database, token)
        assert program.post("/checks", {"imei": self.pool[0], "service_id": SERVICE}).status_code == 401
        assert self.batches() == before
        self.revoked += 1
        self.programs[1] = self._program(f"shop {self.revoked}", "ben", None)

    def rename(self) -> None:
        """Tags, customers and batches get other names; then the provider gives the service another title."""
        for batch_id in self.batches()[-2:]:
            names = {"name": self.draw.choice("xyz"), "customer": self.draw.choice(["Gulf", "Harbour"]), "note": ""}
            self.admin.post(f"/batches/{batch_id}/names", names)
            self.admin.post(f"/batches/{batch_id}/tags", {"tag": self.draw.choice(["blue", "green"])})
        self.admin.post("/tags/rename", {"tag": "blue", "new": "green"})
        self.admin.post("/customers/rename", {"customer": "Harbour", "new": self.draw.choice(["Gulf", "Harbour 2"])})

    def rename_service(self) -> None:
        title = f"T-Mobile USA - Status Check {self.draw.randint(1, 3)}"
        for loop in self.loops:
            packages = loop.model.provider.packages
            packages[SERVICE] = replace(packages[SERVICE], title=title)

    def set_stop_loss(self) -> None:
        stop_loss.save(self.database, self.draw.choice([None, StopLoss(percent=40, first=2)]))

    def bring_file(self) -> None:
        super().bring_file()
        self.of_files |= {row[0] for row in self.rows("SELECT imei FROM orders WHERE batch_id IS NULL")}

    def read_files(self) -> None:
        """Open a batch, its sheet and a preview, whose files may be forgotten."""
        if found := self.batches():
            batch_id = self.draw.choice(found)
            for page in (f"/batches/{batch_id}", f"/batches/{batch_id}/sheet.csv"):
                self.admin.get(page)
        if self.previews:
            browser, preview, _, _ = self.draw.choice(self.previews)
            browser.get(preview)

    # The loops and the provider

    def work(self) -> None:
        for _ in range(self.draw.randint(1, 3)):
            for loop in self.draw.sample(self.loops, 2):
                loop.step(2)
                loop.let_all()

    def work_a_little(self) -> None:
        loop = self.draw.choice(self.loops)
        loop.step()
        if loop.waiting:
            loop.let(self.draw.choice(loop.waiting))

    def disturb(self) -> None:
        loop = self.draw.choice(self.loops)
        loop.step(2)
        if CALL in loop.waiting:
            loop.let(CALL, **vars(self.draw.choice(FAULTS)))

    def switch(self) -> None:
        with self.database.write() as connection:
            account_store.switch(connection, SECOND, self.draw.random() < 0.3)

    def results_come(self) -> None:
        for loop in self.loops:
            loop.model.provider.complete()
        pending = self.rows("SELECT order_id, imei FROM orders WHERE status = 'Pending' AND order_id IS NOT NULL")
        told = [(order_id, imei, self.draw.choice([*RESULTS, OrderStatus.COMPLETED])) for order_id, imei in pending]
        store_results(self.database, [IMEIOrder(*one, RESULTS[one[2]]) for one in told], result_values)

    def time_passes(self) -> None:
        self._wait(self.draw.choice([1.0, 61.0, 200.0, 3600.0]))

    def midnight_comes(self) -> None:
        """Wait until some seconds before, or after, the midnight of UTC."""
        left = 86_400 - self.clock.now % 86_400
        self._wait(max(0.0, left + self.draw.choice([-5.0, 0.0, 1.0, 40_000.0])))

    def _wait(self, seconds: float) -> None:
        end = self.clock.now + seconds
        for loop in self.loops:
            late = [one.due for one in loop.model.late if one.due <= end]
            for due in sorted(late):
                loop.model.pass_time(max(0.0, due - self.clock.now))
        self.clock.now = max(self.clock.now, end)

    # What must hold

    def check(self) -> None:
        super().check()
        if len(self.charges) != self.checked:
            self.checked = len(self.charges)
            self.check_limits()
            self.check_accounts()

    def check_limits(self) -> None:
        of_order, of_open = dict(self.rows(OF_ORDERS)), {row[:2]: row[2] for row in self.rows(OF_OPEN)}
        spent: Counter[tuple[str, int]] = Counter()
        theirs = {limit.whose: {row[0] for row in self.rows(f"SELECT id FROM batches WHERE {limit.batches}")}
                  for limit in self.limits}  # fmt: skip
        prices = dict(self.rows("SELECT id, unit_price FROM batches"))
        for charge in self.charges:
            batch_id = of_order.get(str(charge.order_id), of_open.get((charge.imei, charge.service_id)))
            assert batch_id is None or charge.credits < prices[batch_id] + 1e-6, f"dearer than confirmed: {charge}"
            for limit in self.limits:
                if batch_id in theirs[limit.whose]:
                    spent[limit.whose, int(charge.time // 86_400)] += round(charge.credits * 1_000_000)
        for charge in self.loops[1].model.charges:
            spent[SECOND, int(charge.time // 86_400)] += round(charge.credits * 1_000_000)
        dollars = {limit.whose: limit.dollars for limit in self.limits} | {SECOND: BUDGET_OF_SECOND}
        over = {key: amount for key, amount in spent.items() if amount > dollars[key[0]] * 1_000_000 + 1}
        assert not over, f"more was spent than daily limits allow: {over}"

    def check_accounts(self) -> None:
        homes = {(charge.imei, charge.service_id) for charge in self.loops[0].model.charges}
        both = homes & {(charge.imei, charge.service_id) for charge in self.loops[1].model.charges}
        both = {paid for paid in both if paid[0] not in self.of_files}
        assert not both, f"ordered through both accounts: {both}"

    def check_pages(self) -> None:
        super().check_pages()
        for batch_id, spent, count in self.rows(SUMS):
            answer: Any = self.programs[1].get(f"/batches/{batch_id}").json
            assert float(answer["spent"]) == pytest.approx(spent)
            assert answer["results"] + answer["pending"] == count
        today = self.rows("SELECT coalesce(sum(credits), 0) FROM orders WHERE order_date >= ?", str(utc_now().date()))
        account: Any = self.programs[1].get("/account").json
        assert float(account["spent_today"]) == pytest.approx(today[0][0])
        for page in PAGES:
            assert self.admin.get(page).status_code == 200, page


class _Day(datetime):
    """The time of a walk, where the program asks for that of the machine."""

    clock: Callable[[], float]

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.fromtimestamp(cls.clock(), tz)


@contextmanager
def workdays(
    settings: Settings, database: IMEIDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> Iterator[Workdays]:
    """Yield a walk that begins a minute before the midnight after tomorrow: the clock of the machine is behind it."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2, seconds=-60)
    clock = Clock(day.timestamp())
    monkeypatch.setattr(_Day, "clock", clock, raising=False)
    monkeypatch.setattr(database_module, "datetime", _Day)
    usual: dict[str, Any] = {"history": 1, "duplicates": "never", "credit": CREDIT}
    dearer = (0.75, 1.0, 1.25)[seed % 3]
    models = Model(Knobs(**usual), clock), Model(Knobs(**usual, first_order_id=FIRST_ID, price_factor=dearer), clock)
    for model in models:  # of 236 services: each page has a list of them
        packages = model.provider.packages
        model.provider.packages = {name: packages[name] for name in (SERVICE, FOLLOWED)}
    clients = [ModelClient(model, lambda _: None) for model in models]
    first, second = (Questions(services=c.get_imei_services, account=c.get_account) for c in clients)
    real = replace(settings, api_key="K", username="demo", admin_password=PASSWORD, daily_budget=BUDGET,
                   upload_retention_days=1)  # fmt: skip
    app = create_app(real, database, LocalProvider(database, first, clock, {SECOND: second}))
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    account_store.register(database, {MAIN: "", SECOND: ""})
    with started(database, folder / "kept", model=models[0]) as main:
        with database.write() as connection:
            for service_id in (SERVICE, FOLLOWED):
                write_list_limit(connection, service_id, 100)
                write_list_limit(connection, service_id, 100, SECOND)
            columns = "order_id, imei, service_id, status, attempt_id, account"
            old = ("9000001", "359999000000018", SERVICE, "Completed", 0, SECOND)
            run(connection, f"INSERT INTO orders ({columns}) VALUES (?, ?, ?, ?, ?, ?)", *old)
            account_store.change(connection, SECOND, None, BUDGET_OF_SECOND)
            balance_store.record_reading(connection, CREDIT, SECOND)
        other = Loop(database, folder / "kept_b", model=models[1], account=SECOND)
        yield Workdays(app, database, (main, other), seed)
        other.close()
        app.extensions["stopping"].set()
