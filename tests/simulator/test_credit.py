"""The account: balance, credit, prices and refunds."""

from simulator_calls import SERVICE, A, B, C, Clock, ask, charged, error, named, place

from simulator.knobs import Knobs
from simulator.ledger import Ledger
from simulator.provider import Provider
from simulator.server import Simulator

WRONG_CHECK_DIGIT = "353209110000001"


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
    provider = Provider(Knobs(seconds_per_imei=1.0), Ledger(None), clock, 0, clock.later)
    provider.begin({"imei": f"{A},{B}", "networkId": SERVICE}, 1)
    clock.work_until(clock.now + 1)
    provider.change({"price_factor": 2.0})
    clock.work_until(clock.now + 2)
    assert [charge.credits for charge in provider.ledger.charges] == [0.08, 0.16]
    assert provider.balance() == 100_000 - 0.24


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
