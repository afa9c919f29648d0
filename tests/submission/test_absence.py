"""The rules of a proof of absence, each on both sides of its bound."""

from dataclasses import replace

import pytest

from submission.absence import (
    IF_IT_STAYS,
    ON_SITE,
    Around,
    ListView,
    Money,
    call_deadline,
    list_objection,
    money_objection,
    piece_length,
    rests_until,
)

AROUND = Around(frozenset({"1", "2"}), frozenset({"3", "4"}), frozenset({"4"}))
LISTED = frozenset({"1", "2", "3", "4"})
VIEW = ListView(LISTED, LISTED, 0, "now")
NONE = frozenset[str]()


def objection(
    view: ListView = VIEW, around: Around = AROUND, first: str = "then", shorter: frozenset[str] | None = None
) -> str:
    return list_objection(view, around, first, shorter)


def test_a_changed_list_with_every_order_from_before_and_after_proves_absence() -> None:
    assert objection() == ""


@pytest.mark.parametrize(("unreadable", "count"), [(1, "1 order"), (7, "7 orders")])
def test_an_order_that_cannot_be_read_may_be_the_one_in_doubt(unreadable: int, count: str) -> None:
    words = f"The provider's list has {count} whose id or IMEI cannot be read or contradicts another record. {ON_SITE}"
    assert objection(replace(VIEW, unreadable=unreadable)) == words


@pytest.mark.parametrize(
    ("listed", "missing"), [("234", "1 order"), ("124", "1 order"), ("14", "2 orders"), ("2", "3 orders")]
)
def test_every_known_order_from_before_the_call_and_since_must_be_listed(listed: str, missing: str) -> None:
    words = f"The provider's list leaves out {missing} of this service that we know. {IF_IT_STAYS}"
    assert objection(replace(VIEW, ours=frozenset(listed))) == words


@pytest.mark.parametrize("listed", ["34", "4", ""])
def test_a_list_that_begins_after_the_call_says_what_a_person_can_do(listed: str) -> None:
    """A list of the newest orders never shows the others again: nobody may wait for that."""
    words = "The provider's list shows none of our orders of this service from before the call: it may not reach back"
    assert objection(replace(VIEW, ours=frozenset(listed))) == f"{words} so far any more. {IF_IT_STAYS}"


def test_orders_that_we_do_not_ask_about_may_be_listed_too() -> None:
    more = LISTED | {"9"}
    assert objection(replace(VIEW, order_ids=more, ours=more)) == ""


@pytest.mark.parametrize(
    ("shorter", "ours", "proves"),
    [
        (None, "345", False),
        ("34", "345", True),
        ("3", "345", True),
        ("345", "345", False),
        ("3456", "345", False),
        ("36", "345", False),  # one that it showed is gone: it was cut
        ("34", "34", False),  # what came is not ours: a text may have made it up
        ("35", "34", True),
        ("", "345", True),
    ],
)
def test_without_an_order_from_before_the_call_the_list_must_have_grown(
    shorter: str | None, ours: str, proves: bool
) -> None:
    view, around = replace(VIEW, order_ids=frozenset("345"), ours=frozenset(ours)), replace(AROUND, before=NONE)
    words = (
        "No order of this service from before the call shows how far back the provider's list reaches. " + IF_IT_STAYS
    )
    found = objection(view, around, shorter=None if shorter is None else frozenset(shorter))
    assert found == ("" if proves else words)


def test_with_an_order_from_before_the_call_the_list_need_not_have_grown() -> None:
    assert objection(shorter=LISTED) == ""


def test_an_order_from_after_the_call_must_show_that_the_list_is_up_to_date() -> None:
    words = "No order of this service was placed after the call, which would show that the list is up to date."
    assert objection(around=replace(AROUND, after=NONE)) == f"{words} The next one will."


def test_a_list_that_has_not_changed_since_the_call_proves_nothing() -> None:
    assert (
        objection(first="now") == "The provider's list has not changed since the call. It is read again until it has."
    )


MONEY = Money(price=0.1, fell=1.0, known=1.0, refundable=0.0)
MORE = f"more than the orders that we know cost may have left the account. {ON_SITE}"
LESS = f"The account holds more than it should: a payment came in, or its balance is not up to date. {IF_IT_STAYS}"


def test_a_balance_that_fell_by_what_our_orders_cost_confirms_absence() -> None:
    assert money_objection(MONEY) == ""


def test_without_a_balance_nothing_is_confirmed() -> None:
    assert money_objection(None) == f"The account's balance from before the call, or now, is not known. {ON_SITE}"


@pytest.mark.parametrize(("price", "confirms"), [(0.0, False), (0.0199, False), (0.02, True), (0.03, True)])
def test_a_price_that_a_balance_in_cents_does_not_show_confirms_nothing(price: float, confirms: bool) -> None:
    words = f"An IMEI costs too little to be seen in the account's balance. {ON_SITE}"
    assert money_objection(Money(price, 0.0, 0.0, 0.0)) == ("" if confirms else words)


@pytest.mark.parametrize(
    ("fell", "words"),
    [(0.0, ""), (0.004, ""), (0.01, "$0.01 " + MORE), (0.5, "$0.50 " + MORE), (1.0, "$1.00 " + MORE)],
)
def test_a_cent_that_is_unexplained_may_be_a_part_of_the_charge(fell: float, words: str) -> None:
    """The price may have fallen, or other differences may hide the rest of it."""
    assert money_objection(Money(price=1.0, fell=fell, known=0.0, refundable=0.0)) == words


