"""The real server on a temporary demo, and Chromium. Any error or warning on a page's console fails the test."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from forked_command import short_waits
from gunicorn_server import ForkedGunicorn, environ_of, free_port
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright
from waiting import PATIENCE, wait_until
from web_client import confirm_fields

from imei import luhn_check_digit

#: The shell is Chromium without windows: a page takes half of the processor time. Else Chromium itself.
SHELL, WHOLE = Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium")
CHROMIUM = SHELL if SHELL.exists() else WHOLE
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERVICE = "1739"  #: 0.08 US dollars in the demo
SHORT_WAITS = {"SETTLE_QUIET": "3", "GSM_FUSION_TIMEOUT": "10"}  #: short_waits allows them
QUICK = {"latency": 0.3, "jitter": 0.0, "fault": "", "listing": "on", "listing_limit": 20_000}
#: Chromium writes most violations to the console; this adds the directive.
REPORT_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`Violated ${event.violatedDirective}: ${event.blockedURI}`));"""


def made_up_imeis(first: int, count: int) -> list[str]:
    """Return IMEIs of one made-up device type, by serial number from first, with their check digits."""
    bodies = [f"35337008{serial:06d}" for serial in range(first, first + count)]
    return [body + luhn_check_digit(body) for body in bodies]


def id_of(live: str) -> int:
    """Return the id of the batch of a live page."""
    return int(live.rpartition("/")[2])


def csv_of(imeis: Sequence[str]) -> bytes:
    return "\r\n".join(["IMEI", *imeis]).encode()


class Site:
    """gunicorn in the demo, and an HTTP session for steps that need no browser."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        """variables: of its environment, beside the usual ones."""
        self.data_dir = data_dir
        self._variables = {"WEBHOOK_ALLOW": "127.0.0.1", **SHORT_WAITS, **variables}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Accept-Encoding"] = "identity"  # the browser asks for compressed pages
        self._token = ""  #: that forms of the session carry
        self.process = self.start()

    def start(self) -> ForkedGunicorn:
        """Serve on the same port and data as before, with a quick provider."""
        environ = environ_of(self.data_dir, PORT=str(self.port), **self._variables)
        self.process = ForkedGunicorn(environ, self.data_dir / "server.log", short_waits)
        wait_until(self.is_well, "the server answers and has a runner")
        self.provider(**QUICK)
        return self.process

    def is_well(self) -> bool:
        try:
            answer = self.session.get(f"{self.url}/health", timeout=10)
            return bool(answer.json()["checks"]["runner"]["status"] == "alive")
        except (requests.RequestException, ValueError, KeyError):
            return False

    def kill(self) -> None:
        """Kill all processes of the server at once, as a crash does, and wait until its provider has ended."""
        port = self._provider_port()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        wait_until(lambda: _is_closed(port), "the provider is gone")

    def provider(self, **knobs: object) -> None:
        """Change the behaviour of the demo provider."""
        self._ask_provider("POST", "/control", json.dumps(knobs))

    def charged(self) -> int:
        """Return the number of IMEIs that the provider has charged."""
        return int(self._ask_provider("GET", "/ledger?since=999999999")["total"])

    def charges(self, since: int) -> list[str]:
        """Return the IMEIs of all charges after the first `since`, once for each charge."""
        return [charge["imei"] for charge in self._ask_provider("GET", f"/ledger?since={since}")["charges"]]

    def complete(self) -> None:
        """Give every order its result."""
        self._ask_provider("POST", "/complete", "{}")

    def fetch_results(self) -> None:
        """Give every order its result, and ask the program to fetch the results."""
        self.complete()
        self.post("/history/sync", {})

    def one(self, sql: str) -> Any:
        """Return the first value of a query, read beside the running server, as with sqlite3."""
        file = f"file:{self.data_dir / 'demo' / 'imei_orders.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(file, uri=True, timeout=10)) as connection:
            row = connection.execute(sql).fetchone()
        return row[0] if row else None

    def post(self, path: str, form: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None) -> str:
        """Send a form with its token; return the path of the page that follows."""
        return self._path(self._posted(path, form, files))

    def share(self, live: str) -> str:
        """Create a link to the report of a batch, with all that it can show; return its path."""
        answer = self._posted(f"{live}/links", {"days": "7", "prices": "1", "imeis": "1", "csv": "1"})
        found = re.search(r'<pre id="link">http://[^/]+(/[^<]+)', answer.text)
        assert found, answer.text
        return found[1]

    def _posted(
        self, path: str, form: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None
    ) -> requests.Response:
        if not self._token:
            found = re.search(r'name="csrf-token" content="([^"]+)"', self._page("/batch"))
            assert found
            self._token = found[1]
        form = {"csrf_token": self._token, **form}
        answer = self.session.post(self.url + path, data=form, files=files, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer

    def _page(self, path: str) -> str:
        return self.session.get(self.url + path, timeout=PATIENCE).text

    def _path(self, answer: requests.Response) -> str:
        return answer.url.removeprefix(self.url)

    def upload(self, imeis: Sequence[str], name: str = "stock.csv", service: str = SERVICE) -> str:
        """Upload a file of these IMEIs; return the path of the preview."""
        return self._path(self._uploaded(imeis, name, service))

    def _uploaded(self, imeis: Sequence[str], name: str, service: str) -> requests.Response:
        return self._posted("/batch", {"service_id": service}, {"file": (name, csv_of(imeis))})

    def order(self, imeis: Sequence[str], name: str = "stock.csv", service: str = SERVICE) -> str:
        """Upload and confirm; return the path of the live page."""
        preview = self._uploaded(imeis, name, service)
        return self.post(self._path(preview), {**confirm_fields(preview.text), "typed": str(len(imeis))})

    def progress(self, live: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.get(f"{self.url}{live}/progress.json", timeout=PATIENCE).json()
        return answer

    def finish(self, live: str, patience: float = PATIENCE) -> None:
        """Wait until nothing of a batch is planned or on the wire."""
        state = f"SELECT state FROM batches WHERE id = {id_of(live)}"
        wait_until(lambda: self.one(state) == "finished", f"{live} is finished", patience)

    def settle(self, live: str) -> None:
        """Give every order its result, and wait for those of a finished batch."""
        self.fetch_results()
        pending = f"SELECT 1 FROM orders WHERE batch_id = {id_of(live)} AND status = 'Pending' LIMIT 1"
        wait_until(lambda: not self.one(pending) and self.progress(live)["is_settled"], "every result is there")

    def _provider_port(self) -> int:
        return int(json.loads((self.data_dir / "demo" / "simulator.json").read_text())["port"])

    def _ask_provider(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._provider_port(), timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
            assert answer.status == 200, said
            return said


def _is_closed(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Visitor:
    """The windows of one test; errors and warnings of their pages are collected in complaints."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self.url = url
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()  #: parts of complaints that the test expects
        self.scripts = [REPORT_VIOLATIONS]  #: each page of a window that is opened runs them before its own

    def window(self, **options: Any) -> BrowserContext:
        """Open a window with its own cookies."""
        context = self.browser.new_context(base_url=self.url, reduced_motion="reduce", **options)
        context.set_default_timeout(PATIENCE * 1000)
        for script in self.scripts:
            context.add_init_script(script)
        context.on("page", self._listen)
        self.contexts.append(context)
        return context

    def open(self, path: str, **options: Any) -> Page:
        """Open a page in a new window."""
        page = self.window(**options).new_page()
        page.goto(path)
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        unexpected = [text for text in self.complaints if not any(part in text for part in self.expected)]
        if unexpected:
            pytest.fail("\n".join(unexpected))

    def _listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda message: self._collect(page, message.type, message.text))

    def _collect(self, page: Page, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{page.url}: {text}")


def launch(playwright: Playwright, *switches: str) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES, *switches])


