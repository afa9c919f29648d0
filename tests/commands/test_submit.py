"""The command line, against a provider on a real socket: what it says, what it orders, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command_line import at_provider, imeis, make_app, run
from flask import Flask
from forked_command import ForkedCommand
from gunicorn_server import environ_of
from handmade_calls import read_balance
from waiting import wait_until

from commands import submit as commands
from commands.submit import DISAGREES, exit_code, figures
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import Outcome, ServiceInfo, SubmissionResult
from runner import run_or_follow, start_background
from settings import Settings
from simulator.knobs import Knobs
from simulator.server import Simulator
from storage.batch_queries import progress
from submission import Checkpoints, stop_restored

ROOT = Path(__file__).parents[2]
SERVICE = "1739"


@pytest.fixture
def provider() -> Iterator[Simulator]:
    with Simulator(Knobs()) as running:
        yield running


@pytest.fixture
def real(settings: Settings, provider: Simulator) -> Settings:
    return at_provider(settings, provider)


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


def test_a_file_that_was_ordered_comes_back_with_its_results(app: Flask, stock: Path, tmp_path: Path) -> None:
    run(app, "submit", stock, "--service", SERVICE, "--yes")
    out = tmp_path / "back.csv"
    result = run(app, "results", "stock.csv", "--out", out)
    assert result.exit_code == 0, result.output
    assert "250 of 250 pending" in result.stderr
    rows, before = out.read_text(encoding="utf-8").splitlines(), stock.read_text(encoding="utf-8").splitlines()
    assert [row.partition(",")[0] for row in rows] == before
    assert rows[0].startswith("IMEI,Verdict,Model,")
    assert rows[-1].endswith("Not checked,,,No IMEI: an IMEI has 15 digits.")


def test_what_was_read_and_what_it_costs_is_said_on_standard_error(app: Flask, stock: Path) -> None:
    said = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json").stderr
    assert "stock.csv" in said
    assert "250 IMEIs ready" in said
    assert "1 IMEI left out: wrong check digit" in said
    assert "1 value repeated" in said
    assert "broken screen" in said
    assert "250 IMEIs x $0.08 = $20.00" in said
    assert "100%" in said


def test_without_a_terminal_each_percent_of_the_progress_is_a_line(app: Flask, stock: Path) -> None:
    lines = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json").stderr.splitlines()
    shown = [line for line in lines if line.startswith("Batch 1:") and line.endswith("%")]
    assert shown[-1] == "Batch 1: 100%"
    assert len(shown) == len(set(shown))


def test_in_a_terminal_the_bar_shows_position_cost_and_doubt(
    app: Flask, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click._termui_impl.isatty", lambda _: True)
    said = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json").stderr
    assert re.search(r"Batch 1: 100%  \[#+\]  250/250  \$20\.00", said)


def test_second_imeis_are_announced_with_their_cost_and_ordered_on_request(
    app: Flask, provider: Simulator, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join(["IMEI", *map("{}/{}".format, imeis(3), imeis(3, 50))]), encoding="utf-8")
    said = run(app, "submit", pairs, "--service", SERVICE, "--yes").stderr
    assert "3 second IMEIs left out; --second-imeis checks them too, for $0.24 more" in said
    assert len(provider.charges()) == 3
    run(app, "submit", pairs, "--service", SERVICE, "--yes", "--second-imeis")
    assert len(provider.charges()) == 6


def test_without_json_the_summary_is_for_reading(app: Flask, stock: Path) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert "Batch 1: 250 IMEIs in" in result.stdout
    assert "Ordered" in result.stdout
    assert "$20.00" in result.stdout


def test_the_summary_compares_the_balance_with_the_cost_where_both_moments_are_known(
    app: Flask, database: IMEIDatabase, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that ends before the balance is read again says nothing of it."""
    read_balance(database, 100.0)

    def run_and_read(*arguments: Any) -> SubmissionResult:
        result = run_or_follow(*arguments)
        read_balance(database, 79.0)
        return result

    monkeypatch.setattr(commands, "run_or_follow", run_and_read)
    said = run(app, "submit", stock, "--service", SERVICE, "--yes").stdout.splitlines()
    [line] = [line for line in said if "Balance" in line]
    assert "$79.00" in line
    assert "The orders of that time cost $20.00." in line


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


# The audit after a batch with doubt


@pytest.fixture
def doubtful(provider: Simulator) -> Simulator:
    """The first call is charged and its answer lost; the provider's list shows what came of it."""
    provider.set(fault="close", fault_when="after", fault_limit=1, history=1)
    return provider


