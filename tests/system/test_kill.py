"""kill -9 in the middle, as a deploy does it: the next process finishes the work, and the ledger shows no mistake."""

import json
import os
import random
import threading

import pytest
from forked_command import ForkedCommand, short_waits
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system
from waiting import wait_until

from database import IMEIDatabase

TOTAL = 3000


@pytest.fixture
def simulator():
    with Simulator(Knobs(history=1, latency=0.25, jitter=0.1)) as running:
        yield running


@pytest.fixture
def environment(simulator, data_dir):
    """The environment of a process that takes the simulator for the real provider."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GSM_", "RAILWAY_"))},
        "GSM_FUSION_API_KEY": "DEMO-KEY",
        "GSM_FUSION_USERNAME": "demo",
        "GSM_FUSION_BASE_URL": simulator.base_url,
        "ADMIN_PASSWORD": "a-password-for-tests",
        "DATA_DIR": str(data_dir),
        "SETTLE_QUIET": "0.3",
        "GSM_FUSION_TIMEOUT": "5",
        "WORKERS": "6",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "phones.csv"
    path.write_text("IMEI\n" + "\n".join(imeis(TOTAL)) + "\n")
    return path


def submit(upload, environment):
    command = ("submit", str(upload), "--service", SERVICE, "--yes", "--json")
    return ForkedCommand(upload.parent, environment, *command, before=short_waits)


def finish(upload, environment):
    """(exit code, result) of the command run to its end."""
    code, said, complaint = submit(upload, environment).finish()
    assert code in (0, 3), complaint
    return code, json.loads(said.splitlines()[-1])


def stop_after(seconds):
    """An event that sets itself."""
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    return stop


def kill_after(process, seconds):
    process.join(seconds)
    process.kill()
    process.join(20)


def test_killed_again_and_again_the_command_ends_with_every_imei_ordered_once(simulator, environment, upload, data_dir):
    moments, more = random.Random(7), 0
    for _ in range(6):
        kill_after(submit(upload, environment).process, moments.uniform(0.3, 1.5))
    code, result = finish(upload, environment)
    if code == 3:  # the last kill left nothing to send that could prove what was placed: the next order does
        with IMEIDatabase(data_dir / "imei_orders.db") as database, system(simulator, database, patience=20) as running:
            running.run_batch(result["batch_id"], stop=stop_after(1.5))
            more = running.submit_batch(imeis(3, first=TOTAL), SERVICE).successful
            running.run_batch(result["batch_id"])
        code, result = finish(upload, environment)
    assert (code, result["in_doubt"]) == (0, 0)
    assert result["total"] == result["successful"] + result["duplicates"] + result["failed"] == TOTAL
    with IMEIDatabase(data_dir / "imei_orders.db") as database:
        assert judge(simulator, database) == (0, 0)
        assert database.count_orders() == TOTAL + more == len(simulator.charges())


def test_sigterm_lets_the_calls_on_the_wire_end_and_loses_nothing(simulator, environment, upload, data_dir):
    simulator.set(listing="off")
    command = submit(upload, environment)
    wait_until(lambda: len(simulator.charges()) >= 600, "some calls are through")
    command.process.terminate()
    command.finish()
    assert finish(upload, environment)[1]["successful"] == TOTAL
    with IMEIDatabase(data_dir / "imei_orders.db") as database:
        assert judge(simulator, database) == (0, 0)
