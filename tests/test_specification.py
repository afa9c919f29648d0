"""The snippets of the user's documentation, run as they are written there."""

import inspect
import logging
import time
from collections.abc import Iterator
from dataclasses import astuple, replace
from datetime import datetime
from pathlib import Path

import pytest
import responses
from batch_checks import new_batch
from simulated_provider import imeis
from web_client import Browser, order_batch, words

from account import ProviderRequests, ServiceCatalog
from database import IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError, GSMFusionClient, IMEIOrder, ServiceInfo
from orders import Chunk, NotPossibleError
from production_submission_system import ProductionSubmissionSystem
from settings import SettingsError
from simulator.server import Simulator
from storage.batch_creation import OverBudgetError
from storage.batch_queries import progress
from submission import Checkpoints, Metrics, RunnerLock, metrics, runner_alive, stop_restored

ADDRESS = "https://hammerfusion.com/gsmfusion_api/index.php"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment, and a working directory of its own."""
    monkeypatch.setenv("GSM_FUSION_API_KEY", "XXXX-XXXX-XXXX-XXXX")
    monkeypatch.setenv("GSM_FUSION_USERNAME", "your_username")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def answers(wire: responses.RequestsMock, body: str) -> None:
    wire.post(ADDRESS, body=f"<?phpxml version='1.0' encoding='utf-8'?>{body}")


# 2.1 and 2.2: the client


def test_the_service_list_is_read_with_credentials_from_the_environment(
    account: None, wire: responses.RequestsMock
) -> None:
    answers(
        wire,
        "<Packages><Package><PackageId>269</PackageId><PackageTitle>T-Mobile USA - Status Check</PackageTitle>"
        "<PackagePrice>0.08</PackagePrice><TimeTaken>Instant-5 Minutes</TimeTaken></Package></Packages>",
    )
    client = GSMFusionClient(timeout=10)
    services = client.get_imei_services()
    assert services == [ServiceInfo("269", "T-Mobile USA - Status Check", 0.08, "Instant-5 Minutes")]
    (service,) = services
    assert service.package_id == "269"
    assert service.title == "T-Mobile USA - Status Check"
    assert service.price == 0.08
    assert service.delivery_time == "Instant-5 Minutes"
    body = str(wire.calls[0].request.body)
    assert "apiKey=XXXX-XXXX-XXXX-XXXX&userId=your_username&action=imeiservices" in body


def test_the_client_takes_its_arguments_in_the_specified_order() -> None:
    names = list(inspect.signature(GSMFusionClient).parameters)
    assert names[:4] == ["api_key", "username", "timeout", "max_retries"]
    with GSMFusionClient("key", "user", 30, 3) as client:
        assert isinstance(client, GSMFusionClient)


def test_one_imei_is_ordered(account: None, wire: responses.RequestsMock) -> None:
    answers(
        wire,
        "<response><imeis><id>12345678</id><imei>123456789012345</imei><status>Pending</status></imeis></response>",
    )
    with GSMFusionClient() as client:
        result = client.place_imei_order(imei="123456789012345", network_id="269")
    (order,) = result["orders"]
    assert (order.id, order.imei, order.status) == ("12345678", "123456789012345", "Pending")
    assert (result["duplicates"], result["errors"]) == ((), ())


def test_many_imeis_are_ordered_in_one_call(account: None, wire: responses.RequestsMock) -> None:
    answers(
        wire,
        "<result><imeis><id>1</id><imei>123456789012345</imei><status>Pending</status></imeis>"
        "<imeiduplicates><imei>123456789012346</imei></imeiduplicates>"
        "<imeierrors><imei>1</imei><error>Invalid IMEI: 1</error></imeierrors></result>",
    )
    client = GSMFusionClient()
    result = client.place_imei_order(imei=["123456789012345", "123456789012346", "1"], network_id="269")
    assert [order.imei for order in result["orders"]] == ["123456789012345"]
    assert result["duplicates"] == ("123456789012346",)
    assert "orders" in result and dict(result) == {name: result[name] for name in ("orders", "duplicates", "errors")}
    assert result["errors"] == (("1", "Invalid IMEI: 1"),)
    assert result["orders"] is result.orders
    with pytest.raises(KeyError):
        result["order"]
    assert "imei=123456789012345,123456789012346,1&" in str(wire.calls[0].request.body)


def test_the_status_of_orders_is_read(account: None, wire: responses.RequestsMock) -> None:
    answers(
        wire,
        "<result><imeis><id>12345</id><imei>123456789012345</imei><status>Completed</status><code>Clean</code></imeis>"
        "<imeis><id>12346</id><imei>123456789012346</imei><status>Pending</status></imeis></result>",
    )
    client = GSMFusionClient()
    orders = client.get_imei_orders("12345,12346,12347")
    assert orders == [
        IMEIOrder(id="12345", imei="123456789012345", status="Completed", code="Clean"),
        IMEIOrder(id="12346", imei="123456789012346", status="Pending"),
    ]
    assert "orderIds=12345,12346,12347&" in str(wire.calls[0].request.body)


def test_an_error_of_the_api_is_raised(account: None, wire: responses.RequestsMock) -> None:
    answers(wire, "<error>Invalid User!</error>")
    with pytest.raises(GSMFusionAPIError, match="Invalid User!"):
        GSMFusionClient().get_imei_services()


@pytest.mark.parametrize("missing", ["GSM_FUSION_API_KEY", "GSM_FUSION_USERNAME"])
@pytest.mark.parametrize("made", [GSMFusionClient, ProductionSubmissionSystem])
def test_without_credentials_the_error_names_the_variables(
    account: None, monkeypatch: pytest.MonkeyPatch, made: type, missing: str
) -> None:
    monkeypatch.setenv(missing, "")
    with pytest.raises(SettingsError, match=missing):
        made()


# 2.3: the database


def test_orders_are_stored_found_and_updated(account: None, tmp_path: Path) -> None:
    db = IMEIDatabase()
    order_data = {
        "order_id": "12345678",
        "service_name": "T-Mobile USA - Status Check",
        "service_id": "269",
        "imei": "123456789012345",
        "credits": 0.08,
        "status": "Pending",
        "order_date": "2025-11-14T11:46:39",
    }
    row_id = db.insert_order(order_data)
    assert row_id is not None
    assert db.insert_order(order_data) is None  # duplicate order_id
    db.update_order_status("12345678", "Completed", {"carrier": "T-Mobile", "simlock": "Locked"})
    (order,) = db.get_orders_by_imei("123456789012345")
    assert (order["id"], order["status"], order["carrier"]) == (row_id, "Completed", "T-Mobile")
    assert order["order_date"] == datetime(2025, 11, 14, 11, 46, 39)
    assert (tmp_path / "imei_orders.db").exists()
    db.close()


# 2.4 and 10.3: the submission system and its metrics


@pytest.fixture
def live(account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The account in the environment is one at a provider on loopback."""
    with Simulator(credentials=("XXXX-XXXX-XXXX-XXXX", "your_username")) as simulator:
        monkeypatch.setenv("GSM_FUSION_BASE_URL", simulator.base_url)
        yield simulator


