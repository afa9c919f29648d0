"""`flask services` and `flask sync`, against a provider on a real socket."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from command_line import at_provider, imeis, make_app, run
from flask import Flask
from waiting import wait_until

from database import IMEIDatabase
from results import sync as order_sync
from runner import start_background
from settings import Settings
from simulator.knobs import Knobs
from simulator.server import Simulator
from submission import runner_alive

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


def test_services_are_listed_one_a_line_and_refreshed_on_demand(app: Flask, provider: Simulator) -> None:
    lines = run(app, "services").stdout.splitlines()
    assert len(lines) == 236
    assert any(line.startswith(f"{SERVICE}\t0.08\t") for line in lines)
    asked = len(provider.calls())
    run(app, "services")
    assert len(provider.calls()) == asked
    run(app, "services", "--refresh")
    assert len(provider.calls()) == asked + 1


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
        wait_until(lambda: runner_alive(real.data_dir), "a runner")
        asked = app.test_cli_runner().invoke(args=["sync"])
    finally:
        background.stop()
    assert asked.output.startswith("1 order asked for in 1 call: 0 changed, 1 still pending.")
    done = [database.get_setting(name) for name in (order_sync.REQUESTED, order_sync.DONE)]
    assert done[0] == done[1] is not None
    assert [call.action for call in provider.calls()].count("getimeis") == 1
