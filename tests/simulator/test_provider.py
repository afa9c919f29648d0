"""placeorder: what is placed, charged, refused and repeated."""

import threading
import time
from xml.etree import ElementTree

import pytest
import requests
from simulator_calls import API, SERVICE, A, B, C, Clock, D, ask, charged, error, listed, named, place, post, statuses
from waiting import wait_until

from simulator.knobs import FIRST_ORDER_ID, Knobs
from simulator.ledger import Ledger
from simulator.provider import Provider
from simulator.server import Simulator
from simulator.texts import catalogue


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


def test_a_wrong_check_digit_is_taken_charged_and_later_rejected(simulator: Simulator) -> None:
    assert named(place(simulator, "353209110000001")) == ["353209110000001"]
    assert statuses(simulator) == ["Rejected"]


@pytest.mark.parametrize(("charge_when", "on_the_wire"), [("arrival", [A]), ("answer", [])])
def test_a_call_is_charged_on_arrival_or_on_answer_though_the_client_left(
    simulator: Simulator, charge_when: str, on_the_wire: list[str]
) -> None:
    simulator.set(latency=0.5, charge_when=charge_when)
    with pytest.raises(requests.ReadTimeout):
        post(simulator, "placeorder", timeout=0.1, imei=A, networkId=SERVICE)
    wait_until(lambda: bool(simulator.calls()), "the call arrives")
    assert charged(simulator) == on_the_wire
    assert simulator.calls()[0].ended is None
    wait_until(lambda: simulator.calls()[0].ended is not None, "the call ends")
    assert charged(simulator) == [A]


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
    wait_until(lambda: len(simulator.charges()) == 1, "it is charged")
    assert named(ask(simulator, "getimeis", orderIds="15000000")) == [A]
    assert simulator.calls()[0].ended is None
    wait_until(lambda: simulator.calls()[0].ended is not None, "the call ends")
    assert charged(simulator) == [A, B, C]


def test_two_slow_calls_are_worked_on_at_once_and_give_each_order_an_id_of_its_own(simulator: Simulator) -> None:
    """The second comes while the first has placed one of its two IMEIs, and is answered before the first goes on."""
    simulator.set(seconds_per_imei=1.0)
    first = threading.Thread(target=place, args=(simulator, A, B))
    first.start()
    wait_until(lambda: len(simulator.charges()) == 1, "the first call has placed one IMEI")
    simulator.set(seconds_per_imei=0.05)
    place(simulator, C, D)
    assert [call.ended is None for call in simulator.calls()] == [True, False]
    first.join()
    assert [charge.call for charge in simulator.charges()] == [1, 2, 2, 1]
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
    wait_until(lambda: charged(simulator) == [A, B, C], "all are charged")
    assert "<Client>" in session.post(simulator.base_url + API, data={**form, "action": "accountinfo"}).text


@pytest.mark.parametrize("fault", ["503", "reset", "close"])
def test_a_fault_comes_at_once_and_the_orders_are_placed_later(simulator: Simulator, fault: str) -> None:
    simulator.set(fault=fault, fault_when="later", create_after=0.3, fault_calls=(1,))
    try:
        status = post(simulator, "placeorder", imei=f"{A},{B}", networkId=SERVICE).status_code
    except requests.ConnectionError:
        status = 0
    assert status == (503 if fault == "503" else 0)
    assert named(ask(simulator, "getimeis")) == charged(simulator) == []
    wait_until(lambda: charged(simulator) == [A, B], "both are charged")
    started = simulator.calls()[0].started
    assert all(charge.time >= started + 0.29 for charge in simulator.charges())


def test_a_provider_on_a_clock_of_the_test_works_only_when_it_is_asked_to(clock: Clock) -> None:
    knobs, answers, begun = Knobs(seconds_per_imei=10.0), list[str](), clock.now
    provider = Provider(knobs, Ledger(None), clock, 0, clock.later)
    provider.begin({"imei": f"{A},{B}", "networkId": SERVICE}, 1, answers.append)
    provider.begin({"imei": C, "networkId": SERVICE}, 2, answers.append, after=3.0)
    clock.now += 60
    assert provider.ledger.charges == []
    clock.work_until(begun + 19.0)
    assert [(charge.imei, charge.time - begun) for charge in provider.ledger.charges] == [(A, 10.0), (C, 13.0)]
    assert [C in answer for answer in answers] == [True]
    clock.work_until(clock.now)
    assert (provider.ledger.charges[-1].imei, provider.ledger.charges[-1].time - begun) == (B, 20.0)
    assert A in answers[1] and B in answers[1]


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
    provider = Provider(knobs, Ledger(None), clock, 0, clock.later)
    form = {"imei": A, "networkId": SERVICE, "orderId": "k1"}
    provider.begin(form, 1)
    clock.work_until(clock.now + 1)
    provider.change({"credit": 1.0})
    provider.begin(form, 2, answers.append)
    provider.begin(form, 3, answers.append)
    clock.work_until(clock.now + 1)
    assert answers[0] == answers[1] and "<id>15000000</id>" in answers[0]
    provider.begin(form, 4, answers.append)
    assert answers[2] == answers[0]
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