def test_a_batch_is_submitted_by_a_system_that_wires_itself(
    live: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    system = ProductionSubmissionSystem()
    result = system.submit_batch(imeis(230), "269")
    assert (result.total, result.successful, result.failed) == (230, 230, 0)
    assert 0 < result.duration < 60
    assert len(live.charges()) == 230
    assert not runner_alive(tmp_path)
    found = progress(system.database, result.batch_id)
    assert found is not None
    figures = metrics(found)
    assert list(inspect.signature(Metrics).parameters) == [
        "total_batches",
        "successful_batches",
        "failed_batches",
        "total_duration_seconds",
        "throughput",
    ]
    total, successful, failed, seconds, throughput = astuple(figures)
    assert total == successful >= 3
    assert failed == 0
    assert throughput == pytest.approx(230 / seconds, rel=0.05)
    assert str(figures) in caplog.text
    system.database.close()


def test_a_system_that_wires_itself_leaves_the_sending_to_a_running_runner(live: Simulator, tmp_path: Path) -> None:
    """Two loops on one database would take the lease from each other."""
    lock = RunnerLock(tmp_path)
    assert lock.acquire()
    system = ProductionSubmissionSystem()
    seen: list[int] = []

    def watch(_: object) -> None:
        seen.append(len(live.charges()))
        lock.release()  # the runner ends, and this process takes over

    assert system.submit_batch(imeis(2), "269", watch).successful == 2
    assert seen[0] == 0
    system.database.close()


def test_a_system_that_wires_itself_answers_pages_while_it_sends(live: Simulator, tmp_path: Path) -> None:
    system = ProductionSubmissionSystem()
    asked: list[int] = []

    def ask_once(_: object) -> None:
        if not asked and runner_alive(tmp_path):
            ServiceCatalog(ProviderRequests(system.database)).ask_now()
            asked.append(sum(call.action == "imeiservices" for call in live.calls()))

    assert system.submit_batch(imeis(2), "269", ask_once).successful == 2
    assert asked == [2]  # before the batch, and for the page
    system.database.close()


def test_a_restored_database_orders_nothing_by_a_system_that_wires_itself(live: Simulator, tmp_path: Path) -> None:
    """The backup does not know what was ordered after it, so its phones would be paid for twice."""
    system = ProductionSubmissionSystem()
    stop_restored(system.database, Checkpoints(tmp_path / "checkpoints"))
    with pytest.raises(NotPossibleError, match="rebuild-from-provider"):
        system.submit_batch(imeis(2), "269")
    assert live.charges() == []
    system.database.close()


def test_a_restored_database_orders_nothing_by_a_system_of_given_parts(live: Simulator, tmp_path: Path) -> None:
    """It would wait for ever: the loop takes no batch of such a database."""
    wired, checkpoints = ProductionSubmissionSystem(), Checkpoints(tmp_path / "checkpoints")
    stop_restored(wired.database, checkpoints)
    system = ProductionSubmissionSystem(database=wired.database, client=wired.client, checkpoints=checkpoints)
    with pytest.raises(NotPossibleError, match="rebuild-from-provider"):
        system.submit_batch(imeis(2), "269")
    assert live.charges() == []
    wired.database.close()


def test_an_empty_database_beside_kept_answers_orders_nothing(live: Simulator, tmp_path: Path) -> None:
    system = ProductionSubmissionSystem()
    system.submit_batch(imeis(3), "269")
    system.database.close()
    for path in tmp_path.glob("imei_orders.db*"):
        path.unlink()
    system = ProductionSubmissionSystem()
    with pytest.raises(NotPossibleError, match="older than the answers kept beside it"):
        system.submit_batch(imeis(3), "269")
    assert len(live.charges()) == 3
    system.database.close()


def test_the_answers_of_another_account_stop_an_older_database_too(live: Simulator, tmp_path: Path) -> None:
    """A planned call that the other account was paid for already must not be sent by this one."""
    system = ProductionSubmissionSystem()
    batch_id = new_batch(system.database, 2, chunk_size=100)
    system.database.close()
    chunk = Chunk(1, batch_id, "269", 1, 1, ())
    Checkpoints(tmp_path / "checkpoints").of_account("b").keep(chunk, b"<result/>")
    system = ProductionSubmissionSystem()
    with pytest.raises(NotPossibleError, match="older than the answers kept beside it"):
        system.submit_batch(imeis(2), "269")
    assert live.charges() == []
    system.database.close()


def test_a_disk_that_the_next_deploy_deletes_takes_no_order(live: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAILWAY_ENVIRONMENT", "production")
    system = ProductionSubmissionSystem()
    with pytest.raises(NotPossibleError, match="attach a volume"):
        system.submit_batch(imeis(2), "269")
    assert live.charges() == []
    system.database.close()


def test_the_budget_of_the_day_holds_for_a_system_that_wires_itself(
    live: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILY_BUDGET", "0.20")
    system = ProductionSubmissionSystem()
    assert system.submit_batch(imeis(2), "269").successful == 2
    with pytest.raises(OverBudgetError, match="today's budget"):
        system.submit_batch(imeis(1, first=90), "269")
    assert len(live.charges()) == 2
    system.database.close()


def test_a_price_that_rose_since_the_list_was_read_is_what_the_batch_costs(live: Simulator) -> None:
    system = ProductionSubmissionSystem()
    cheaper = [replace(service, price=0.05) for service in system.client.get_imei_services()]
    system.database.store_services(cheaper, time.time() - 60)
    result = system.submit_batch(imeis(2), "269")
    found = progress(system.database, result.batch_id)
    assert found is not None
    assert (found.unit_price, found.spent) == (0.08, 0.16)
    system.database.close()


def test_parts_of_a_system_are_given_together_or_not_at_all(database: IMEIDatabase) -> None:
    with pytest.raises(TypeError, match="none of them"):
        ProductionSubmissionSystem(database)


def test_the_status_page_shows_the_metrics_of_the_newest_batch(browser: Browser, database: IMEIDatabase) -> None:
    assert "Total calls" not in words(browser.get("/status"))
    order_batch(database, imeis(3))
    page = words(browser.get("/status"))
    assert "Total calls 1 Successful calls 1 Failed calls 0 Total duration 0.0 s Throughput" in page
    assert "IMEIs per second" in page
