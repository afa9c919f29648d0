"""The app on a temporary database, a client that sends CSRF tokens, and functions that answer chunks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from handmade_calls import record_outcomes
from local_provider import LocalProvider
from plain_sql import run
from sqlalchemy import Connection
from werkzeug.test import TestResponse

from account.answerer import Questions
from database import IMEIDatabase, utc_now
from gsm_fusion_client import NotSentError, RefusalKind, RefusedError
from orders import Account, Chunk, IMEIOrder, Item, ItemOutcome, Outcome, ServiceInfo
from settings import Settings
from storage import batch_states, call_queries
from storage.batch_creation import NewBatch, create_batch
from web.auth import FORM_COOKIE
from web_app import create_app

CARRIER = ServiceInfo("1739", "10-7.1# Apple iPhone IMEI Carrier + Simlock + FMI", 0.08, "Instant", "Apple")
MAIL = ServiceInfo("102", "Factory Unlock", 3.0, "1-24 Hours", "Unlock", required_fields=("Email",))
SERVICES = [CARRIER, MAIL, ServiceInfo("269", "T-Mobile USA - Status Check", 0.1, category="Network")]


@dataclass
class Provider:
    """The answers of the injected provider functions; tests change them."""

    services: list[ServiceInfo]
    credits: float | None = 150.0
    down: bool = False
    asked: int = 0
    orders: tuple[IMEIOrder, ...] = ()  #: those that it finds by their ids

    def list_services(self) -> list[ServiceInfo]:
        self.asked += 1
        if self.down:
            raise NotSentError("The provider is in maintenance.")
        return self.services

    def account(self) -> Account:
        if self.down:
            raise NotSentError("The provider is in maintenance.")
        return Account(self.credits, f"$ {self.credits} USD")


def find_order(provider: Provider, order_id: str) -> list[IMEIOrder]:
    """Answer getimeis for one id; an unknown id is refused."""
    if provider.down:
        raise NotSentError("The provider is in maintenance.")
    found = [order for order in provider.orders if order.id == order_id]
    if not found:
        raise RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID")
    return found


def make_app(settings: Settings, database: IMEIDatabase, provider: Provider) -> Flask:
    questions = Questions(
        services=provider.list_services, account=provider.account, order=partial(find_order, provider)
    )
    app = create_app(settings, database, LocalProvider(database, questions))
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.update()  # SharedMap would do it in the first request, whose time and memory may be measured
    return app


class Browser:
    """A client that sends the token of the session with each form."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self._cookies = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        self._token = ("", "")  #: what the session had, and the token that a page had of it

    def get(self, url: str, **more: Any) -> TestResponse:
        return self.client.get(url, **more)

    def post(self, url: str, data: Mapping[str, Any] | None = None, **more: Any) -> TestResponse:
        return self.client.post(url, data={"csrf_token": self._kept_token(), **(data or {})}, **more)

    def _kept_token(self) -> str:
        """Return the token of a page of this session that was loaded before: a page takes as long as many a form."""
        if not self._token[0] or self._token[0] != self._in_session():
            token = self.token()
            self._token = (self._in_session(), token)
        return self._token[1]

    def _in_session(self) -> str:
        cookie = self.client.get_cookie(FORM_COOKIE)
        return str(self._cookies.loads(cookie.value).get("csrf_token", "")) if cookie else ""

    def token(self) -> str:
        """Return the token of a page that is loaded for it."""
        found = re.search(r'name="csrf-token" content="([^"]+)"', self.get("/nothing-here").text)
        assert found
        return found[1]

    def upload(self, content: bytes, name: str = "stock.csv", service_id: str = CARRIER.package_id) -> TestResponse:
        return self.post("/batch", {"file": (BytesIO(content), name), "service_id": service_id})

    def paste(self, imeis: Sequence[str], service_id: str = CARRIER.package_id) -> str:
        """Paste these IMEIs; return the address of the preview."""
        answer = self.post("/batch", {"imeis": "\n".join(imeis), "service_id": service_id})
        assert answer.status_code == 303, words(answer)
        return answer.location

    def confirm(self, preview: str, **more: str) -> TestResponse:
        """Press the button on the preview, with all fields of its form."""
        page = self.get(preview).text
        return self.post(preview, confirm_fields(page) | more)

    def led_back(self, answer: TestResponse) -> TestResponse:
        """Return the page to which a refused form redirects: Back and Reload send nothing again."""
        assert answer.status_code == 303, words(answer)
        return self.get(answer.location)

    def start(self, imeis: Sequence[str]) -> int:
        """Create a confirmed batch of these IMEIs; return its id."""
        answer = self.confirm(self.paste(imeis))
        assert answer.status_code == 303, words(answer)
        return int(answer.location.rsplit("/", 1)[1])


