"""The demo: one provider for all processes of a folder."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from simulator_calls import API, SERVICE, A, first_line
from waiting import wait_until

from simulator.demo import DemoProvider, ensure_running
from simulator.server import Simulator

ROOT = Path(__file__).parents[2]


def start_demo(folder: Path) -> subprocess.Popen[str]:
    """Another process that runs the demo until its standard input closes; prints the address first."""
    code = (
        "import sys, pathlib, simulator\n"
        "demo = simulator.ensure_running(pathlib.Path(sys.argv[1]))\n"
        "print(demo.base_url, demo.process is not None, flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def gone(base_url: str) -> bool:
    try:
        requests.get(base_url + "/whoami", timeout=5)
    except requests.ConnectionError:
        return True
    return False


def test_processes_that_start_the_demo_at_once_share_one_provider_that_ends_with_its_starter(tmp_path: Path) -> None:
    processes = [start_demo(tmp_path) for _ in range(3)]
    try:
        said = [first_line(process).split() for process in processes]
        assert len({url for url, _ in said}) == 1
        assert [started for _, started in said].count("True") == 1
        starter = processes[[started for _, started in said].index("True")]
        starter.kill()
        wait_until(lambda: gone(said[0][0]), "it has ended")
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_demo_that_is_started_again_keeps_its_port_and_remembers_its_orders(tmp_path: Path) -> None:
    first = ensure_running(tmp_path)
    assert ensure_running(tmp_path).process is None
    requests.post(first.base_url + "/control", json={"latency": 0, "jitter": 0}, timeout=10)
    form = {"apiKey": first.api_key, "userId": first.username, "action": "placeorder", "networkId": SERVICE}
    requests.post(first.base_url + API, data={**form, "imei": A}, timeout=10)
    first.close()
    second = ensure_running(tmp_path)
    page = requests.get(second.base_url + "/ledger", timeout=10).json()
    second.close()
    assert (second.base_url, [charge["imei"] for charge in page["charges"]]) == (first.base_url, [A])
    assert gone(first.base_url)


def test_a_demo_that_is_slow_to_answer_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one could have neither its port nor its ledger."""
    monkeypatch.setattr("simulator.demo.ALIVE_PATIENCE", 0.2)
    first = ensure_running(tmp_path)
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        assert ensure_running(tmp_path) == DemoProvider(first.base_url)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
        first.close()


def test_a_silent_program_on_the_port_of_a_dead_demo_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.demo.ALIVE_PATIENCE", 0.2)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        tmp_path.mkdir(exist_ok=True)
        (tmp_path / "simulator.json").write_text(json.dumps({"port": port, "pid": ended.pid}))
        demo = ensure_running(tmp_path)
        demo.close()
    assert not demo.base_url.endswith(f":{port}")


def test_a_demo_whose_port_was_taken_moves_to_another(tmp_path: Path) -> None:
    with Simulator() as other:
        tmp_path.mkdir(exist_ok=True)
        (tmp_path / "simulator.json").write_text(json.dumps({"port": other.port, "pid": 1}))
        demo = ensure_running(tmp_path)
        demo.close()
        assert demo.base_url != other.base_url
