"""A server full of people, batches and files, hostile values for its requests, and the judge of its answers."""

import re
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

from automation_scene import store_automation
from doubtful_call import in_doubt
from flask import Flask
from flask.testing import FlaskClient
from graded_orders import listed, result_text
from simulated_provider import imeis
from stored_people import add_token, add_user
from web_client import CARRIER, SERVICES, Provider, answer_chunks, make_app, order_batch
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from access import begin_session, create_link
from account.answerer import ACCOUNT
from account.call_counting import CALL_COUNTS
from account.state import PROVIDER_STATE
from backend import backend
from database import IMEIDatabase, utc_now
from people import Actor, Role
from schema import metadata
from settings import MAIN_ACCOUNT, Settings
from storage import account_store, dispute_store, outbox, scan_store, user_store, webhook_store
from storage.delivery_store import add_test
from storage.link_store import NewLink
from storage.saved_filter_store import save_filter
from storage.scan_store import NewScan
from storage.tag_store import tag_batches
from web import XLSX, status_report
from web.auth import HEADERS as WANTED_HEADERS
from web.auth import SESSION_COOKIE, unmasked

#: Processor seconds that one answer may take.
LONGEST = 2.0
#: What template languages would calculate, and the result that no answer may hold.
#: The result is long, so that no random id holds it by chance.
SUM, RESULT = "1009*104729*13", "1373730293"
#: Values for paths, parameters and fields.
HOSTILE: tuple[bytes, ...] = tuple(
    text.encode() if isinstance(text, str) else text
    for text in (
        "", " ", "0", "-1", "3.5", "1e999", "-0", "nan", "inf", "0x10", "1_000", "٣", "²", "Ⅷ",
        "9" * 19, "9" * 30, "9" * 5000, str(2**31), str(2**62), str(2**63), str(-(2**63) - 1), "true", "null", "[]",
        "{}",
        "0000-00-00", "9999-12-31", "10000-01-01", "2026-02-30", "1:2:3", "1:" + "9" * 40, ":", "|", "7|1|x",
        f"{{{{{SUM}}}}}${{{SUM}}}<%={SUM}%>#{{{SUM}}}{{%print({SUM})%}}", "%s%n%(x)s{0.__class__}{x!r}",
        "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "javascript:alert(1)", "]]>&#0;&amp;",
        "1' OR '1'='1'; DROP TABLE orders;--", "%_\\\"`) UNION SELECT password_hash FROM users--", "*?[a-z]",
        "-1 OR 1=1",
        "a\0b", "\x01\x07\x1b[31m\x7f\x85", "\u2028\u202e\ufeff\u200b", "a\r\nSet-Cookie: evil=1\r\n\r\nx", "\n", "\t",
        "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "C:\\con", "%2e%2e%2f%2e%2e", "....//",
        "file:///etc/passwd", "NUL", "aux.csv", ".", "..", "//127.0.0.9/evil", "https://127.0.0.9/evil",
        "$(id)`id`|id;",
        "x" * 3000, "é" * 300, "🏴‍☠️" * 50, "e\u0301" * 200, b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe2\x82",
        "IMEI".encode("utf-16"), "+ADw-script+AD4-", "http://[", "http://a:b/", "http://localhost:99999/", "," * 500,
    )
)  # fmt: skip
#: Paths of no route, or of a route in another form.
NOWHERE = (
    "/%00", "/%ff", "/static/%00", "/static/..%2f..%2fetc%2fpasswd", "/static/../web_app.py", "/static//etc/passwd",
    "/static/%2e%2e/schema/access_tables.py", "/static/css%5c..%5c..%5cweb_app.py", "//", "/\\",
    "/%0d%0aSet-Cookie:%20evil=1", "/batches/1%2f..%2f2", "/batches/1;x=1", "/batches//1", "/BATCHES/1", "/batches/1/",
    "/api/v1/../../settings", "/api", "/api/v2/batches", "/.env", "/.git/config", "/imei_orders.db",
    "/exports/../imei_orders.db",
    "/database/backup/../../imei_orders.db", "/%2e%2e/%2e%2e/etc/passwd", "/login/%2e%2e/settings", "/" + "a/" * 2000,
)  # fmt: skip
#: Bodies that are no good JSON for any route, or take long to read.
JSONS: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"[" * 20_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900,
    b'{"imeis":' + b"9" * 5000 + b"}",
    b'{"service_id":NaN}', b'{"service_id":1e999,"imeis":[]}', b'{"imeis":{"a":[{}]},"service_id":[]}',
    b"\xff\xfe{\0}\0",
    b'{"service_id":"\\ud800","imeis":["\\u0000"],"label":"\\ud800\\r\\n"}', '{"imeis":["x"]}'.encode("utf-16"),
    b"\xef\xbb\xbf{}",
    b'{"service_id":"269","service_id":"1739","imeis":["1"],"imeis":[]}', b'{"__proto__":{"a":1},"constructor":{}}',
    b'{"imeis":[' + b"1," * 30_000 + b"1]}", b'{"label":"' + b"x" * 300_000 + b'"}',
    b'{"start":"yes","imeis":[1,2.5,null,true,[]]}',
    b"imeis=1&service_id=2", b"<a/>", b'{"imeis":["' + b"9" * 100_000 + b'"],"service_id":"269"}',
)  # fmt: skip
TYPES = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "x" * 2000, "text/plain", "application/xml", "application/json; charset=utf-16",
    "application/x-www-form-urlencoded; charset=utf-7", "\xff", "/", "a/b; c=\"", "",
)  # fmt: skip
HEADERS = (
    "Referer", "Origin", "Cookie", "Accept", "Accept-Encoding", "Accept-Language", "Range", "If-Range", "If-None-Match",
    "If-Modified-Since", "Authorization", "Content-Type", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto",
    "Sec-Fetch-Mode", "X-CSRFToken", "User-Agent", "Content-Length", "Idempotency-Key",
)  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "X" * 100)
#: Tables that a refused request may change, and columns that each request may.
LOGS = frozenset({"audit_entries", "login_failures", "provider_requests", "services", "listed_orders"})
#: Rows of the table of settings that remember what the provider answered.
REMEMBERED = (ACCOUNT, PROVIDER_STATE, CALL_COUNTS)
VISITS = frozenset({"seen_at", "used_at", "used_from", "opened_at", "opens"})
#: What no answer may hold: it tells about the machine, or something was run.
LEAKS = re.compile(
    r"Traceback|site-packages|File &#34;|File \"|sqlite3?\.|sqlalchemy|OperationalError|werkzeug\.|jinja2|root:x:0"
    rf"|{RESULT}"
)
#: What no page may hold: markup of the request.
MARKUP = re.compile("<script>alert|<img src=x")


