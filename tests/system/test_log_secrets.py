"""Secrets are nowhere: not in what LOG_LEVEL=DEBUG shows of a whole batch, and not in files, pages and figures."""

import io
import logging
import re
import threading
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import pytest
from batch_checks import new_batch
from login_client import log_in
from scripted_server import ScriptedServer, reply
from simulated_provider import imeis, settings_at
from web_client import SERVICES, Provider, make_app

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionAPIError, GSMFusionClient
from logs import redactor_for
from logs.lines import JsonLines, TextLines
from orders import BatchState
from production_submission_system import ProductionSubmissionSystem
from runner import run_or_follow
from settings import Settings
from simulator.server import Simulator
from storage.batch_queries import progress
from submission import Checkpoints
from web.access import allow_everyone
from web_app import create_app

KEY, USER = "PLANTED-KEY-7f3a-99", "planted.user@example.com"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(credentials=(KEY, USER)) as simulator:
        yield simulator


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every logger at DEBUG, before the database is opened."""
    level = logging.getLogger("sqlalchemy.engine").level
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "database")
    yield caplog
    logging.getLogger("sqlalchemy.engine").setLevel(level)


def test_debug_shows_answers_and_sql_without_secrets_or_values(
    simulator: Simulator, everything: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GSM_FUSION_API_KEY", KEY)
    monkeypatch.setenv("GSM_FUSION_USERNAME", USER)
    monkeypatch.setenv("GSM_FUSION_BASE_URL", simulator.base_url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    app = create_app()
    app.test_client().get("/health")
    system = ProductionSubmissionSystem()
    system.submit_batch(imeis(5), "269")
    simulator.set(fault="reset", fault_calls=(1, 2, 3))
    system.submit_batch(imeis(3, 100), "269")
    for database in (system.database, app.extensions["database"]):
        database.close()
    lines = [record.getMessage() for record in everything.records]
    assert any("placeorder: HTTP 200" in line and "<imeis>" in line for line in lines)
    assert any("UPDATE batches SET" in line for line in lines)
    statements = "".join(record.getMessage() for record in everything.records if record.name.startswith("sqlalchemy"))
    assert "parameters hidden" in statements
    assert imeis(1)[0] not in statements
    assert_no_secret(everything)


def test_an_echo_in_an_error_is_hidden_with_its_traceback(everything: pytest.LogCaptureFixture) -> None:
    echo = f"<error>Invalid User! {USER} with {KEY}</error>"
    with ScriptedServer(reply(echo)) as server, GSMFusionClient(KEY, USER, options=ClientOptions(server.url)) as client:
        try:
            client.place_imei_order("350000000000014", "269")
        except GSMFusionAPIError:
            logging.getLogger("caller").exception("The call failed")
    assert "Invalid User! [hidden] with [hidden]" in everything.text
    assert_no_secret(everything)


def assert_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    for secret in (KEY, USER, KEY.lower(), "planted.user%40example.com"):
        assert secret not in caplog.text


# Every place where the program writes


#: Values of settings, none of which has a run of 8 characters in common with a page or another value.
PLANTED = {
    "api_key": KEY,
    "admin_password": "Quartz-Ibex-Vellum-Zoo8",
    "secret_key": "Zk3-9vQ-tr77-LmW2-pq81-xUx0-bbE4",
    "secret_key_fallbacks": ("Yk3-8vQ-tr66-LnW2-pq71-xUy0-bcE5",),
    "notify_urls": ("tgram://83745:AAFq-Wx9Kp2/55512345",),
}


def parts_of(secret: str) -> set[bytes]:
    """Return each run of 8 characters of a secret and of its usual encodings, in lower case."""
    forms = (secret, quote(secret, safe=""), b64encode(secret.encode()).decode().rstrip("="), secret.encode().hex())
    whole = {form.lower().partition("://")[2] or form.lower() for form in forms}
    return {form[at : at + 8].encode() for form in whole for at in range(len(form) - 7)}


def echoes(secret: str) -> str:
    """An error of a provider that shows a secret in several forms and parts."""
    half = len(secret) // 2
    shown = (secret, secret.lower(), quote(secret, safe=""), b64encode(secret.encode()).decode())
    return f"<error>Invalid User! {' '.join(shown)} and {secret[:half]} {USER}</error>"


@pytest.fixture
def planted(simulator: Simulator, settings: Settings) -> Settings:
    return settings_at(simulator, settings, call_timeout=5.0, settle_quiet=0.2, username=USER, **PLANTED)


@pytest.fixture
def lines(planted: Settings, everything: pytest.LogCaptureFixture) -> Iterator[list[io.StringIO]]:
    """What the log of a server has in both forms, at DEBUG."""
    streams = [io.StringIO(), io.StringIO()]
    handlers = [logging.StreamHandler(stream) for stream in streams]
    for handler, form in zip(handlers, (TextLines, JsonLines), strict=True):
        handler.setFormatter(form(redactor_for(planted)))
        logging.getLogger().addHandler(handler)
    yield streams
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def run_against_an_echo(planted: Settings, database: IMEIDatabase) -> int:
    """A batch whose provider echoes the credentials; return its id."""
    batch_id = new_batch(database, 3, 3, first=500)
    with ScriptedServer(*[reply(echoes(KEY))] * 9) as server:
        options = ClientOptions(server.url, sleep=lambda _: None)
        with GSMFusionClient(KEY, USER, 5.0, options=options) as client:
            checkpoints = Checkpoints(planted.data_dir / "checkpoints")
            ProductionSubmissionSystem(database, client, checkpoints).run_batch(batch_id)
    found = progress(database, batch_id)
    assert found is not None
    assert (found.state, "[hidden]" in found.notice) == (BatchState.PAUSED, True)
    return batch_id


def log_a_traceback_with_locals(planted: Settings) -> None:
    """What a debugger or an error reporter would write: every local variable."""
    form = {"apiKey": planted.api_key, "password": planted.admin_password, "urls": planted.notify_urls}
    try:
        raise RuntimeError(f"the call failed: {form}")
    except RuntimeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        logging.getLogger("reporter").error("%s", "".join(shown.format()), exc_info=error)


def broken() -> NoReturn:
    raise RuntimeError(f"the call failed: {PLANTED}")


def pages_of(planted: Settings, database: IMEIDatabase, batch_id: int) -> dict[str, bytes]:
    """Every page without arguments, some with, and error pages, as an admin sees them."""
    app = make_app(planted, database, Provider(list(SERVICES)))
    app.add_url_rule("/broken", "broken", allow_everyone()(broken))
    client = app.test_client()
    answer = log_in(client, planted.admin_password)
    assert answer.status_code == 303
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments]
    paths = {rule.rule for rule in rules} | {f"/batches/{batch_id}", f"/batches/{batch_id}/progress.json", "/missing"}
    return {path: client.get(path).data for path in sorted(paths) if "events" not in path}


def test_no_part_of_a_secret_is_in_a_file_a_page_or_a_line(
    planted: Settings, database: IMEIDatabase, lines: list[io.StringIO]
) -> None:
    run_or_follow(planted, database, new_batch(database, 5, 5), lambda _: None, threading.Event())
    batch_id = run_against_an_echo(planted, database)
    log_a_traceback_with_locals(planted)
    pages = pages_of(planted, database, batch_id)
    assert len(pages) > 25
    database.backup()
    found = pages | {f"log {n}": stream.getvalue().encode() for n, stream in enumerate(lines)}
    found |= {str(path): path.read_bytes() for path in planted.data_dir.rglob("*") if path.is_file()}
    names = {Path(name).name for name in found}
    assert {"imei_orders.db", "imei_orders.db-wal", "answers.log"} <= names
    assert sum("backups" in name for name in found) == 1
    secrets = {part for secret in planted.secrets for part in parts_of(secret)}
    for name, content in found.items():
        lowered = re.sub(rb"\0+", b"\0", content.lower())  # no secret holds one, and the ballast is 8 MB of them
        assert [part for part in secrets if part in lowered] == [], name
        assert USER.encode() not in lowered, name
    assert b"[hidden]" in found["log 0"]
    assert b"raise RuntimeError" in found["log 0"]
