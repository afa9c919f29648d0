"""Every route that changes something, of the pages and of the API, on a database of PostgreSQL.

Each is used once as its page or a program uses it. It must be taken: no error, no refusal, and the entry in the audit
log that the route declares. A route that nothing here uses fails the test.
"""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import pyotp
import pytest
from automation_scene import SECOND, Scene
from flask import Flask, message_flashed
from login_client import PASSWORD, code_of, log_in
from plain_sql import run
from simulated_provider import imeis
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, confirm_fields, fields_of, make_app
from webhook_receivers import Receivers
from werkzeug.test import TestResponse

from access import create_token, new_secret
from database import IMEIDatabase
from orders import IMEIOrder, Outcome
from people import Role, scopes_of
from settings import MAIN_ACCOUNT, Settings
from storage import account_mark, account_store
from storage.outbox import EventKind
from storage.token_store import NewToken
from web.access import ATTRIBUTE
from web.recording import READS

OTHER_MARK = '{"mode": "live", "base_url": "https://other.example", "user": "somebody else"}'
EXPORT = (
    b"SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE\r\n"
    b"Old service,353370080089458,$0.08,Completed,Model: iPhone,,T-Mobile,Locked,iPhone,ON,2025-11-14 3:33\r\n"
)
SCHEDULE = {"name": "Second stage", "service_id": SECOND, "max_price": "", "daily_limit": "25"}
NEW_PASSWORD = "another horse battery"


@dataclass
class Walk:
    """An admin at a browser and a program with a token, and the routes that they have used."""

    app: Flask
    database: IMEIDatabase
    provider: Provider
    used: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)  #: that a page shows after a form

    def __post_init__(self) -> None:
        self.browser = Browser(self.app)
        token = create_token(self.database, NewToken("program", Role.ADMIN, scopes_of(Role.ADMIN)))
        self.headers = {"Authorization": f"Bearer {token}"}
        message_flashed.connect(self.note, self.app)

    def note(self, _app: Flask, message: str, category: str) -> None:
        self.errors += [message] * (category == "error")

    def address(self, endpoint: str, values: dict[str, Any], method: str = "POST") -> str:
        self.used.add(endpoint)
        return self.app.url_map.bind("localhost").build(endpoint, values, method)

    def taken(self, endpoint: str, answer: TestResponse) -> TestResponse:
        assert answer.status_code < 400, f"{endpoint}: {answer.status_code} {answer.text[-500:]}"
        assert self.errors == [], endpoint
        return answer

    def post(self, endpoint: str, form: dict[str, Any] | None = None, query: str = "", **values: Any) -> TestResponse:
        """Send a form, which must be taken."""
        return self.taken(endpoint, self.browser.post(self.address(endpoint, values) + query, form))

    def press(self, endpoint: str, page: str, form: dict[str, Any] | None = None, **values: Any) -> TestResponse:
        """Send the form of a page, with what it shows."""
        shown = fields_of(self.browser.get(page).text, self.address(endpoint, values))
        return self.post(endpoint, shown | (form or {}), **values)

    def call(self, method: str, endpoint: str, body: Any = None, **values: Any) -> Any:
        """Send a request of a program; return the JSON of its answer."""
        url = self.address(endpoint, values, method)
        return self.taken(
            endpoint, self.app.test_client().open(url, method=method, json=body, headers=self.headers)
        ).json

    def paste(self, numbers: list[str]) -> str:
        """Paste IMEIs; return the token of the upload."""
        answer = self.post("preview.upload", {"imeis": "\n".join(numbers), "service_id": CARRIER.package_id})
        return str(answer.location).rsplit("/", 1)[1]

    def started(self, numbers: list[str]) -> int:
        """Order IMEIs by a preview; return the batch."""
        token = self.paste(numbers)
        form = confirm_fields(self.browser.get(f"/batch/preview/{token}").text)
        return int(str(self.post("preview.confirm", form, token=token).location).rsplit("/", 1)[1])

    def rows(self, query: str) -> list[Any]:
        with self.database.read() as connection:
            return [tuple(row) for row in run(connection, query)]


@pytest.fixture
def walk(settings: Settings, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password=PASSWORD)
    provider = Provider(list(SERVICES))
    app = make_app(real, server_database, provider)
    Receivers(server_database, real).subscribe("a.example", *EventKind)
    yield Walk(app, server_database, provider)
    app.extensions["stopping"].set()


