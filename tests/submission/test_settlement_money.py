"""What the balance cannot show, and what an IMEI costs by now: nothing is sent again on the word of a list alone."""

import time

import pytest
from doubtful_call import RESTED, START, again, in_doubt, newer
from handmade_calls import QUIET, answered, call, look, one, outcome, planned, read_balance, reason, unanswered
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from orders import Chunk, IMEIOrder, ServiceInfo
from storage import doubt_moves
from storage.batch_creation import Funds, resume_batch
from storage.call_records import write_intents
from submission.price_check import apply_prices
from submission.settlement import RISEN, Settler


def hidden(database: IMEIDatabase, settler: Settler, more: int = 0) -> tuple[Chunk, list[IMEIOrder]]:
    """A call in doubt that has rested and was charged, and a list that leaves it out; `more` orders follow it."""
    doubtful, known = in_doubt(database)
    look(database, settler, known, START)
    shown = newer(database, known)
    if more:
        shown += answered(database, call(database, imeis(more, first=600)), 6000)
    return doubtful, shown


def priced(database: IMEIDatabase, price: float, at: float = 2e9) -> dict[str, float]:
    """The provider lists the service at this price."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", price)], at)
    return {SERVICE: price}


@pytest.mark.parametrize("orders", range(12))
def test_a_charge_at_half_of_the_price_is_seen(database: IMEIDatabase, orders: int) -> None:
    """The price has just halved: the orders that follow cost less than we know too."""
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler, orders)
    halved = 0.05 - 0.05 * (orders + 1)
    assert look(database, settler, shown, RESTED, halved, prices=priced(database, 0.05)) == []
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_a_charge_at_half_of_the_price_is_seen_where_only_the_call_in_doubt_was_cheaper(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler)
    assert look(database, settler, shown, RESTED, 0.05) == []
    assert reason(database, doubtful).startswith("$0.05 more than the orders that we know cost")


@pytest.mark.parametrize("orders", range(14))
def test_a_charge_in_another_currency_is_seen(database: IMEIDatabase, orders: int) -> None:
    """One unit of the balance is $1.09: what our orders cost falls short by 8 %."""
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler, orders)
    known = 0.1 * (orders + 1)
    unexplained = round(0.92 * (known + 0.1), 2) - known
    if abs(unexplained) > 0.01:  # to the cent the two cancel each other out
        assert look(database, settler, shown, RESTED, unexplained) == []
        assert outcome(database, doubtful) == [("in_doubt", "")]


def test_an_unchanged_price_and_a_balance_to_the_cent_confirm(database: IMEIDatabase) -> None:
    priced(database, 0.1, at=1.0)
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler)
    assert look(database, settler, shown, RESTED, 0.1) == []  # it was charged
    assert look(database, settler, shown, RESTED + 60, prices=None) == []
    assert reason(database, doubtful).startswith("What an IMEI of this service costs now is not known.")
    assert look(database, settler, shown, RESTED + 120) == again(doubtful)


def test_a_price_that_was_lower_for_a_while_confirms_nothing(database: IMEIDatabase) -> None:
    """The call, and those after it, may have been made in that while."""
    now = time.time()
    for price, at in ((0.01, now - 900), (0.1, now - 60), (0.05, now + 60), (0.1, now + 120)):
        priced(database, price, at)
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("$0.10 more than the orders that we know cost may have left")


def test_a_balance_in_whole_dollars_hides_a_charge_of_a_few_cents(database: IMEIDatabase) -> None:
    """Ten orders of $0.10 and a hidden one: $100.00 less $1.10 is written as $99."""
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler, 8)
    assert look(database, settler, shown, RESTED, 0.0, has_cents=False) == []
    assert reason(database, doubtful).startswith("An IMEI costs too little to be seen in the account's balance.")
    read_balance(database, 98.9)  # as "98.9": it was not rounded to whole dollars then
    assert look(database, settler, shown, RESTED + 60, 0.0, has_cents=False) == again(doubtful)


# What an IMEI costs by now


@pytest.mark.parametrize("is_cleared", [False, True])
@pytest.mark.parametrize("listed", [True, False])
def test_nothing_is_sent_again_at_a_higher_price_than_was_confirmed(
    database: IMEIDatabase, is_cleared: bool, listed: bool
) -> None:
    """A finished batch is not paused by its price: its IMEIs are cancelled, so that a new batch can order them."""
    settler = Settler(QUIET)
    doubtful, shown = hidden(database, settler)
    prices = priced(database, 5.0)
    if is_cleared:
        with database.write() as connection:
            doubt_moves.clear(connection, doubtful, [doubtful.items[0].item_id], "cleared")
    elif not listed:
        return  # without a list only a person decides
    for turn in range(4):
        about = {"prices": prices} if listed else {"answered": False, "prices": None}
        assert look(database, settler, shown if listed else [], RESTED + 300 * turn, **about) == []
    words = "cancelled: it was not placed, and costs $5.00 by now instead of $0.10"
    assert one(database, "SELECT outcome, message FROM items WHERE id = ?", doubtful.items[0].item_id) == (
        "cancelled",
        words,
    )


def test_a_higher_price_pauses_a_batch_with_more_to_send_and_what_it_resumes_at_is_paid(database: IMEIDatabase) -> None:
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    batch_id, chunks = planned(database, 2, size=1, first=20)
    with database.write() as connection:
        [doubtful] = write_intents(connection, chunks[:1])
    unanswered(database, doubtful)
    settler, prices = Settler(QUIET), priced(database, 0.3)
    look(database, settler, known, START)
    shown = newer(database, known)
    look(database, settler, shown, RESTED, prices=prices)
    shown = newer(database, shown, 2)
    assert look(database, settler, shown, RESTED + 1, prices=prices) == []
    assert reason(database, doubtful) == RISEN
    with database.write() as connection:
        assert apply_prices(connection, [ServiceInfo(SERVICE, "T-Mobile", 0.3)]) == [batch_id]
        assert resume_batch(connection, batch_id, 0.3, Funds(None, None))
    assert look(database, settler, shown, RESTED + 99, prices=prices) == again(doubtful)


# What a list leaves out


def test_a_list_that_shows_one_order_more_each_time_hides_no_charge(database: IMEIDatabase) -> None:
    """It lists the newest N, and N grows from look to look: it seems to reach back, and never shows the first order."""
    read_balance(database)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    settler, shown = Settler(QUIET), newer(database, [])
    look(database, settler, shown, START)
    for number in range(2, 9):
        shown = newer(database, shown, number)
        assert look(database, settler, shown, RESTED + 600 * number, 0.1) == []
        assert reason(database, doubtful).startswith("$0.10 more than the orders that we know cost")
    assert look(database, settler, newer(database, shown, 9), RESTED + 9999) == again(doubtful)