class Chromium:
    """The browsers of a module, each started by the first test that uses it, with these switches beside the usual."""

    def __init__(self, *switches: str) -> None:
        self._switches = switches
        self._ends = contextlib.ExitStack()
        self._playwright: Playwright | None = None
        self._browsers: dict[tuple[str, ...], Browser] = {}

    def browser(self, *more: str) -> Browser:
        """Return the browser that has these switches, too."""
        if self._playwright is None:
            self._playwright = self._ends.enter_context(sync_playwright())
        if more not in self._browsers:
            self._browsers[more] = launch(self._playwright, *self._switches, *more)
            self._ends.callback(self._browsers[more].close)
        return self._browsers[more]

    def close(self) -> None:
        self._ends.close()


@pytest.fixture(scope="module", name="chromium")
def chromium_fixture() -> Iterator[Chromium]:
    found = Chromium()
    yield found
    found.close()


@pytest.fixture(scope="module", name="site")
def site_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    yield running
    running.kill()


@pytest.fixture(name="visitor")
def visitor_fixture(chromium: Chromium, site: Site, require: Callable[[str], NoReturn]) -> Iterator[Visitor]:
    """Windows that must end without a console error, a page error or a breach of the content security policy."""
    if not CHROMIUM.exists():
        require(f"{CHROMIUM} is not installed")
    expect.set_options(timeout=PATIENCE * 1000)
    site.provider(**QUICK)
    guest = Visitor(chromium.browser(), site.url)
    yield guest
    log = (site.data_dir / "server.log").read_text(encoding="utf-8")
    guest.complaints += re.findall(r"(?s).{0,200}Traceback.{0,2500}", log)
    guest.close()
