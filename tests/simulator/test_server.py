"""The wire: connections, faults, and requests that cannot be read."""

import socket
import threading
import time
from typing import get_args

import pytest
import requests
from simulator_calls import API, SERVICE, A, B, C, Clock, charged, named, place, post, raw_request

from simulator.knobs import Fault
from simulator.server import Simulator


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


def test_the_listing_alone_comes_as_slowly_as_its_wire_is(simulator: Simulator) -> None:
    place(simulator, A)
    simulator.set(history=100)
    size = len(post(simulator, "getimeis").content)
    simulator.set(list_rate=size / 0.3, list_pause=0.2)
    begun = time.monotonic()
    assert len(post(simulator, "getimeis", orderIds="0").content) == size
    assert time.monotonic() - begun > 0.4
    simulator.set(list_rate=1.0)  # a byte a second: nothing else may be so slow
    assert post(simulator, "getimeis", orderIds=str(simulator.charges()[0].order_id)).ok


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


def test_a_truncated_answer_has_a_right_length_and_a_cut_document(simulator: Simulator) -> None:
    simulator.set(fault="truncated", fault_when="after")
    answer = post(simulator, "placeorder", imei=f"{A},{B}", networkId=SERVICE)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert A in answer.text and "</result>" not in answer.text


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


def test_a_quick_call_is_answered_before_the_proxy_gives_up(simulator: Simulator) -> None:
    simulator.set(gateway_timeout=0.05)
    assert named(place(simulator, A)) == [A]
    simulator.set(latency=0.2)
    assert post(simulator, "placeorder", imei=B, networkId=SERVICE).status_code == 524
    assert charged(simulator) == [A, B]
