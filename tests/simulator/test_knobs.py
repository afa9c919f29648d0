"""The knobs: over HTTP, on the command line, and what each fault makes of an answer."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from simulator_calls import SERVICE, A, B, charged, first_line, named, place, post

from simulator.knobs import Knobs
from simulator.server import Simulator

ROOT = Path(__file__).parents[2]

FOREIGN = "359999990000001"


def test_statuses_and_pages_of_faults_are_those_of_a_web_server(simulator: Simulator) -> None:
    found = {}
    for fault in ("503", "502", "429", "html200"):
        simulator.set(fault=fault)
        answer = post(simulator, "placeorder", imei=A, networkId=SERVICE)
        found[fault] = (answer.status_code, answer.headers["Content-Type"])
    assert found == {
        "503": (503, "text/plain"),
        "502": (502, "text/html"),
        "429": (429, "text/plain"),
        "html200": (200, "text/html"),
    }


@pytest.mark.parametrize(
    ("fault", "imeis", "ids"),
    [
        ("fewer", [A], 1),
        ("more", [A, B, FOREIGN], 3),
        ("foreign", [A, FOREIGN], 2),
        ("repeated", [A, B, A], 2),
        ("repeated_ids", [A, B], 1),
    ],
)
def test_an_answer_can_name_other_orders_than_were_placed(
    simulator: Simulator, fault: str, imeis: list[str], ids: int
) -> None:
    simulator.set(fault=fault, fault_when="after")
    root = place(simulator, A, B)
    assert (named(root), charged(simulator)) == (imeis, [A, B])
    assert len({order.findtext("id") for order in root.iter("imeis")}) == ids


def test_oddities_of_form_go_on_any_answer(simulator: Simulator) -> None:
    simulator.set(quirks=("phpxml", "bare_amp", "bom"))
    text = post(simulator, "imeiservices").content.decode()
    assert text.startswith("\ufeff<?phpxml version")
    assert "AT&T USA" in text and "&amp;T" not in text
    assert "<note>AT&T</note>" in post(simulator, "placeorder", imei=A, networkId=SERVICE).text


def struck(simulator: Simulator, calls: int, action: str = "getimeis") -> list[int]:
    return [number for number in range(1, calls + 1) if post(simulator, action).status_code == 503]


def test_faults_strike_chosen_calls_every_so_many_or_a_few_times(simulator: Simulator) -> None:
    simulator.set(fault="503", fault_actions=("getimeis",), fault_calls=(1, 3))
    assert struck(simulator, 4) == [1, 3]
    simulator.set(fault_calls=(), fault_every=3)
    assert struck(simulator, 6) == [2, 5]  # the sixth and the ninth of all
    simulator.set(fault="503", fault_every=0, fault_limit=2)
    assert struck(simulator, 4) == [1, 2]
    assert struck(simulator, 2, "accountinfo") == []


def test_a_share_of_faults_follows_from_the_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        with Simulator(Knobs(fault="503", fault_actions=("getimeis",), fault_share=0.5), seed=seed) as simulator:
            found.append(struck(simulator, 24))
    assert found[0] == found[1] != found[2]
    assert 3 < len(found[0]) < 21


def test_knobs_turn_over_http_and_a_wrong_one_changes_nothing(simulator: Simulator) -> None:
    control = simulator.base_url + "/control"
    turned = requests.post(control, json={"latency": 0.5, "fault_calls": [2, 3], "credit": 1}, timeout=10)
    assert turned.json()["fault_calls"] == [2, 3]
    for wrong in (
        {"latency": 9, "speed": 1},
        {"latency": "x"},
        {"latency": 9, "fault": "fire"},
        [1],
        {"quirks": ["x"]},
    ):
        assert requests.post(control, json=wrong, timeout=10).status_code == 400
    assert simulator.knobs() == Knobs(latency=0.5, fault_calls=(2, 3), credit=1)
    simulator.set(latency=0)
    place(simulator, A)
    assert requests.get(control, timeout=10).json()["credit"] == 0.92


def test_set_refuses_a_wrong_name_and_a_wrong_value(simulator: Simulator) -> None:
    with pytest.raises(TypeError):
        simulator.set(speed=1)
    with pytest.raises(ValueError, match="duplicates is 'sometimes'"):
        simulator.set(duplicates="sometimes")


def test_every_knob_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    announce = tmp_path / "announce.json"
    words = ["--latency=0.25", "--fault=503", "--fault-calls=[2]", "--credit=7", "--retry-after=false"]
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", f"--announce={announce}", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        base_url = first_line(process).strip()
        knobs = requests.get(base_url + "/control", timeout=10).json()
    finally:
        process.terminate()
        process.communicate()
    assert json.loads(announce.read_text())["pid"] == process.pid
    wanted = Knobs(latency=0.25, fault="503", fault_calls=(2,), credit=7, retry_after=False)
    assert knobs == json.loads(json.dumps(dataclasses.asdict(wanted)))
    assert process.returncode == 0


@pytest.mark.parametrize("word", ["--latency=slow", "--fault=fire", "--rate-limit=-1", "--fault-calls=3"])
def test_a_wrong_knob_on_the_command_line_ends_the_start_with_a_sentence(word: str) -> None:
    words = [sys.executable, "-m", "simulator", word]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("The provider did not start: ")
    assert "Traceback" not in ended.stderr