#: Variables of paths whose value is the only row of its table.
FIRSTS = (
    "webhook_id", "delivery_id", "token_id", "search_id", "import_id", "check_id", "dispute_id", "link_id",
    "automation_id", "run_id", "filter_id",
)  # fmt: skip
#: Pages that show admins where the data is.
FOR_ADMINS = ("/database", "/status")


class SpiedFields(ImmutableMultiDict[str, Any]):
    """The fields or parameters of a request; remembers which of them the program has read."""

    read: ClassVar[set[str]] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def getlist(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Return the values of one field."""
        self.read.add(key)
        return super().getlist(key, *args, **kwargs)


@dataclass
class House:
    """The app with real credentials, and what its people have made."""

    app: Flask
    database: IMEIDatabase
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)  #: variable of a path → a value that exists
    fields: dict[str, str] = field(default_factory=dict)  #: name of a field → a value that is valid in most forms
    people: dict[str, Actor] = field(default_factory=dict)
    tokens: dict[Role, str] = field(default_factory=dict)
    bars: dict[int, dict[str, Any]] = field(default_factory=dict)  #: version of the database → state on each page

    def __post_init__(self) -> None:
        self.watching = sqlite3.connect(self.database.path)
        self.app.context_processor(lambda: {"status_bar": self.status_bar})

    def client(self, name: str) -> FlaskClient:
        """Return a browser in which this user is logged in, whose forms have a CSRF token; "" for nobody."""
        client = self.app.test_client()
        if name:
            user_id = self.people[name].user_id or 0
            cookie = begin_session(self.database, user_id, "127.0.0.1", "Firefox", utc_now())
            client.set_cookie(SESSION_COOKIE, cookie)
        found = re.search(
            r'name="csrf[_-]token" (?:value|content)="([^"]+)"', client.get("/nothing-here" if name else "/login").text
        )
        assert found
        assert unmasked(found[1])
        client.environ_base["HTTP_X_CSRFTOKEN"] = found[1]
        return client

    def path(self, rule: Rule, **others: str) -> str:
        """Return the path of a rule; others: values that replace those that exist, percent-encoded."""
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: {**self.ids, **others}[found[1]], rule.rule)
        return path.replace("/database/import/" + self.ids["token"], "/database/import/" + self.ids["import_token"])

    def headers(self, rule: Rule, role: Role = Role.ADMIN) -> dict[str, str]:
        """Return the headers of a program where a route takes nothing but tokens."""
        return {"Authorization": f"Bearer {self.tokens[role]}"} if rule.rule.startswith("/api/") else {}

    def rules(self) -> list[Rule]:
        """Return every rule of the app, in a fixed order."""
        return sorted(self.app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ())))

    def rows(self) -> dict[str, int]:
        """Return table → digest of its rows, without the columns that each visit changes."""
        found = {}
        for table in metadata.sorted_tables:
            columns = ", ".join(f'"{column.name}"' for column in table.c if column.name not in VISITS)
            rows = self.watching.execute(f'SELECT {columns} FROM "{table.name}"')
            found[table.name] = hash(tuple(sorted(repr(row) for row in rows if row[0] not in REMEMBERED)))
        return found

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        return int(self.watching.execute("PRAGMA data_version").fetchone()[0])

    def status_bar(self) -> dict[str, Any]:
        """Return the state that each page shows, read again when another connection has written."""
        version = self.version()
        if version not in self.bars:
            with self.app.app_context():
                self.bars = {version: status_report(backend())}
        return self.bars[version]


class Judge:
    """Sends requests, and collects what is wrong with the answers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.wrong: list[str] = []
        self.accepted: set[str] = set()  #: endpoints that changed rows
        self._folders = (str(house.folder), str(Path(__file__).parents[2]))
        self._rows, self._version = house.rows(), house.version()

    def ask(
        self, client: FlaskClient, method: str, path: str, may_change: Collection[str] = (), **more: Any
    ) -> TestResponse:
        """Send a request and judge its answer. may_change: tables that it may change if it is accepted."""
        began = time.process_time()
        answer = client.open(path, method=method, follow_redirects=False, buffered=False, **more)
        text = _text_of(answer)
        seconds = time.process_time() - began
        asked = f"{method[:9]} {path[:200]} {str(more)[:300]}: {answer.status_code}"
        if answer.status_code >= 500 and not _is_documented(answer, text):
            self.wrong.append(f"{asked} is no answer: {text[:300]}")
        if found := self._leak(path, answer, text):
            self.wrong.append(f"{asked} holds {found}")
        if seconds > LONGEST:
            self.wrong.append(f"{asked} took {seconds:.1f} s")
        self._check_headers(asked, answer)
        self._check_rows(asked, may_change if answer.status_code < 400 else ())
        return answer

    def browser(self, name: str) -> FlaskClient:
        """Return a browser in which this user has just logged in."""
        client = self.house.client(name)
        self._rows, self._version = self.house.rows(), self.house.version()
        return client

    def check(self) -> None:
        """Fail with the first things that are wrong."""
        assert not self.wrong, f"{len(self.wrong)} answers:\n" + "\n".join(self.wrong[:20])

    def _leak(self, path: str, answer: TestResponse, text: str) -> str:
        """Return what an answer holds and must not hold; "" for none."""
        patterns = [LEAKS] + ([MARKUP] if answer.mimetype == "text/html" else [])
        found = next(filter(None, (pattern.search(text) for pattern in patterns)), None)
        folders = () if path.startswith(FOR_ADMINS) else self._folders
        return found[0] if found else next((folder for folder in folders if folder in text), "")

    def _check_headers(self, asked: str, answer: TestResponse) -> None:
        wanted = {*WANTED_HEADERS, "X-Request-ID"}
        if missing := wanted - set(answer.headers.keys()):
            self.wrong.append(f"{asked} lacks {sorted(missing)}")
        if "evil" in answer.headers.get("Set-Cookie", "") or _host_of(answer) not in ("", "localhost"):
            self.wrong.append(f"{asked} sets a header of the request")

    def _check_rows(self, asked: str, may_change: Collection[str]) -> None:
        version = self.house.version()
        if version == self._version:
            return
        rows = self.house.rows()
        changed = {name for name, digest in rows.items() if digest != self._rows[name]} - LOGS
        if changed - set(may_change):
            self.wrong.append(f"{asked} changed {sorted(changed)}")
        self._rows, self._version = rows, version


def _text_of(answer: TestResponse) -> str:
    """Return the body; of an event stream its beginning, because it may never end."""
    if answer.mimetype != "text/event-stream":
        data = answer.get_data()
        return "" if answer.mimetype == XLSX else data.decode("utf-8", "replace")
    first = next(answer.iter_encoded(), b"")
    answer.close()
    return first.decode()


def _host_of(answer: TestResponse) -> str:
    found = re.match(r"(?:\w+:)?//([^/]*)", answer.headers.get("Location", ""))
    return found[1] if found else ""


def _is_documented(answer: TestResponse, text: str) -> bool:
    """Return whether this is a 503 that says what to do."""
    return answer.status_code == 503 and re.search("Try again|too many|Too many", text) is not None


def make_house(settings: Settings, database: IMEIDatabase) -> House:
    """Return the app with users of each role, a second operator, and something of everything that has an address."""
    provider = Provider(list(SERVICES))
    near = (ip_network("127.0.0.1"),)
    real = replace(settings, api_key="SECRET-KEY", username="someone", trusted_proxies=near, webhook_allow=near)
    app = make_app(real, database, provider)
    house = House(app, database, settings.data_dir)
    for name, role in (
        ("viewer", Role.VIEWER),
        ("operator", Role.OPERATOR),
        ("other", Role.OPERATOR),
        ("admin", Role.ADMIN),
        ("target", Role.VIEWER),
    ):
        house.people[name] = actor = add_user(database, name, role)
        assert actor.user_id is not None
        with database.write() as connection:
            user_store.set_second_factor(connection, actor.user_id, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", None)
    add_token(database, "revoked by a test")
    house.tokens = {role: add_token(database, f"token of {role}", role) for role in Role}
    _fill(house)
    _fill_by_requests(house)
    app.request_class.parameter_storage_class = SpiedFields
    return house


def _fill(house: House) -> None:
    """Store batches, a scan and a webhook with a delivery."""
    database = house.database
    batch_id = order_batch(database, imeis(3, first=100))
    listed(database, result_text(), last=3)
    chunk, _ = in_doubt(database, 2)
    with database.write() as connection:
        webhook_id = webhook_store.add_webhook(
            connection, "https://127.0.0.1:9/hook", "", [outbox.EventKind.BATCH_COMPLETE], "whsec_c2VjcmV0"
        )
        add_test(connection, webhook_id or 0, utc_now())
        order_id = connection.exec_driver_sql("SELECT min(order_id) FROM orders").scalar_one()
    scan_store.record(
        database, NewScan("others-session", imeis(1)[0], CARRIER.package_id, batch_id, scanned_by="other")
    )
    account_store.register(database, {MAIN_ACCOUNT: ""})
    dispute_store.open_items(database, [chunk.items[0].item_id], "admin")
    expiry = utc_now() + timedelta(days=1)
    link = NewLink(batch_id, "admin", expiry, has_prices=True, has_imeis=True, has_csv=True)
    own = {name: str(actor.user_id) for name, actor in house.people.items()}
    store_automation(database)
    tag_batches(database, [batch_id], "sold")
    save_filter(database, "admin", "To return", "verdict=fail", is_shared=True)
    database.store_services(SERVICES, time.time())
    house.ids = dict.fromkeys(FIRSTS, "1")
    house.ids |= {
        "batch_id": str(batch_id),
        "order_id": order_id,
        "user_id": own["target"],
        "service_id": CARRIER.package_id,
    }
    house.ids["link_secret"] = create_link(database, link)
    house.ids |= {"filename": "app.css", "doubtful": str(chunk.batch_id), "name": MAIN_ACCOUNT}
    house.fields = {
        "service_id": CARRIER.package_id, "imei": imeis(1, first=300)[0], "imeis": imeis(1, first=301)[0],
        "role": "viewer",
        "name": "new-one", "password": "a quite long passphrase", "item_id": str(chunk.items[0].item_id), "typed": "1",
        "sure": "1", "order_id": order_id, "events": "batch.complete", "url": "https://127.0.0.1:9/x", "scope": "read",
        "percent": "10", "first": "100", "verdict": "fail", "condition": "locked", "action": "try", "show": "missing",
        "sort": "newest", "session_id": "1", "days": "30", "since": "2026-01-01", "kind": "rejected",
        "to": "sent", "state": "open", "amount": "0.01", "day": "2026-01-01", "list": f"{order_id};0.01",
        "filter": "fmi=OFF", "daily_limit": "5", "trial": "1", "revision": "0", "tag": "sold", "customer": "ACME",
        "shown": "model",
    }  # fmt: skip


def _fill_by_requests(house: House) -> None:
    """Upload a file and import files, save a search, build a file, and check a phone."""
    admin, ids = house.client("admin"), house.ids

    def path_of(path: str, **form: Any) -> str:
        answer = admin.post(path, data=form)
        assert answer.status_code == 303, answer.text
        return answer.location.partition("?")[0].rpartition("/")[2]

    paste = "\n".join(imeis(4, first=200))
    ids["token"] = path_of("/batch", imeis=paste, service_id=CARRIER.package_id)
    ids["search_id"] = path_of("/history/search", imeis=paste)
    export = (Path(__file__).parents[1] / "data" / "provider_export.csv").read_bytes()
    first = path_of("/database/import", file=(BytesIO(export), "one.csv"))
    path_of(f"/database/import/{first}")
    ids["import_token"] = path_of("/database/import", file=(BytesIO(export), "two.csv"))
    program = {"Authorization": f"Bearer {house.tokens[Role.ADMIN]}"}
    ids["export_id"] = admin.post("/api/v1/exports", json={}, headers=program).json["id"]  # type: ignore[index]
    while admin.get(f"/api/v1/exports/{ids['export_id']}", headers=program).json["state"] == "building":  # type: ignore[index]
        time.sleep(0.01)
    checked = {"imei": imeis(1, first=50)[0], "service_id": CARRIER.package_id}
    ids["check_id"] = str(admin.post("/api/v1/checks", json=checked, headers=program).json["id"])  # type: ignore[index]
    answer_chunks(house.database)
