"""What LOG_LEVEL=DEBUG shows of a whole batch: answers and SQL, and neither the key nor the user name."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, reply
from simulated_provider import imeis

from gsm_fusion_client import ClientOptions, GSMFusionAPIError, GSMFusionClient
from production_submission_system import ProductionSubmissionSystem
from simulator.server import Simulator
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
