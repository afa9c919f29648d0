"""What the simulated provider promises: its wire, its ledger, its knobs, and the demo that it plays."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
import requests

from simulator.demo import DemoProvider, ensure_running
from simulator.knobs import Fault, Knobs
from simulator.provider import FIRST_ORDER_ID, Ledger, Provider
from simulator.server import Simulator
from simulator.texts import catalogue, luhn_ok, result_text

API = "/gsmfusion_api/index.php"
PATH = API.encode()
SERVICE = "1739"
A, B, C, D = "353209110000007", "353209110000015", "353209110000023", "353209110000031"
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=100.0), clock=clock) as running:
        yield running


def post(simulator: Simulator, action: str, /, timeout: float = 10.0, **fields: str) -> requests.Response:
    """The HTTP answer to one call with the right credentials, over a connection of its own."""
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": action, **fields}
    return requests.post(simulator.base_url + API, data=form, timeout=timeout)


def ask(simulator: Simulator, action: str, **fields: str) -> Element:
    """The root element of the answer."""
    return ElementTree.fromstring(post(simulator, action, 10.0, **fields).content)


def place(simulator: Simulator, *imeis: str, service: str = SERVICE) -> Element:
    return ask(simulator, "placeorder", imei=",".join(imeis), networkId=service)


def named(root: Element) -> list[str | None]:
    return [order.findtext("imei") for order in root.iter("imeis")]


def charged(simulator: Simulator) -> list[str]:
    return [charge.imei for charge in simulator.charges()]


def error(root: Element) -> str | None:
    return root.text if root.tag == "error" else None


def statuses(simulator: Simulator, **fields: str) -> list[str | None]:
    return [order.findtext("status") for order in ask(simulator, "getimeis", **fields).iter("imeis")]


def raw_request(body: bytes = b"", headers: bytes = b"", path: bytes = PATH) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (path, len(body), headers, body)


def test_236_services_are_listed_with_their_prices_categories_and_mandatory_fields(simulator: Simulator) -> None:
    packages = list(ask(simulator, "imeiservices"))
    prices = {package.findtext("PackageId"): float(package.findtext("PackagePrice", "")) for package in packages}
    assert len(prices) == len(packages) == 236
    assert (prices["1739"], prices["269"]) == (0.08, 0.08)
    assert (min(prices.values()), max(prices.values())) == (0.02, 25.0)
    assert sum(package.find(".//Mandatory") is not None for package in packages) == 3
    assert any("&" in package.findtext("PackageTitle", "") for package in packages)


def test_a_list_is_placed_in_order_and_each_imei_is_charged_once(simulator: Simulator) -> None:
    root = place(simulator, A, B, C)
    assert [order.findtext("id") for order in root.iter("imeis")] == ["15000000", "15000001", "15000002"]
    assert named(root) == charged(simulator) == [A, B, C]
    assert [charge.credits for charge in simulator.charges()] == [0.08] * 3
    assert simulator.charges()[0].order_id == FIRST_ORDER_ID


def test_multipart_fields_are_read_like_urlencoded_ones(simulator: Simulator) -> None:
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
    files = {name: (None, value) for name, value in {**form, "imei": f"{A},{B}"}.items()}
    answer = requests.post(simulator.base_url + API, files=files, timeout=10)
    assert named(ElementTree.fromstring(answer.content)) == charged(simulator) == [A, B]


def test_wrong_credentials_unknown_actions_and_lost_fields_are_all_called_an_invalid_user(simulator: Simulator) -> None:
    wrong = requests.post(simulator.base_url + API, data={"apiKey": "x", "action": "accountinfo"}, timeout=10)
    lost = requests.get(simulator.base_url + API, timeout=10)
    texts = [wrong.text, lost.text, post(simulator, "nonsense").text]
    assert all("<error>Invalid User!</error>" in text for text in texts)
    assert wrong.status_code == lost.status_code == 200


def test_an_unknown_service_and_one_that_needs_more_than_an_imei_place_nothing(simulator: Simulator) -> None:
    needy = next(package for package in catalogue() if package.required)
    assert error(place(simulator, A, service="999999")) == "Invalid value of Network Id!"
    assert error(place(simulator, A, service=needy.package_id)) == "Email is required!"
    assert simulator.charges() == []


@pytest.mark.parametrize(("duplicates", "before", "after"), [("always", 1, 1), ("pending", 1, 2), ("never", 2, 3)])
def test_a_known_imei_is_refused_always_or_while_pending_or_never(
    timed: Simulator, clock: Clock, duplicates: str, before: int, after: int
) -> None:
    timed.set(duplicates=duplicates)
    place(timed, A)
    place(timed, A)
    assert len(timed.charges()) == before
    clock.now += 101
    place(timed, A)
    assert len(timed.charges()) == after


@pytest.mark.parametrize(
    ("style", "text", "placed"),
    [
        ("per_imei", None, [A, C]),
        ("whole_call", "IMEI already exists!", [A]),
        ("whole_call_clean", "IMEI already exists!", []),
    ],
)
def test_a_known_imei_within_a_list_is_told_in_three_styles(
    simulator: Simulator, style: str, text: str | None, placed: list[str]
) -> None:
    place(simulator, B)
    simulator.set(duplicate_style=style)
    root = place(simulator, A, B, C)
    assert (error(root), charged(simulator)[1:]) == (text, placed)
    assert root.findtext("imeiduplicates/imei") == (None if text else B)


def test_a_list_of_nothing_but_known_imeis_gets_one_error_text_or_a_list(simulator: Simulator) -> None:
    place(simulator, A, B)
    assert error(place(simulator, A, B)) == "IMEI already exists!"
    simulator.set(all_known="list")
    assert place(simulator, A, B).findtext("imeiduplicates/imei") == f"{A},{B}"


def test_an_imei_twice_in_one_list_is_placed_once(simulator: Simulator) -> None:
    root = place(simulator, A, A)
    assert (named(root), root.findtext("imeiduplicates/imei"), charged(simulator)) == ([A], A, [A])


@pytest.mark.parametrize(
    ("reading", "told", "paid"),
    [
        ("all", [A, B, C], [A, B, C]),
        ("last", [C], [C]),
        ("first", [A, B], [A, B]),
        ("charge_all_report_last", [C], [A, B, C]),
    ],
)
def test_a_comma_list_is_read_in_four_ways(
    simulator: Simulator, reading: str, told: list[str], paid: list[str]
) -> None:
    simulator.set(comma_list=reading, first_n=2)
    assert (named(place(simulator, A, B, C)), charged(simulator)) == (told, paid)


def test_an_invalid_imei_is_refused_alone_and_named_within_a_list(simulator: Simulator) -> None:
    assert error(place(simulator, "12345")) == "Invalid IMEI: 12345"
    root = place(simulator, A, "12<5")
    assert (named(root), root.findtext("imeierrors/imei")) == ([A], "12<5")
    assert charged(simulator) == [A]


def test_credit_ends_in_the_middle_of_a_list_after_those_before_were_charged(simulator: Simulator) -> None:
    simulator.set(credit=0.2)
    assert error(place(simulator, A, B, C)) == "Credit has been finished!"
    assert charged(simulator) == [A, B]
    assert ask(simulator, "accountinfo").findtext("ClientCredits") == "$ 0.04 USD"
    simulator.set(credit=5)
    assert named(place(simulator, C)) == [C]


def test_the_balance_falls_with_each_charge(simulator: Simulator) -> None:
    place(simulator, A, B)
    assert ask(simulator, "accountinfo").findtext("ClientCredits") == "$ 99999.84 USD"


def test_orders_go_from_pending_through_in_process_to_a_result_by_the_clock(timed: Simulator, clock: Clock) -> None:
    place(timed, A)
    assert statuses(timed, orderIds="15000000") == ["Pending"]
    clock.now += 50
    assert statuses(timed, orderIds="15000000") == ["In Process"]
    clock.now += 51
    order = ask(timed, "getimeis", orderIds="15000000")[0]
    assert (order.findtext("statusId"), order.findtext("status")) == ("2", "Completed")
    assert A in order.findtext("code", "")
    assert order.findtext("repliedat", "") > order.findtext("requestedat", "")


def test_complete_gives_all_orders_until_now_their_result_but_not_later_ones(timed: Simulator, clock: Clock) -> None:
    place(timed, A)
    clock.now += 1
    assert requests.post(timed.base_url + "/complete", timeout=10).json() == {"orders": 1}
    clock.now += 1
    place(timed, B)
    assert [order.status for order in timed.orders()] == ["Completed", "Pending"]


def test_a_wrong_check_digit_is_taken_charged_and_later_rejected(simulator: Simulator) -> None:
    assert named(place(simulator, "353209110000001")) == ["353209110000001"]
    assert statuses(simulator) == ["Rejected"]


def test_a_share_of_the_orders_is_rejected_and_always_the_same(simulator: Simulator) -> None:
    place(simulator, *(body for body in (f"35320911{n:07d}" for n in range(2000)) if luhn_ok(body)))
    simulator.set(rejection_share=0.3)
    first = [order.status for order in simulator.orders()]
    assert 30 < first.count("Rejected") < 90
    assert first == [order.status for order in simulator.orders()]


def test_ids_that_are_unknown_are_left_out_and_a_single_one_is_an_error(simulator: Simulator) -> None:
    place(simulator, A, B)
    root = ask(simulator, "getimeis", orderIds="15000001,77,abc,15000000")
    assert [order.findtext("id") for order in root.iter("imeis")] == ["15000001", "15000000"]
    assert error(ask(simulator, "getimeis", orderIds="77")) == "Invalid Order ID"


def test_recent_orders_are_listed_newest_first_up_to_the_limit_or_not_at_all(simulator: Simulator) -> None:
    place(simulator, A, B, C)
    assert named(ask(simulator, "getimeis")) == named(ask(simulator, "getimeis", orderIds="0")) == [C, B, A]
    simulator.set(listing_limit=2)
    assert named(ask(simulator, "getimeis")) == [C, B]
    simulator.set(listing="empty")
    assert named(ask(simulator, "getimeis")) == []
    simulator.set(listing="off")
    assert error(ask(simulator, "getimeis")) == "Invalid Order ID"


def test_a_lagging_listing_shows_an_order_only_after_the_lag(timed: Simulator, clock: Clock) -> None:
    timed.set(listing="lagging", listing_lag=20.0)
    place(timed, A)
    clock.now += 19
    place(timed, B)
    assert named(ask(timed, "getimeis")) == []
    clock.now += 2
    assert named(ask(timed, "getimeis")) == [A]


def test_the_package_of_an_order_is_its_title_or_its_id(simulator: Simulator) -> None:
    place(simulator, A, service="269")
    assert ask(simulator, "getimeis").findtext("imeis/package") == "T-Mobile USA - Status Check"
    simulator.set(package_as="id")
    assert ask(simulator, "getimeis").findtext("imeis/package") == "269"


def test_calls_beyond_the_rate_limit_get_429_until_the_window_ends(timed: Simulator, clock: Clock) -> None:
    timed.set(rate_limit=2, rate_window=60.0)
    answers = [post(timed, "placeorder", imei=imei, networkId=SERVICE) for imei in (A, B, C)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert post(timed, "getimeis").status_code == 200
    timed.set(retry_after=False)
    assert "Retry-After" not in post(timed, "imeiservices").headers
    clock.now += 60
    assert named(place(timed, C)) == charged(timed)[2:] == [C]


@pytest.mark.parametrize(("charge_when", "on_the_wire"), [("arrival", [A]), ("answer", [])])
def test_a_call_is_charged_on_arrival_or_on_answer_though_the_client_left(
    simulator: Simulator, charge_when: str, on_the_wire: list[str]
) -> None:
    simulator.set(latency=0.5, charge_when=charge_when)
    with pytest.raises(requests.ReadTimeout):
        post(simulator, "placeorder", timeout=0.1, imei=A, networkId=SERVICE)
    wait_until(lambda: bool(simulator.calls()))
    assert charged(simulator) == on_the_wire
    assert simulator.calls()[0].ended is None
    wait_until(lambda: simulator.calls()[0].ended is not None)
    assert charged(simulator) == [A]


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def test_many_calls_wait_at_once(simulator: Simulator) -> None:
    simulator.set(latency=0.3)
    imeis = [f"35320911{n:07d}" for n in range(60)]
    threads = [threading.Thread(target=place, args=(simulator, imei)) for imei in imeis]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 6  # one after the other would be 18 seconds
    assert sorted(charged(simulator)) == imeis


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [word for word in get_args(Fault) if word])
def test_each_fault_strikes_before_or_after_charging(simulator: Simulator, fault: str, when: str) -> None:
    simulator.set(fault=fault, fault_when=when, hang_seconds=0.01, trickle_seconds=0.0)
    try:
        status = post(simulator, "placeorder", imei=f"{A},{B}", networkId=SERVICE).status_code
    except requests.RequestException:
        status = None
    assert charged(simulator) == ([] if when == "before" else [A, B])
    assert simulator.calls()[0].fault == fault
    assert (status is None) == (fault in ("reset", "close", "hang", "cut_body"))
    assert simulator.calls()[0].status == (status or (200 if fault == "cut_body" else 0))


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


def test_a_reset_is_a_reset_and_a_close_is_a_clean_end(simulator: Simulator) -> None:
    body = f"apiKey=DEMO-KEY&userId=demo&action=placeorder&imei={A}&networkId={SERVICE}".encode()
    simulator.set(fault="close")
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
        connection.sendall(raw_request(body))
        assert connection.recv(100) == b""
    simulator.set(fault="reset")
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
        connection.sendall(raw_request(body))
        with pytest.raises(ConnectionResetError):
            connection.recv(100)


def test_a_trickling_answer_comes_byte_by_byte(simulator: Simulator) -> None:
    simulator.set(fault="trickle", trickle_seconds=0.5)
    answer = requests.Session().post(
        simulator.base_url + API,
        data={
            "apiKey": "DEMO-KEY",
            "userId": "demo",
            "action": "placeorder",
            "imei": A,
            "networkId": SERVICE,
        },
        timeout=5,
        stream=True,
    )
    assert answer.raw.read1(10) == b"<"
    answer.close()


FOREIGN = "359999990000001"


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


def test_a_truncated_answer_has_a_right_length_and_a_cut_document(simulator: Simulator) -> None:
    simulator.set(fault="truncated", fault_when="after")
    answer = post(simulator, "placeorder", imei=f"{A},{B}", networkId=SERVICE)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert A in answer.text and "</result>" not in answer.text


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


def test_a_ledger_is_remembered_and_a_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with Simulator(ledger=ledger) as simulator:
        place(simulator, A, B)
        charges = simulator.charges()
    with ledger.open("a") as lines:
        lines.write('[15000002,"3532091')
    with Simulator(ledger=ledger) as simulator:
        assert simulator.charges() == charges
        assert error(place(simulator, A)) == "IMEI already exists!"
        assert [order.findtext("id") for order in place(simulator, C).iter("imeis")] == ["15000002"]
    assert len(ledger.read_text().splitlines()) == 3


def test_a_ledger_has_one_writer(tmp_path: Path) -> None:
    with Simulator(ledger=tmp_path / "ledger"), pytest.raises(BlockingIOError):
        Simulator(ledger=tmp_path / "ledger")


def test_the_ledger_page_shows_charges_from_a_position_on(simulator: Simulator) -> None:
    place(simulator, A, B)
    place(simulator, C)
    page = requests.get(simulator.base_url + "/ledger?since=1", timeout=10).json()
    assert [charge["imei"] for charge in page["charges"]] == [B, C]
    assert (page["total"], page["credits"], page["calls"]) == (3, 0.24, 2)
    assert [call["imeis"] for call in requests.get(simulator.base_url + "/calls", timeout=10).json()] == [
        2,
        1,
    ]


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


def test_one_connection_serves_many_calls_also_in_pieces_and_all_at_once(simulator: Simulator) -> None:
    body = b"apiKey=DEMO-KEY&userId=demo&action=accountinfo"
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
        for piece in (raw_request(body)[:20], raw_request(body)[20:-5], raw_request(body)[-5:]):
            connection.sendall(piece)
            time.sleep(0.01)
        connection.sendall(raw_request(body) + raw_request(body, b"Connection: close\r\n"))
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b"</Client>") == 3


def test_what_is_no_request_gets_400_and_an_unknown_page_404(simulator: Simulator) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert requests.get(simulator.base_url + "/nowhere", timeout=10).status_code == 404
    assert requests.get(simulator.base_url + "/ledger?since=x", timeout=10).status_code == 400


def test_a_device_says_the_same_whichever_service_asks() -> None:
    packages = {package.package_id: package for package in catalogue()}
    full, network = result_text(packages["1739"], A), result_text(packages["269"], A)
    model = full.split("<br>")[0].removeprefix("Model: ")
    assert network.startswith(f"Device Model: {model}<br>")
    assert all(result_text(package, A) for package in packages.values())


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


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


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
        wait_until(lambda: gone(said[0][0]))
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


def test_a_silent_stranger_on_the_port_of_a_dead_demo_is_not_taken_for_it(
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


def test_a_slow_call_places_each_imei_in_its_turn_and_answers_after_the_last(simulator: Simulator) -> None:
    simulator.set(seconds_per_imei=0.1)
    begun = time.time()
    assert named(place(simulator, A, B, C)) == [A, B, C]
    assert time.time() - begun >= 0.3
    moments = [charge.time - begun for charge in simulator.charges()]
    assert all(moment >= 0.1 * turn - 0.01 for turn, moment in enumerate(moments, 1))


def test_a_slow_call_goes_on_when_the_client_hangs_up_and_other_calls_are_answered_meanwhile(
    simulator: Simulator,
) -> None:
    simulator.set(seconds_per_imei=0.25)
    with pytest.raises(requests.ReadTimeout):
        post(simulator, "placeorder", timeout=0.05, imei=f"{A},{B},{C}", networkId=SERVICE)
    assert named(ask(simulator, "getimeis")) == charged(simulator) == []
    wait_until(lambda: len(simulator.charges()) == 1)
    assert named(ask(simulator, "getimeis", orderIds="15000000")) == [A]
    assert simulator.calls()[0].ended is None
    wait_until(lambda: simulator.calls()[0].ended is not None)
    assert charged(simulator) == [A, B, C]


def test_two_slow_calls_are_worked_on_at_once_and_give_each_order_an_id_of_its_own(simulator: Simulator) -> None:
    simulator.set(seconds_per_imei=0.05)
    threads = [threading.Thread(target=place, args=(simulator, *imeis)) for imeis in ((A, B), (C, D))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {charge.call for charge in simulator.charges()[:2]} == {1, 2}
    assert [charge.order_id for charge in simulator.charges()] == [FIRST_ORDER_ID + place for place in range(4)]


def test_a_slow_call_stops_in_the_middle_where_an_imei_is_known(simulator: Simulator) -> None:
    place(simulator, B)
    simulator.set(seconds_per_imei=0.05, duplicate_style="whole_call")
    assert error(place(simulator, A, B, C)) == "IMEI already exists!"
    assert charged(simulator) == [B, A]
    simulator.set(duplicate_style="whole_call_clean")
    assert error(place(simulator, C, B)) == "IMEI already exists!"
    assert charged(simulator) == [B, A]


def test_a_proxy_gives_up_on_a_slow_call_that_the_provider_goes_on_with(simulator: Simulator) -> None:
    simulator.set(seconds_per_imei=0.25, gateway_timeout=0.05)
    session = requests.Session()
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
    answer = session.post(simulator.base_url + API, data={**form, "imei": f"{A},{B},{C}"}, timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (524, "text/html")
    assert (charged(simulator), simulator.calls()[0].status) == ([], 524)
    wait_until(lambda: charged(simulator) == [A, B, C])
    assert "<Client>" in session.post(simulator.base_url + API, data={**form, "action": "accountinfo"}).text


def test_a_quick_call_is_answered_before_the_proxy_gives_up(simulator: Simulator) -> None:
    simulator.set(gateway_timeout=0.05)
    assert named(place(simulator, A)) == [A]
    simulator.set(latency=0.2)
    assert post(simulator, "placeorder", imei=B, networkId=SERVICE).status_code == 524
    assert charged(simulator) == [A, B]


@pytest.mark.parametrize("fault", ["503", "reset", "close"])
def test_a_fault_comes_at_once_and_the_orders_are_placed_later(simulator: Simulator, fault: str) -> None:
    simulator.set(fault=fault, fault_when="later", create_after=0.3, fault_calls=(1,))
    try:
        status = post(simulator, "placeorder", imei=f"{A},{B}", networkId=SERVICE).status_code
    except requests.ConnectionError:
        status = 0
    assert status == (503 if fault == "503" else 0)
    assert named(ask(simulator, "getimeis")) == charged(simulator) == []
    wait_until(lambda: charged(simulator) == [A, B])
    started = simulator.calls()[0].started
    assert all(charge.time >= started + 0.29 for charge in simulator.charges())


def test_a_provider_on_a_clock_of_the_test_works_only_when_it_is_asked_to(clock: Clock) -> None:
    knobs, answers, begun = Knobs(seconds_per_imei=10.0), list[str](), clock.now
    provider = Provider(knobs, Ledger(None), clock, seed=0)
    provider.begin({"imei": f"{A},{B}", "networkId": SERVICE}, 1, answers.append)
    provider.begin({"imei": C, "networkId": SERVICE}, 2, answers.append, after=3.0)
    clock.now += 60
    assert provider.ledger.charges == []
    provider.work_until(begun + 19.0)
    assert [(charge.imei, charge.time - begun) for charge in provider.ledger.charges] == [(A, 10.0), (C, 13.0)]
    assert [C in answer for answer in answers] == [True]
    provider.work_until(clock.now)
    assert (provider.ledger.charges[-1].imei, provider.ledger.charges[-1].time - begun) == (B, 20.0)
    assert A in answers[1] and B in answers[1]


def listed(simulator: Simulator, what: str = "imei") -> list[str | None]:
    """One field of each order on the list of recent orders."""
    return [order.findtext(what) for order in ask(simulator, "getimeis").iter("imeis")]


@pytest.mark.parametrize(
    ("holes", "limit", "shown"),
    [
        ("open_only", 0, [D, C, B]),
        ("open_only", 1, [D]),
        ("no_in_process", 0, [D, A]),
        ("newest_per_service", 1, [D, C]),
        ("newest_changed", 3, [D, A, C]),
        ("newest_changed", 0, [D, A, C, B]),
    ],
)
def test_the_listing_leaves_out_what_the_knob_says(
    timed: Simulator, clock: Clock, holes: str, limit: int, shown: list[str]
) -> None:
    place(timed, A)
    clock.now += 55
    place(timed, B)
    place(timed, C, service="269")
    clock.now += 50  # A has had its result for 45 s, B and C are In Process
    place(timed, D)
    timed.set(listing_holes=holes, listing_limit=limit)
    assert listed(timed) == shown


def test_chosen_orders_show_late_on_the_list_while_newer_ones_show_at_once(timed: Simulator, clock: Clock) -> None:
    timed.set(late_orders=(1,), late_seconds=20.0)
    place(timed, A, B, C)
    assert listed(timed) == [C, A]
    assert named(ask(timed, "getimeis", orderIds="15000001")) == [B]
    clock.now += 20
    assert listed(timed) == [C, B, A]


def test_a_share_of_the_orders_shows_late_and_always_the_same(timed: Simulator, clock: Clock) -> None:
    timed.set(late_share=0.3, late_seconds=20.0)
    place(timed, *(f"35320911{n:07d}" for n in range(200)))
    first = listed(timed)
    assert 110 < len(first) < 170
    assert first == listed(timed)
    clock.now += 20
    assert len(listed(timed)) == 200


def test_the_list_and_the_balance_are_answered_from_a_copy_until_it_is_old(timed: Simulator, clock: Clock) -> None:
    timed.set(list_cache=10.0, balance_cache=5.0)
    place(timed, A)
    copies = [post(timed, action).content for action in ("getimeis", "accountinfo")]
    place(timed, B)
    clock.now += 4
    assert [post(timed, action).content for action in ("getimeis", "accountinfo")] == copies
    assert named(ask(timed, "getimeis", orderIds="15000001")) == [B]
    clock.now += 2
    assert ask(timed, "accountinfo").findtext("ClientCredits") == "$ 99999.84 USD"
    assert listed(timed) == [A]
    clock.now += 4
    assert listed(timed) == [B, A]


def test_a_listing_knob_takes_effect_at_once_though_there_is_a_copy(timed: Simulator) -> None:
    timed.set(list_cache=10.0)
    assert listed(timed) == []
    timed.set(listing="off")
    assert error(ask(timed, "getimeis")) == "Invalid Order ID"


@pytest.mark.parametrize(
    ("style", "written"),
    [
        ("plain", "035320911000000"),
        ("blanks", "03 532091 100000 0"),
        ("dashes", "03-532091-100000-0"),
        ("masked", "035320*****0000"),
        ("no_leading_zero", "35320911000000"),
        ("body", "03532091100000"),
    ],
)
def test_getimeis_writes_imeis_in_six_styles(simulator: Simulator, style: str, written: str) -> None:
    simulator.set(imei_style=style)
    assert named(place(simulator, "035320911000000")) == ["035320911000000"]
    assert listed(simulator) == named(ask(simulator, "getimeis", orderIds="15000000")) == [written]


@pytest.mark.parametrize(
    ("style", "requested", "replied"),
    [
        ("iso", "2027-01-15 03:00:00", "2027-01-15 15:30:00"),
        ("us", "01/15/2027 3:00 AM", "01/15/2027 3:30 PM"),
        ("day_first", "15/01/2027 03:00", "15/01/2027 15:30"),
        ("none", "", ""),
    ],
)
def test_getimeis_writes_times_in_four_styles(
    timed: Simulator, clock: Clock, style: str, requested: str, replied: str
) -> None:
    timed.set(date_style=style, turnaround=1e6)
    place(timed, A)
    clock.now += 12.5 * 3600
    timed.complete()
    assert (listed(timed, "requestedat"), listed(timed, "repliedat")) == ([requested], [replied])


def test_older_orders_of_the_same_service_are_on_the_list_with_smaller_ids(simulator: Simulator) -> None:
    simulator.set(history=3, history_same=2)
    place(simulator, A, service="269")
    title = "T-Mobile USA - Status Check"
    assert listed(simulator, "package") == [title, title, title, "Old check"]
    assert listed(simulator, "id") == ["15000000", "9000000", "8999999", "8999998"]
    simulator.set(package_as="id", listing_holes="open_only")
    assert listed(simulator, "package") == []
    simulator.set(listing_holes="newest_per_service", listing_limit=1)
    assert listed(simulator, "package") == ["269", "Old check"]


def test_accountinfo_can_be_an_action_that_the_provider_does_not_know(simulator: Simulator) -> None:
    simulator.set(accountinfo="off")
    assert error(ask(simulator, "accountinfo")) == "Invalid User!"
    assert named(place(simulator, A)) == [A]


def test_a_price_factor_changes_the_listed_price_and_what_is_charged_from_then_on(simulator: Simulator) -> None:
    place(simulator, A)
    simulator.set(price_factor=1.2, credit=0.15)
    prices = {
        package.findtext("PackageId"): package.findtext("PackagePrice") for package in ask(simulator, "imeiservices")
    }
    assert prices[SERVICE] == "0.10"
    assert error(place(simulator, B, C)) == "Credit has been finished!"
    assert [charge.credits for charge in simulator.charges()] == [0.08, 0.1]
    assert simulator.balance() == simulator.knobs().credit == 0.05


def test_a_slow_call_charges_the_price_of_each_moment(clock: Clock) -> None:
    provider = Provider(Knobs(seconds_per_imei=1.0), Ledger(None), clock, seed=0)
    provider.begin({"imei": f"{A},{B}", "networkId": SERVICE}, 1)
    provider.work_until(clock.now + 1)
    provider.change({"price_factor": 2.0})
    provider.work_until(clock.now + 2)
    assert [charge.credits for charge in provider.ledger.charges] == [0.08, 0.16]
    assert provider.balance() == 100_000 - 0.24


WRONG_CHECK_DIGIT = "353209110000001"


def test_the_price_of_a_rejected_order_is_given_back_when_it_is_replied(timed: Simulator, clock: Clock) -> None:
    timed.set(refund_rejected=True)
    place(timed, A, WRONG_CHECK_DIGIT)
    assert timed.balance() == 100_000 - 0.16
    clock.now += 100
    assert timed.balance() == timed.balance() == 100_000 - 0.08
    assert ask(timed, "accountinfo").findtext("ClientCredits") == "$ 99999.92 USD"
    assert charged(timed) == [A, WRONG_CHECK_DIGIT]


def test_a_refund_can_be_spent_and_none_is_given_for_a_rejection_before_the_knob_or_the_credit_was_set(
    timed: Simulator, clock: Clock
) -> None:
    place(timed, WRONG_CHECK_DIGIT)
    clock.now += 100
    timed.set(refund_rejected=True, credit=0.08)
    assert timed.balance() == 0.08
    place(timed, "353209110000002")
    assert error(place(timed, A)) == "Credit has been finished!"
    clock.now += 100
    assert named(place(timed, A)) == [A]
    assert timed.balance() == 0.0


@pytest.mark.parametrize(("order_key", "ids"), [("honoured", ["15000000"] * 2), ("ignored", ["15000000", "15000001"])])
def test_a_key_that_is_honoured_gets_the_first_answer_again(
    simulator: Simulator, order_key: str, ids: list[str]
) -> None:
    simulator.set(order_key=order_key, duplicates="never")
    form = {"imei": A, "networkId": SERVICE, "orderId": "k1"}
    answers = [ask(simulator, "placeorder", **form) for _ in range(2)]
    assert [answer.findtext("imeis/id") for answer in answers] == ids
    assert len(simulator.charges()) == len(set(ids))
    assert len(named(ask(simulator, "placeorder", **{**form, "imei": f"{B},{C}"}))) == 2
    assert named(ask(simulator, "placeorder", **{**form, "orderId": "k2"})) == [A]


def test_a_key_of_a_call_in_work_waits_for_it_and_one_of_a_refused_call_is_free(clock: Clock) -> None:
    knobs, answers = Knobs(seconds_per_imei=1.0, order_key="honoured", credit=0.0), list[str]()
    provider = Provider(knobs, Ledger(None), clock, seed=0)
    form = {"imei": A, "networkId": SERVICE, "orderId": "k1"}
    provider.begin(form, 1)
    provider.work_until(clock.now + 1)
    provider.change({"credit": 1.0})
    provider.begin(form, 2, answers.append)
    provider.begin(form, 3, answers.append)
    provider.work_until(clock.now + 1)
    assert answers[0] == answers[1] and "<id>15000000</id>" in answers[0]
    assert provider.answer("placeorder", form, 4) == answers[0]
    assert len(provider.ledger.charges) == 1


@pytest.mark.parametrize(("duplicates", "charges"), [("never", 2), ("always", 1)])
@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_call_that_a_proxy_sends_twice_gets_the_second_answer(
    simulator: Simulator, duplicates: str, charges: int, seconds: float
) -> None:
    simulator.set(repeat_share=1.0, duplicates=duplicates, seconds_per_imei=seconds)
    root = place(simulator, A)
    assert [(charge.imei, charge.call) for charge in simulator.charges()] == [(A, 1)] * charges
    assert root.findtext("imeis/id") == ("15000001" if charges == 2 else None)
    assert error(root) == (None if charges == 2 else "IMEI already exists!")
    assert len(simulator.calls()) == 1


def test_a_share_of_calls_is_sent_twice_by_the_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        with Simulator(Knobs(repeat_share=0.5, duplicates="never"), seed=seed) as simulator:
            for _ in range(24):
                place(simulator, A)
            found.append([charge.call for charge in simulator.charges()])
    assert found[0] == found[1] != found[2]
    assert 27 < len(found[0]) < 45


def test_an_order_placed_elsewhere_is_charged_listed_and_known(simulator: Simulator) -> None:
    order_id = simulator.order_elsewhere(A, SERVICE)
    assert listed(simulator, "id") == [str(order_id)]
    assert [(charge.imei, charge.call) for charge in simulator.charges()] == [(A, 0)]
    assert simulator.balance() == 100_000 - 0.08
    assert error(place(simulator, A)) == "IMEI already exists!"
    assert place(simulator, B).findtext("imeis/id") == str(order_id + 1)
    with pytest.raises(KeyError):
        simulator.order_elsewhere(A, "no such service")
