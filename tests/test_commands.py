"""The command line, against a provider on a real socket: what it says, what it orders, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from threading import Event

import pytest
from click.testing import Result
from flask import Flask

import order_sync
from commands import exit_code, figures, init_commands
from database import IMEIDatabase
from gsm_fusion_client import NotSentError
from imei import luhn_check_digit
from orders import Account, Outcome, Service, SubmissionResult
from runner import make_client, runner_alive, start_background
from service_catalog import AccountBalance, ServiceCatalog
from settings import Settings
from simulator import Knobs, Simulator
from web_context import Backend

ROOT = Path(__file__).parents[1]
SERVICE = "1739"


def imeis(count: int, start: int = 0) -> list[str]:
    """Made-up IMEIs with right check digits."""
    bodies = [f"3533700{number:07d}" for number in range(start, start + count)]
    return [body + luhn_check_digit(body) for body in bodies]


@pytest.fixture
def provider() -> Iterator[Simulator]:
    with Simulator(Knobs()) as running:
        yield running


@pytest.fixture
def real(settings: Settings, provider: Simulator) -> Settings:
    """Settings of a real account, whose provider is on loopback."""
    return replace(settings, api_key="DEMO-KEY", username="demo", base_url=provider.base_url, settle_quiet=0.0)


def make_app(
    settings: Settings, database: IMEIDatabase, ask_services: Callable[[], list[Service]] | None = None
) -> Flask:
    def services() -> list[Service]:
        with make_client(settings) as client:
            return client.get_imei_services()

    def account() -> Account:
        with make_client(settings) as client:
            return client.get_account()

    app = Flask("command_test")
    app.extensions["backend"] = Backend(
        settings=settings,
        database=database,
        catalog=ServiceCatalog(database, ask_services or services),
        account=AccountBalance(database, account),
        recent_orders=list,
        stopping=Event(),
    )
    init_commands(app)
    return app


@pytest.fixture
def app(real: Settings, database: IMEIDatabase) -> Flask:
    return make_app(real, database)


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """A file of 250 IMEIs, one of them twice, one mistyped, and a word."""
    good = imeis(250)
    mistyped = good[0][:-1] + str((int(good[0][-1]) + 1) % 10)
    path = tmp_path / "stock.csv"
    path.write_text("\n".join(["IMEI", *good, good[3], mistyped, "broken screen"]) + "\n", encoding="utf-8")
    return path


def run(app: Flask, *words: str | Path, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=[str(word) for word in words], input=typed)


def last_json(result: Result) -> dict[str, object]:
    found = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_a_file_is_ordered_once_and_the_last_line_is_the_figures(
    app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path
) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json")
    assert result.exit_code == 0, result.output
    said = last_json(result)
    assert (said["total"], said["successful"], said["in_doubt"]) == (250, 250, 0)
    assert len(provider.charges()) == database.count_orders() == 250
    assert result.stdout.count("\n") == 1


def test_what_was_read_and_what_it_costs_is_said_on_standard_error(app: Flask, stock: Path) -> None:
    said = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json").stderr
    assert "stock.csv" in said
    assert "250 IMEIs ready" in said
    assert "1 IMEI left out: wrong check digit" in said
    assert "1 value repeated" in said
    assert "broken screen" in said
    assert "250 IMEIs x $0.08 = $20.00" in said
    assert "100%" in said


def test_without_json_the_summary_is_for_reading(app: Flask, stock: Path) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert "Batch 1: 250 IMEIs in" in result.stdout
    assert "Ordered" in result.stdout
    assert "$20.00" in result.stdout


def test_the_same_file_again_orders_nothing_and_names_every_imei_a_duplicate(
    app: Flask, provider: Simulator, stock: Path
) -> None:
    run(app, "submit", stock, "--service", SERVICE, "--yes")
    again = run(app, "submit", stock, "--service", SERVICE, "--json")
    assert again.exit_code == 0, again.output
    assert (last_json(again)["successful"], last_json(again)["duplicates"]) == (0, 250)
    assert len(provider.charges()) == 250


def test_an_interrupted_batch_is_continued_by_the_same_command(app: Flask, provider: Simulator, stock: Path) -> None:
    provider.set(fault="auth")
    stopped = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json")
    assert stopped.exit_code == 1
    assert last_json(stopped)["waiting"] == 250
    assert "Why it stopped" in stopped.stderr
    provider.set(fault="")
    resumed = run(app, "submit", stock, "--service", SERVICE, "--json")
    assert resumed.exit_code == 0, resumed.output
    assert "Batch 1 was interrupted and is continued" in resumed.stderr
    assert (last_json(resumed)["batch_id"], last_json(resumed)["successful"]) == (1, 250)
    assert len(provider.charges()) == 250


def test_a_running_runner_does_the_work_and_the_command_follows_it(
    app: Flask, real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    background = start_background(real, database)
    try:
        result = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json")
    finally:
        background.stop()
    assert (result.exit_code, last_json(result)["successful"]) == (0, 250)
    assert len(provider.charges()) == 250


@pytest.mark.parametrize(("typed", "code", "ordered"), [("y\n", 0, 250), ("n\n", 1, 0), ("", 1, 0)])
def test_without_yes_it_asks_and_anything_but_yes_orders_nothing(
    app: Flask, provider: Simulator, stock: Path, typed: str, code: int, ordered: int
) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, typed=typed)
    assert (result.exit_code, len(provider.charges())) == (code, ordered)


@pytest.mark.parametrize(("typed", "ordered"), [("250\n", 250), ("y\n", 0)])
def test_a_dear_batch_asks_for_the_number_to_be_typed(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path, typed: str, ordered: int
) -> None:
    app = make_app(replace(real, confirm_above=10.0), database)
    result = run(app, "submit", stock, "--service", SERVICE, typed=typed)
    assert "Type 250 to order them" in result.stderr
    assert len(provider.charges()) == ordered


# Refusals: one sentence, exit code 2, nothing written, nothing sent


def refused(result: Result, provider: Simulator, database: IMEIDatabase) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert not any(call.action == "placeorder" for call in provider.calls())
    assert database.count_orders() == 0
    return result.stderr.splitlines()[-1]


def test_an_unknown_service_is_refused(app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path) -> None:
    assert "99999" in refused(run(app, "submit", stock, "--service", "99999", "--yes"), provider, database)


def test_a_service_that_needs_more_than_an_imei_is_refused_by_what_it_needs(
    app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path
) -> None:
    run(app, "services")
    service = next(service for service in database.get_services()[0] if service.required_fields)
    said = refused(run(app, "submit", stock, "--service", service.service_id, "--yes"), provider, database)
    assert service.required_fields[0] in said


def test_a_batch_over_the_budget_or_the_balance_is_refused(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    frugal = make_app(replace(real, daily_budget=5.0), database)
    assert "$5.00" in refused(run(frugal, "submit", stock, "--service", SERVICE, "--yes"), provider, database)
    database.set_setting("account", "{}")
    provider.set(credit=3.0)
    poor = make_app(real, database)
    assert "$3.00" in refused(run(poor, "submit", stock, "--service", SERVICE, "--yes"), provider, database)


@pytest.mark.parametrize("content", [b"", b"name,colour\nphone,black\n", b"%PDF-1.7 stock", b"IMEI\n353370080000001\n"])
def test_a_file_without_anything_to_order_is_refused_with_what_was_found(
    app: Flask, provider: Simulator, database: IMEIDatabase, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    said = refused(run(app, "submit", path, "--service", SERVICE, "--yes"), provider, database)
    assert said.startswith("Error: ")
    assert len(said) > 20


def test_a_disk_that_the_next_deploy_empties_takes_no_paid_orders(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    app = make_app(replace(real, volatile_disk=True), database)
    assert "volume" in refused(run(app, "submit", stock, "--service", SERVICE, "--yes"), provider, database)


def test_a_missing_file_and_a_missing_service_are_usage_errors(app: Flask, stock: Path) -> None:
    assert run(app, "submit", "nowhere.csv", "--service", SERVICE).exit_code == 2
    assert run(app, "submit", stock).exit_code == 2


def test_a_provider_that_is_down_is_said_when_no_price_is_known(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    def silent() -> list[Service]:
        raise NotSentError("The provider could not be reached.")

    app = make_app(real, database, silent)
    said = refused(run(app, "submit", stock, "--service", SERVICE, "--yes"), provider, database)
    assert "could not be reached" in said


# Results, services, backup


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({Outcome.ORDERED: 1, Outcome.DUPLICATE: 1, Outcome.REFUSED: 1}, 0),
        ({Outcome.ORDERED: 9, Outcome.IN_DOUBT: 1}, 3),
        ({Outcome.WAITING: 5, Outcome.IN_DOUBT: 1}, 3),
        ({Outcome.ORDERED: 9, Outcome.WAITING: 1}, 1),
        ({Outcome.ORDERED: 9, Outcome.CANCELLED: 1}, 1),
    ],
)
def test_the_exit_code_is_zero_only_when_every_imei_is_settled(counts: dict[Outcome, int], code: int) -> None:
    assert exit_code(dict.fromkeys(Outcome, 0) | counts) == code


def test_the_figures_are_every_field_of_the_result_but_the_lists() -> None:
    result = SubmissionResult(1, 2, 1, 1, 0, 0, 0.5, 4.0)
    assert figures(result).keys() == {f.name for f in fields(result)} - {"orders", "errors"}
    assert json.loads(json.dumps(figures(result)))["throughput"] == 4.0


def test_services_are_listed_one_a_line_and_refreshed_on_demand(app: Flask, provider: Simulator) -> None:
    lines = run(app, "services").stdout.splitlines()
    assert len(lines) == 236
    assert any(line.startswith(f"{SERVICE}\t0.08\t") for line in lines)
    asked = len(provider.calls())
    run(app, "services")
    assert len(provider.calls()) == asked
    run(app, "services", "--refresh")
    assert len(provider.calls()) == asked + 1


def test_a_backup_is_a_database_of_the_same_orders(app: Flask, data_dir: Path, tmp_path: Path, stock: Path) -> None:
    run(app, "submit", stock, "--service", SERVICE, "--yes")
    for words, folder in ((("backup",), data_dir / "backups"), (("backup", tmp_path / "safe"), tmp_path / "safe")):
        copy = Path(run(app, *words).stdout.strip())
        assert copy.parent == folder
        with IMEIDatabase(copy) as restored:
            assert restored.count_orders() == 250


def test_a_backup_into_a_file_is_a_sentence(app: Flask, stock: Path) -> None:
    result = run(app, "backup", stock / "folder")
    assert result.exit_code == 1
    assert "No backup was written" in result.stderr


def test_the_flask_command_runs_the_demo_to_the_end_in_its_own_process(data_dir: Path, stock: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GSM_", "RAILWAY_"))}
    environ |= {"DATA_DIR": str(data_dir), "GSM_FUSION_API_KEY": "", "GSM_FUSION_USERNAME": ""}
    words = ["-m", "flask", "--app", "web_app", "submit", str(stock), "--service", SERVICE, "--yes", "--json"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["total"] == 250 == said["successful"] + said["duplicates"] + said["failed"]


def test_ctrl_c_and_the_same_command_again_order_every_imei_once(
    provider: Simulator, data_dir: Path, stock: Path
) -> None:
    provider.set(latency=0.4)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAILWAY_")}
    environ |= {
        "DATA_DIR": str(data_dir),
        "GSM_FUSION_API_KEY": "DEMO-KEY",
        "GSM_FUSION_USERNAME": "demo",
        "GSM_FUSION_BASE_URL": provider.base_url,
        "WORKERS": "1",
    }
    words = ["-m", "flask", "--app", "web_app", "submit", str(stock), "--service", SERVICE, "--yes", "--json"]
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        wait_until(lambda: len(provider.charges()) > 100)
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
    assert first.returncode == 130, said
    assert "Run the same command again" in said
    assert 100 < len(provider.charges()) < 250
    second = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout.splitlines()[-1])["successful"] == 250
    assert len({charge.imei for charge in provider.charges()}) == len(provider.charges()) == 250


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sync_and_reparse_say_what_they_did(app: Flask, provider: Simulator, database: IMEIDatabase) -> None:
    runner = app.test_cli_runner()
    assert "0 orders asked for" in runner.invoke(args=["sync"]).output
    order = {"order_id": "5", "imei": imeis(1)[0], "status": "Pending", "result_code": "Model: iPhone 12"}
    database.insert_order(order)
    asked = runner.invoke(args=["sync"])
    assert asked.output.startswith("1 order asked for in 1 call: 0 changed, 1 still pending.")
    provider.set(fault="maintenance", fault_actions=("getimeis",))
    assert runner.invoke(args=["sync"]).exit_code == 1
    assert runner.invoke(args=["reparse"]).output == "1 result text read, 1 order changed.\n"


def test_sync_is_done_by_the_process_that_is_the_runner(
    app: Flask, real: Settings, provider: Simulator, database: IMEIDatabase
) -> None:
    """Only one process asks, so that the limit of calls is kept; the command says what that round brought."""
    database.insert_order({"order_id": "5", "imei": imeis(1)[0], "status": "Pending"})
    background = start_background(replace(real, auto_sync_interval=0), database)
    try:
        wait_until(lambda: runner_alive(real.data_dir))
        asked = app.test_cli_runner().invoke(args=["sync"])
    finally:
        background.stop()
    assert asked.output.startswith("1 order asked for in 1 call: 0 changed, 1 still pending.")
    done = [database.get_setting(name) for name in (order_sync.REQUESTED, order_sync.DONE)]
    assert done[0] == done[1] is not None
    assert [call.action for call in provider.calls()].count("getimeis") == 1


def test_an_import_says_what_it_would_do_and_does_it(app: Flask, database: IMEIDatabase, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text(f"SERVICE,IMEI NO.,STATUS,ORDER DATE\nA,{imeis(1)[0]},Completed,2025-11-14 3:33:00\nA,x,Pending,\n")
    runner = app.test_cli_runner()
    dry = runner.invoke(args=["import", str(file), "--dry-run"])
    assert "row 3: 'x' is not an IMEI." in dry.output
    assert "Nothing was written: 1 new, 0 updated, 0 unchanged, 1 not understood." in dry.output
    assert database.count_orders() == 0
    assert "Import 1: 1 new" in runner.invoke(args=["import", str(file)]).output
    assert "1 order restored" in runner.invoke(args=["undo-import", "1"]).output
    assert runner.invoke(args=["undo-import", "1"]).exit_code == 2
    file.write_text("colour\nblack\n")
    assert runner.invoke(args=["import", str(file)]).exit_code == 2