def test_every_route_that_changes_something_is_taken_and_recorded(walk: Walk) -> None:
    for part in PARTS:
        part(walk)
    views = {
        rule.endpoint: getattr(walk.app.view_functions[rule.endpoint], ATTRIBUTE)
        for rule in walk.app.url_map.iter_rules()
        if set(rule.methods or ()) - set(READS)
    }
    assert views.keys() - walk.used == set(), "use these here, too"
    recorded = {action for (action,) in walk.rows("SELECT DISTINCT action FROM audit_entries")}
    assert {view.action for view in views.values()} - recorded == {""}


def account(walk: Walk) -> None:
    assert log_in(walk.browser.client).status_code == 303
    secret = new_secret()
    walk.used.add("login.login")
    walk.post("second_factor.store", {"secret": secret, "code": pyotp.TOTP(secret).now()})
    walk.post("second_factor.renew")
    walk.post("second_factor.prove", {"password": PASSWORD, "code": code_of(walk.app, "admin")})
    walk.post("account.change_password", {"current": PASSWORD, "password": NEW_PASSWORD})
    walk.post("account.end")
    walk.post("account.choose_service", {"service_id": CARRIER.package_id})


def users(walk: Walk) -> None:
    form = {"name": "berta", "role": "viewer", "password": NEW_PASSWORD, "daily_limit": "5"}
    user_id = int(str(walk.post("users.add", form).location).rsplit("/", 1)[1])
    walk.post("users.change", {"role": "operator", "daily_limit": "7"}, user_id=user_id)
    walk.post("users.password", {"password": PASSWORD}, user_id=user_id)
    for endpoint in ("users.end", "users.reset_factor", "users.turn_off", "users.turn_on"):
        walk.post(endpoint, user_id=user_id)
    assert walk.rows("SELECT role, daily_limit, disabled_at FROM users WHERE name = 'berta'") == [
        ("operator", 7.0, None)
    ]
    walk.post("tokens.create", {"name": "shop", "role": "viewer", "days": "30"})
    [(token_id,)] = walk.rows("SELECT id FROM api_tokens WHERE name = 'shop'")
    walk.post("tokens.revoke", token_id=token_id)


def batches(walk: Walk) -> None:
    batch_id = walk.started(imeis(4))
    for endpoint in ("batches.pause", "batches.resume", "batches.ask_for_results"):
        walk.post(endpoint, batch_id=batch_id)
    walk.post("batches.rename", {"name": "Stock", "customer": "ACME"}, batch_id=batch_id)
    walk.post("batches.cancel", batch_id=batch_id)
    walk.post("batches.retry", batch_id=batch_id)
    assert walk.rows(f"SELECT state, customer FROM batches WHERE id = {batch_id}") == [("finished", "ACME")]
    walk.post("report_links.create", {"days": "7", "csv": "1"}, batch_id=batch_id)
    walk.post("report_links.revoke", batch_id=batch_id, link_id=1)
    one, other = imeis(2, 30)
    walk.post("submit.order", {"imei": one, "service_id": CARRIER.package_id})
    walk.post("submit.order_and_follow", {"imei": other, "service_id": CARRIER.package_id}).close()
    walk.post("overview.mark_favourite", {"mark": CARRIER.package_id})
    walk.post("customers.set_default", {"customer": "ACME", "service_id": SECOND})


def previews(walk: Walk) -> None:
    token = walk.paste(imeis(3, 40))
    walk.press("preview.options", f"/batch/preview/{token}", {"customer": "ACME"}, token=token)
    walk.post("customers.use_default", token=token)
    page = f"/batch/preview/{token}/split"
    form = confirm_fields(walk.browser.get(page).text)
    walk.post("split.choose", form, token=token)
    walk.post("split.confirm", form, token=token)
    walk.post("customers.rename", {"customer": "ACME", "new": "Acme Ltd"})


def orders_and_tags(walk: Walk) -> None:
    """What is under way is ordered and has results: every second one is rejected."""
    answer_chunks(walk.database)
    [batch_id] = walk.rows("SELECT max(id) FROM batches")[0]
    with walk.database.write() as connection:
        status = "CASE id % 2 WHEN 0 THEN 'Rejected' ELSE 'Completed' END"
        run(connection, f"UPDATE orders SET status = {status}, carrier = 'T-Mobile', fmi = 'OFF'")
    ids = [(row, order_id) for row, order_id in walk.rows("SELECT id, order_id FROM orders ORDER BY id")]
    walk.post("tags.of_batch", {"add_tag": "Sold"}, batch_id=batch_id)
    walk.post("tags.of_order", {"add_tag": "sold, kept"}, order_id=ids[0][1])
    walk.post("tags.of_rows", {"row": [row for row, _ in ids], "add_tag": "mine"})
    walk.post("tags.rename", {"old": "mine", "new": "ours", "tag": "ours"})
    walk.post("tags.delete", {"old": "ours"})
    assert walk.rows("SELECT count(*) FROM order_tags WHERE tag = 'kept'") == [(1,)]