@pytest.mark.parametrize(("fell", "confirms"), [(4.0, True), (3.99, False), (3.5, False), (-9.0, False)])
def test_an_account_that_holds_a_cent_too_much_confirms_nothing(fell: float, confirms: bool) -> None:
    assert money_objection(Money(price=1.0, fell=fell, known=4.0, refundable=0.0)) == ("" if confirms else LESS)


def test_what_may_have_been_paid_back_may_hide_a_charge() -> None:
    """One order was rejected: the account fell by the others, or by all of them and the one in doubt."""
    assert money_objection(replace(MONEY, refundable=0.1)) == "$0.10 " + MORE


@pytest.mark.parametrize(("fell", "words"), [(2.5, LESS), (2.99, LESS), (3.0, ""), (3.01, "$0.01 " + MORE)])
def test_a_balance_is_compared_to_the_cent_where_refunds_are_counted(fell: float, words: str) -> None:
    """$2 of the $5 may have been paid back: the account must have fallen by $3."""
    assert money_objection(Money(price=1.0, fell=fell, known=5.0, refundable=2.0)) == words


@pytest.mark.parametrize(
    ("price", "known", "fell", "confirms"),
    [
        (0.085, 0.17, 0.17, True),
        (0.085, 0.17, 0.18, True),  # $100.00 less $0.175 is shown as $99.82 or $99.83
        (0.085, 0.17, 0.16, True),
        (0.085, 0.17, 0.1801, False),
        (0.085, 0.17, 0.1599, False),
        (0.02, 0.085, 0.085, True),
        (0.0201, 0.085, 0.11, False),
        (0.08, 0.16, 0.17, False),
    ],
)
def test_prices_of_less_than_a_cent_may_be_rounded_in_the_balance(
    price: float, known: float, fell: float, confirms: bool
) -> None:
    assert (money_objection(Money(price, fell, known, 0.0)) == "") is confirms


@pytest.mark.parametrize(
    ("price", "known", "fell", "confirms"),
    [
        (0.1, 1.0, 1.0, False),  # ten orders and one more: $100 less $1.10 may be shown as $99
        (1.9, 1.9, 2.0, False),
        (2.0, 4.0, 4.0, True),
        (1.0, 3.0, 3.0, True),  # where everything costs whole dollars, a balance in whole dollars shows it all
        (1.0, 3.0, 4.0, False),
        (1.0, 3.0, 2.0, False),
        (1.0, 3.1, 3.0, False),
        (2.5, 5.0, 6.0, True),
        (2.5, 5.0, 6.01, False),
    ],
)
def test_a_balance_in_whole_dollars_shows_a_charge_of_two_dollars_or_where_all_prices_are_whole(
    price: float, known: float, fell: float, confirms: bool
) -> None:
    assert (money_objection(Money(price, fell, known, 0.0, step=1.0)) == "") is confirms


def test_refunds_are_added_to_what_is_unexplained() -> None:
    assert Money(price=1.0, fell=5.0, known=3.0, refundable=0.5).unexplained == 2.5
    assert Money(price=1.0, fell=1.0, known=3.0, refundable=0.0).unexplained == -2.0


@pytest.mark.parametrize(
    ("lag", "found", "until"),
    [
        (0.0, None, 1180.0),
        (90.0, None, 1180.0),
        (91.0, None, 1182.0),
        (0.0, 1119.0, 1180.0),
        (0.0, 1121.0, 1181.0),
        (200.0, 1121.0, 1400.0),
        (50.0, 1500.0, 1560.0),
    ],
)
def test_a_call_rests_for_deadline_and_quiet_time_or_twice_the_lag_and_again_after_a_find(
    lag: float, found: float | None, until: float
) -> None:
    assert rests_until(1000.0, 120.0, 60.0, lag, found) == until


@pytest.mark.parametrize(("imeis", "deadline"), [(1, 120.0), (60, 120.0), (61, 122.0), (100, 200.0)])
def test_a_provider_that_is_slow_for_each_imei_gets_longer_than_the_timeout(imeis: int, deadline: float) -> None:
    assert call_deadline(120.0, imeis, 2.0) == deadline


@pytest.mark.parametrize(
    ("imeis", "price", "limit", "longest", "length"),
    [
        (10, 0.1, 5.0, 100, 10),
        (100, 0.1, 5.0, 100, 50),
        (100, 0.1, 0.3, 100, 3),
        (100, 0.1, 0.2999, 100, 2),
        (100, 0.1, 0.29996, 100, 3),
        (100, 0.1, 0.09, 100, 0),
        (100, 0.1, 0.1, 100, 1),
        (100, 2.0, 5.0, 100, 2),
        (100, 0.0, 5.0, 100, 100),
        (100, 0.0, 0.0, 100, 100),
        (100, 0.1, 5.0, 7, 7),
        (100, 0.1, 5.0, 0, 1),
        (100, 0.1, 5.0, -1, 1),
        (0, 0.1, 5.0, 100, 0),
    ],
)
def test_a_piece_is_limited_by_money_and_by_the_proven_list(
    imeis: int, price: float, limit: float, longest: int, length: int
) -> None:
    assert piece_length(imeis, price, limit, longest) == length
