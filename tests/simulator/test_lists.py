"""getimeis: which orders the list shows, when, and how it writes them."""

import pytest
import requests
from simulator_calls import A, B, C, Clock, D, ask, error, listed, named, place, post, statuses

from simulator.server import Simulator
from simulator.texts import luhn_ok


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
    assert statuses(timed) == ["Pending", "Completed"]


def test_a_share_of_the_orders_is_rejected_and_always_the_same(simulator: Simulator) -> None:
    place(simulator, *(body for body in (f"35320911{n:07d}" for n in range(2000)) if luhn_ok(body)))
    simulator.set(rejection_share=0.3)
    first = statuses(simulator)
    assert 30 < first.count("Rejected") < 90
    assert first == statuses(simulator)


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