def disputes(walk: Walk) -> None:
    rejected = walk.rows("SELECT id, order_id FROM orders WHERE status = 'Rejected' ORDER BY id")
    good = walk.rows("SELECT order_id FROM orders WHERE status = 'Completed' ORDER BY id")
    walk.post("disputes.open_disputes", {"kind": "rejected", "all": "1"})
    page = walk.post("disputes.open_of_order", {"note": "It is locked"}, order_id=good[0][0]).location
    dispute_id = int(str(page).rsplit("/", 1)[1])
    walk.post("disputes.change", {"note": "Thank you"}, dispute_id=dispute_id)
    walk.post("disputes.take_steps", {"state": "open", "to": "sent", "all": "1"})
    walk.post("disputes.refund", {"amount": "0.08", "day": "2026-11-25"}, dispute_id=dispute_id)
    pasted = {"list": "\n".join(f"{order_id} 0.08" for _, order_id in rejected), "day": "2026-11-26"}
    shown = walk.post("refunds.preview", pasted).text
    seen = re.search(r'name="seen" value="(\w+)"', shown)
    assert seen
    walk.post("refunds.record", pasted | {"seen": seen[1]})
    refunded = walk.rows("SELECT count(*) FROM disputes WHERE state = 'refunded'")
    assert refunded == [(len(rejected) + 1,)]


def doubt(walk: Walk) -> None:
    batch_id = walk.started(imeis(3, 60))
    answer_chunks(walk.database, lambda imei: (Outcome.IN_DOUBT, "no readable answer"))
    with walk.database.write() as connection:  # long enough ago for the provider to be done with it
        run(connection, "UPDATE attempts SET sent_at = '2026-01-01', ended_at = '2026-01-01'")
    rows = walk.rows(f"SELECT id, imei FROM items WHERE batch_id = {batch_id} ORDER BY id")
    walk.provider.orders = (IMEIOrder("15990001", rows[0][1], "Pending", "", CARRIER.package_id),)
    walk.post("doubt.ask", batch_id=batch_id)
    walk.post("doubt.placed", {"item_id": rows[0][0], "order_id": "15990001"}, batch_id=batch_id)
    walk.post("doubt.undo", {"order_id": "15990001"}, batch_id=batch_id)
    ((newest,),) = walk.rows("SELECT max(id) FROM attempts")
    walk.post("doubt.not_placed", {"item_id": [rows[1][0]], "sure": "on", "newest": newest}, batch_id=batch_id)
    walk.post("doubt.undo_not_placed", batch_id=batch_id)
    query = f"SELECT outcome, count(*) FROM items WHERE batch_id = {batch_id} GROUP BY outcome"
    assert walk.rows(query) == [("in_doubt", 3)]


def history(walk: Walk) -> None:
    unknown = imeis(2, 80)
    search = str(walk.post("searches.save", {"imeis": "\n".join(unknown)}).location).rsplit("/", 1)[1]
    walk.post("searches.order_missing", {"service_id": CARRIER.package_id}, search_id=search)
    walk.post("saved_filters.save", {"name": "Open", "shared": "1"}, query="?fmi=OFF")
    walk.post("saved_filters.change", {"name": "Off"}, filter_id=1)
    walk.post("saved_filters.delete", filter_id=1)
    walk.post("column_choice.choose", {"list": "history", "shown": ["model", "carrier"], "next": "/history"})
    walk.post("orders.preview_recheck", {"service_id": SECOND}, query="?fmi=OFF")
    walk.post("orders.sync_now")
    form = {"service_id": CARRIER.package_id, "prices": f"{CARRIER.package_id}:{CARRIER.price:.6f}", "session": "desk"}
    walk.post("scan.scan", form | {"imei": imeis(1, 90)[0]})
    assert walk.post("scan.check", form | {"imei": imeis(1, 91)[0]}).json
    walk.post("scan.new_session", {"session": "desk"})