def place_by_hand(provider: Simulator) -> None:
    provider.set(duplicates="never")
    with GSMFusionClient("DEMO-KEY", "demo", 5, options=ClientOptions(provider.base_url)) as client:
        client.place_imei_order(imeis(1)[0], SERVICE)


@pytest.fixture
def charged_again(doubtful: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The first IMEI is charged twice while the command works."""

    def run_and_charge(*args: Any) -> SubmissionResult:
        result = run_or_follow(*args)
        place_by_hand(doubtful)
        return result

    monkeypatch.setattr(commands, "run_or_follow", run_and_charge)
    return doubtful


def test_a_batch_without_doubt_is_not_audited(app: Flask, provider: Simulator, stock: Path) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == 0
    assert "was in doubt" not in result.stderr


def test_a_settled_doubt_is_audited_and_agreement_leaves_the_exit_code(
    app: Flask, doubtful: Simulator, stock: Path
) -> None:
    result = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert last_json(result)["in_doubt"] == 0
    assert result.stdout.count("\n") == 1
    assert "Both sides agree." in result.stderr


def test_an_imei_that_was_charged_twice_exits_with_4(app: Flask, charged_again: Simulator, stock: Path) -> None:
    """Seen: exit code 0 after 540 double charges."""
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == DISAGREES == 4, result.output
    assert "Charged twice                        1" in result.stderr
    assert "Agreement is not proven" in result.stderr
    assert "Batch 1: 250 IMEIs" in result.stdout


def test_what_is_still_in_doubt_exits_with_3_and_prints_the_audit(
    real: Settings, database: IMEIDatabase, charged_again: Simulator, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.patience_of", lambda _settings: 0.3)
    charged_again.set(listing="empty")
    result = run(make_app(real, database), "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == 3, result.output
    assert "in doubt." in result.stderr


def test_an_audit_that_cannot_be_completed_leaves_the_exit_code_and_is_said(
    app: Flask, doubtful: Simulator, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_and_close(*args: Any) -> SubmissionResult:
        result = run_or_follow(*args)
        doubtful.set(listing="off")
        return result

    monkeypatch.setattr(commands, "run_or_follow", run_and_close)
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == 0, result.output
    assert "The audit is not complete" in result.stderr


def test_a_database_that_fails_under_the_audit_leaves_the_exit_code_and_is_said(
    app: Flask, doubtful: Simulator, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise DatabaseUnavailableError("", None, OSError("disk I/O error"))

    monkeypatch.setattr(commands, "audit_now", fails)
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == 0, result.output
    assert "no audit could be made" in result.stderr


# Refusals: one sentence, exit code 2, nothing written, nothing sent


def refused(result: Result, provider: Simulator, database: IMEIDatabase, calls: int = 0) -> str:
    """The sentence of a command that did nothing; calls are paid ones of before."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert [call.action for call in provider.calls()].count("placeorder") == calls
    assert database.count_orders() == 0
    return result.stderr.splitlines()[-1]


def test_an_unknown_service_is_refused(app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path) -> None:
    assert "99999" in refused(run(app, "submit", stock, "--service", "99999", "--yes"), provider, database)


def test_a_service_that_needs_more_than_an_imei_is_refused_by_what_it_needs(
    app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path
) -> None:
    run(app, "services")
    service = next(service for service in database.get_services()[0] if service.required_fields)
    said = refused(run(app, "submit", stock, "--service", service.package_id, "--yes"), provider, database)
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


def test_a_restored_database_continues_no_batch(
    app: Flask, provider: Simulator, database: IMEIDatabase, stock: Path, data_dir: Path
) -> None:
    """The copy does not know what was paid after it: the same file must not continue the batch that was stopped."""
    provider.set(fault="auth")
    assert run(app, "submit", stock, "--service", SERVICE, "--yes").exit_code == 1
    provider.set(fault="")
    stop_restored(database, Checkpoints(data_dir / "checkpoints"))
    said = refused(run(app, "submit", stock, "--service", SERVICE, "--yes"), provider, database, calls=1)
    assert "rebuild-from-provider" in said


def test_a_missing_file_and_a_missing_service_are_usage_errors(app: Flask, stock: Path) -> None:
    assert run(app, "submit", "nowhere.csv", "--service", SERVICE).exit_code == 2
    assert run(app, "submit", stock).exit_code == 2


def test_a_provider_that_is_down_is_said_when_no_price_is_known(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    provider.set(fault="maintenance", fault_actions=("imeiservices",))
    said = refused(run(make_app(real, database), "submit", stock, "--service", SERVICE, "--yes"), provider, database)
    assert "maintenance" in said


def priced(database: IMEIDatabase, age: float) -> None:
    """Store the prices of the provider as it listed them this many seconds ago."""
    database.store_services([ServiceInfo(SERVICE, "Check", 0.08), ServiceInfo("269", "Status", 0.1)], time.time() - age)


def test_a_price_that_rose_since_it_was_shown_is_refused_and_the_same_command_again_shows_it(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    priced(database, 60)
    provider.set(price_factor=6.0)
    app = make_app(real, database)
    result = run(app, "submit", stock, "--service", SERVICE, "--yes")
    assert "250 IMEIs x $0.08 = $20.00" in result.stderr
    said = refused(result, provider, database)
    assert said.endswith("The price of “Check” rose from $0.08 to $0.48. Check the new cost and confirm again.")
    assert "250 IMEIs x $0.48 = $120.00" in run(app, "submit", stock, "--service", SERVICE, typed="").stderr


@pytest.mark.parametrize(("age", "code"), [(60.0, 0), (400.0, 2)])
def test_a_price_that_cannot_be_checked_is_believed_for_five_minutes(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path, age: float, code: int
) -> None:
    provider.set(fault="maintenance", fault_actions=("imeiservices",))
    priced(database, age)
    result = run(make_app(real, database), "submit", stock, "--service", SERVICE, "--yes")
    assert result.exit_code == code, result.output
    if code:
        assert "The price could not be checked, so nothing was ordered." in refused(result, provider, database)


def test_an_interrupted_batch_is_continued_at_the_price_that_is_shown(
    real: Settings, database: IMEIDatabase, provider: Simulator, stock: Path
) -> None:
    priced(database, 5)
    app = make_app(real, database)
    provider.set(fault="auth", price_factor=6.0)
    run(app, "submit", stock, "--service", SERVICE, "--yes")
    provider.set(fault="")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE services SET refreshed_at = refreshed_at - 60")
    said = refused(run(app, "submit", stock, "--service", SERVICE, "--yes"), provider, database, calls=1)
    assert "rose from $0.08 to $0.48" in said
    resumed = run(app, "submit", stock, "--service", SERVICE, "--yes", "--json")
    assert resumed.exit_code == 0, resumed.output
    assert ", $0.48 an IMEI" in resumed.stderr
    assert "$120.00" in resumed.stderr


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
    result = SubmissionResult(2, 1, 0, 0.5, batch_id=1, duplicates=1, in_doubt=0, throughput=4.0)
    assert figures(result).keys() == {f.name for f in fields(result)} - {"orders", "errors"}
    assert json.loads(json.dumps(figures(result)))["throughput"] == 4.0


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
    account = {
        "GSM_FUSION_API_KEY": "DEMO-KEY",
        "GSM_FUSION_USERNAME": "demo",
        "GSM_FUSION_BASE_URL": provider.base_url,
        "WORKERS": "1",
    }
    environ, words = environ_of(data_dir, **account), ("submit", str(stock), "--service", SERVICE, "--yes", "--json")
    first = ForkedCommand(data_dir.parent, environ, *words)
    wait_until(lambda: len(provider.charges()) > 100, "some are charged")
    os.kill(first.process.pid or 0, signal.SIGINT)
    code, _, said = first.finish()
    assert code == 130, said
    assert "Run the same command again" in said
    assert 100 < len(provider.charges()) < 250
    code, printed, said = ForkedCommand(data_dir.parent, environ, *words).finish()
    assert code == 0, said
    assert json.loads(printed.splitlines()[-1])["successful"] == 250
    assert len({charge.imei for charge in provider.charges()}) == len(provider.charges()) == 250


def test_a_batch_gets_the_names_of_the_command(app: Flask, database: IMEIDatabase, stock: Path) -> None:
    """Without a name it is called like the file."""
    names = ("--customer", "Acme PO 4711", "--note", "Box 3")
    assert run(app, "submit", stock, "--service", SERVICE, "--yes", *names).exit_code == 0
    batch = progress(database, 1)
    assert batch and (batch.label, batch.customer, batch.note) == (stock.name, "Acme PO 4711", "Box 3")


def test_a_file_is_ordered_whatever_bytes_its_name_has(
    app: Flask, provider: Simulator, database: IMEIDatabase, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"st\xfcck.csv")
    odd.write_text("\n".join(imeis(2)), encoding="utf-8")
    result = run(app, "submit", odd, "--service", SERVICE, "--yes", "--note", os.fsdecode(b"caf\xe9"))
    assert result.exit_code == 0, result.output
    found = progress(database, 1)
    assert found is not None and (found.label, found.note) == ("st\ufffdck.csv", "caf\ufffd")
    assert len(provider.charges()) == 2
    out = tmp_path / "back.csv"
    assert run(app, "results", odd, "--out", out).exit_code == 0