class FormFields(HTMLParser):
    """Collect what a browser would send of the form with the given id, without the CSRF token."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._form, self._inside, self._select, self._text = form, False, "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._inside = given.get("id") == self._form
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = given.get("value", "")
        elif tag in ("input", "select", "textarea") and name and (self._inside or given.get("form") == self._form):
            if tag == "select":
                self._select = name
            elif tag == "textarea":
                self._text, self.fields[name] = name, ""
            elif name != "csrf_token" and ("checked" in given or given.get("type") not in ("checkbox", "radio")):
                self.fields[name] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._text = ""


def confirm_fields(page: str) -> dict[str, str]:
    """Return what a browser sends when the button of a preview is pressed; {} where there is no such button."""
    if "data-confirm" not in page:
        return {}
    form = FormFields("options")
    form.feed(page)
    return form.fields


def fields_of(page: str, action: str) -> dict[str, str]:
    """The fields of the form that is sent to an address, as a browser would send them."""
    found = re.search(rf'<form method="post" action="{action}".*?</form>', page, re.DOTALL)
    assert found, action
    form = FormFields("this")
    form.feed(found[0].replace("<form", '<form id="this"', 1))
    return form.fields


@pytest.fixture(name="provider")
def provider_fixture() -> Provider:
    return Provider(list(SERVICES))


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase, provider: Provider) -> Iterator[Flask]:
    made = make_app(settings, database, provider)
    yield made
    made.extensions["stopping"].set()


@pytest.fixture(name="browser")
def browser_fixture(app: Flask) -> Browser:
    return Browser(app)


def answer_chunks(
    database: IMEIDatabase, becomes: Callable[[str], tuple[Outcome, str]] = lambda imei: (Outcome.ORDERED, "")
) -> None:
    """Answer all planned chunks as the runner does. becomes: IMEI → (outcome, message)."""
    with database.write() as connection:
        for running in batch_states.running_batches(connection):
            for chunk_id, _ in call_queries.planned_chunks(connection, running.batch_id, 1000):
                chunk = send_chunk(connection, chunk_id, running.batch_id, running.service_id)
                record_outcomes(
                    connection, chunk, [_outcome_of(i.item_id, i.imei, *becomes(i.imei)) for i in chunk.items]
                )


def send_chunk(connection: Connection, chunk_id: int, batch_id: int, service_id: str) -> Chunk:
    """Move a chunk from planned to sending, with its row in attempts."""
    now = utc_now().isoformat(" ")
    run(connection, "UPDATE chunks SET state = 'sending', attempt = 1 WHERE id = ?", chunk_id)
    run(connection, "UPDATE batches SET started_at = ? WHERE id = ?", now, batch_id)
    insert = "INSERT INTO attempts (chunk_id, number, imeis, sent_at) VALUES (?, 1, 1, ?) RETURNING id"
    attempt = run(connection, insert, chunk_id, now).scalar_one()
    listed = run(connection, "SELECT id, imei FROM items WHERE chunk_id = ? ORDER BY id", chunk_id)
    return Chunk(chunk_id, batch_id, service_id, 1, attempt, tuple(Item(row.id, row.imei) for row in listed))


def _outcome_of(item_id: int, imei: str, outcome: Outcome, message: str) -> ItemOutcome:
    order_id = f"15{item_id:06d}" if outcome is Outcome.ORDERED else None
    return ItemOutcome(item_id, imei, outcome, order_id, message=message)


def words(answer: TestResponse) -> str:
    """Return the text of the page, without markup."""
    text = re.sub(r"<(script|style|svg|option)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    return " ".join(text.replace("&#39;", "'").replace("&amp;", "&").split())


def order_batch(database: IMEIDatabase, numbers: list[str], service: ServiceInfo = CARRIER) -> int:
    """Create a finished batch of these IMEIs; return its id."""
    batch_id = create_batch(
        database,
        NewBatch(
            "stock.csv",
            "upload",
            service.package_id,
            service.title,
            service.price,
            [(n, None) for n in numbers],
        ),
    )
    answer_chunks(database)
    return batch_id