def automations(walk: Walk) -> None:
    form = fields_of(walk.browser.get("/automations/new?fmi=OFF").text, "/automations")
    page = str(walk.post("automations.create", form | SCHEDULE).location)
    automation_id = int(page.rsplit("/", 1)[1])
    walk.press("automations.change", page, {"daily_limit": "50"}, automation_id=automation_id)
    walk.press("automations.trial", page, automation_id=automation_id)
    walk.press("automations.run", page, automation_id=automation_id)
    walk.press("automations.turn_on", page, {"sure": "on"}, automation_id=automation_id)
    walk.press("automations.turn_off", page, automation_id=automation_id)
    Scene(walk.database, walk.app.extensions["backend"]).turn()
    assert walk.rows("SELECT count(*) FROM automation_runs WHERE batch_id IS NOT NULL") == [(1,)]


def notices(walk: Walk) -> None:
    host = {"url": "https://hooks.example/in", "description": "Shop", "events": [EventKind.BATCH_COMPLETE.value]}
    walk.post("notices.add", host)
    [(webhook_id,)] = walk.rows("SELECT max(id) FROM webhooks")
    walk.post("notices.change", host | {"description": "Other"}, webhook_id=webhook_id)
    for endpoint in ("notices.test_webhook", "notices.rotate", "notices.turn_off", "notices.turn_on"):
        walk.post(endpoint, webhook_id=webhook_id)
    Receivers(walk.database, walk.app.extensions["settings"]).turn()
    walk.post("notices.send_again", delivery_id=walk.rows("SELECT min(id) FROM deliveries")[0][0])
    walk.post("notices.delete", webhook_id=webhook_id)
    walk.post("notices.test_people")


def settings_pages(walk: Walk) -> None:
    rule = {"verdict": ["fail"], "condition": ["blacklisted"], "value": [""], "service": [""]}
    tried = re.search(r'name="tried" value="(\w*)"', walk.post("settings.edit", rule | {"action": "try"}).text)
    assert tried
    walk.post("settings.edit", rule | {"action": "save", "tried": tried[1]})
    walk.post("settings.save_stop_loss", {"percent": "30", "first": "100"})
    walk.post("audit_log.check")
    walk.post("models.import_list", {"file": (BytesIO(b"TAC,Model\n35337008,iPhone 14\n"), "tacs.csv")})
    walk.post("models.forget")
    shown = str(walk.post("imports.upload", {"file": (BytesIO(EXPORT), "export.csv")}).location)
    walk.post("imports.confirm", token=shown.rsplit("/", 1)[1])
    walk.post("imports.undo", import_id=1)
    walk.post("overview.check_database")
    walk.post("overview.backup")


def api(walk: Walk) -> None:
    order = {"service_id": CARRIER.package_id, "imeis": imeis(2, 110), "start": False}
    batch_id = walk.call("POST", "api_batches.create", order)["id"]
    for endpoint in ("api_batches.resume_6", "api_batches.pause", "api_batches.resume", "api_batches.stop"):
        walk.call("POST", endpoint, batch_id=batch_id)
    walk.call("PATCH", "api_batches.rename", {"label": "Invoice 4711"}, batch_id=batch_id)
    assert walk.rows(f"SELECT label FROM batches WHERE id = {batch_id}") == [("Invoice 4711",)]
    walk.call("POST", "api_checks.create", {"imei": imeis(1, 120)[0], "service_id": CARRIER.package_id})
    walk.call("POST", "api_exports.create", {"fmi": "OFF"})
    walk.call("POST", "api_orders.search", {"imeis": imeis(2, 130)})
    rules = walk.browser.client.get("/api/v1/rules", headers=walk.headers).json
    assert rules
    walk.call("PUT", "api_account.change_rules", {"version": rules["version"], "rules": rules["rules"][:1]})


def provider_accounts(walk: Walk) -> None:
    """The second account is made last: with it, each order depends on more."""
    account_store.register(walk.database, {MAIN_ACCOUNT: "", "b": ""})
    walk.post("accounts.change", {"rate_limit": "60", "daily_budget": "5"}, name="b")
    for endpoint in ("accounts.switch_off", "accounts.switch_on", "accounts.retry"):
        walk.post(endpoint, name="b")
    assert walk.rows("SELECT rate_limit, is_off FROM provider_accounts WHERE name = 'b'") == [(60, False)]
    walk.database.set_setting(account_mark.ACCOUNT, OTHER_MARK)
    walk.post("overview.adopt_account", {"sure": "on"})
    walk.post("login.logout")


PARTS: tuple[Callable[[Walk], None], ...] = (
    account,
    users,
    batches,
    previews,
    orders_and_tags,
    disputes,
    doubt,
    history,
    automations,
    notices,
    settings_pages,
    api,
    provider_accounts,
)
