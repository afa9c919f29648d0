"""A result text that holds a whole order of ours proves nothing: neither that the list shows it, nor that it ended."""

from dataclasses import replace

import pytest
from doubtful_call import RESTED, START, again, in_doubt, newer, stored_services
from handmade_calls import OTHER, QUIET, answered, call, listed, look, one, outcome, read_balance, reason, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from orders import SAYS_IT_EXISTS, IMEIOrder
from storage import refunds
from submission.decisions import was_not_placed
from submission.settlement import UNCLEAR, Settler

CONTRADICTS = "The provider's list has {} whose id or IMEI cannot be read or contradicts another record."
KNOWN = imeis(1, first=1)[0]
DOUBTFUL = imeis(1, first=20)[0]


# Records that contradict the list or our own


@pytest.mark.parametrize(
    ("forged", "count"),
    [
        ([listed("1000", KNOWN)], "2 orders"),  # named twice, word for word
        ([listed("1000", imeis(1, first=50)[0])], "2 orders"),
        ([listed("1000", imeis(1, first=50)[0], OTHER)], "2 orders"),
        ([listed("7000", imeis(1, first=50)[0]), listed("7000", imeis(1, first=51)[0])], "2 orders"),
        ([listed("7000", imeis(1, first=50)[0])], ""),
    ],
)
def test_an_order_id_that_is_listed_twice_proves_nothing(
    database: IMEIDatabase, forged: list[IMEIOrder], count: str
) -> None:
    stored_services(database)
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, [*known, *forged], START)
    shown = newer(database, [*known, *forged])
    assert look(database, settler, shown, RESTED) == ([] if count else again(doubtful))
    assert not count or reason(database, doubtful).startswith(CONTRADICTS.format(count))


@pytest.mark.parametrize(
    ("imei", "agrees"),
    [
        (imeis(1, first=50)[0], False),
        (KNOWN, True),
        (KNOWN[:14], True),
        (KNOWN[:14] + "07", True),
        ("35999900000000", False),
    ],
)
def test_an_order_of_ours_under_another_imei_proves_nothing(database: IMEIDatabase, imei: str, agrees: bool) -> None:
    """The list leaves our order out, and a text names its id."""
    doubtful, _ = in_doubt(database)
    settler = Settler(QUIET)
    forged = [listed("1000", imei)]
    look(database, settler, forged, START)
    assert look(database, settler, newer(database, forged), RESTED) == (again(doubtful) if agrees else [])
    assert agrees or reason(database, doubtful).startswith(CONTRADICTS.format("1 order"))


def test_an_order_of_ours_under_another_service_is_not_listed(database: IMEIDatabase) -> None:
    stored_services(database)
    doubtful, _ = in_doubt(database)
    settler = Settler(QUIET)
    forged = [listed("1000", KNOWN, OTHER)]
    look(database, settler, forged, START)
    assert look(database, settler, newer(database, forged), RESTED) == []
    assert reason(database, doubtful).startswith("The provider's list shows none of our orders of this service")


def test_a_list_that_grew_by_orders_that_we_do_not_know_may_be_cut(database: IMEIDatabase) -> None:
    """Nothing is older than the call; the list is cut where it ends, and a text makes it longer."""
    read_balance(database)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    settler, shown = Settler(QUIET), newer(database, [])
    look(database, settler, shown, START)
    forged = [listed(str(7000 + n), imeis(1, first=700 + n)[0]) for n in range(3)]
    assert look(database, settler, [*shown, *forged], RESTED) == []
    assert reason(database, doubtful).startswith("No order of this service from before the call")
    assert look(database, settler, newer(database, [*shown, *forged], 2), RESTED + 1) == again(doubtful)


def test_a_list_that_lost_an_order_while_it_grew_is_cut(database: IMEIDatabase) -> None:
    read_balance(database)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    settler, shown = Settler(QUIET), newer(database, [])
    foreign = listed("700", imeis(1, first=700)[0])
    look(database, settler, [*shown, foreign], START)
    longer = newer(database, newer(database, shown, 2), 3)
    assert look(database, settler, longer, RESTED) == []
    assert look(database, settler, [*longer, foreign], RESTED + 1) == again(doubtful)


# The dates of our orders are a clock


def test_a_forged_date_of_ours_makes_no_order_older(database: IMEIDatabase) -> None:
    """Ids do not grow here: the dates alone would say that the call's own order is from days before it."""
    stored_services(database)
    doubtful, known = in_doubt(database, said=[SAYS_IT_EXISTS])
    shown = [*known, *answered(database, call(database, imeis(1, first=30)), 500)]
    forged = [listed("1000", imeis(1, first=50)[0], at="2026-11-29 10:00:00")]
    look(database, Settler(QUIET), [*shown, listed("700", DOUBTFUL), *forged], START)
    assert outcome(database, doubtful) == [("in_doubt", "")]
    assert reason(database, doubtful) != ""
    look(database, Settler(QUIET), [*shown, listed("700", DOUBTFUL)], START + 1)
    assert outcome(database, doubtful) == [("ordered", "700")]


@pytest.mark.parametrize(
    "forged",
    [
        listed("1000", imeis(1, first=50)[0], at="2026-11-29 10:00:00"),  # an order of ours, from days later
        listed("700", DOUBTFUL, at="2026-11-20 10:00:00"),  # the call's own order, from days before
    ],
)
def test_what_a_person_cleared_waits_where_a_date_is_forged(database: IMEIDatabase, forged: IMEIOrder) -> None:
    doubtful, known = in_doubt(database)
    was_not_placed(database, [doubtful.items[0].item_id], 0.0)
    shown = [*known, *answered(database, call(database, imeis(1, first=30)), 500)]
    assert look(database, Settler(QUIET), [*shown, listed("700", DOUBTFUL[:14]), forged], START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR


def test_an_order_that_grows_beyond_ours_is_adopted_beside_a_forged_record(database: IMEIDatabase) -> None:
    """The provider confirms it by its id, and ids are a clock that no text can change."""
    doubtful, known = in_doubt(database)
    forged = [listed("1000", imeis(1, first=50)[0], at="2026-11-29 10:00:00")]
    look(database, Settler(QUIET), [*known, listed("2000", DOUBTFUL), *forged], START)
    assert outcome(database, doubtful) == [("ordered", "2000")]


# Rejected orders teach whether they are paid back


@pytest.mark.parametrize("is_forged", [True, False])
def test_no_refund_is_learned_of_from_a_list_that_contradicts_itself(database: IMEIDatabase, is_forged: bool) -> None:
    """A text says that four of our orders were rejected, whose cost was not paid back: of course."""
    read_balance(database)
    settler, shown = Settler(QUIET), answered(database, call(database, imeis(9)), 1000)
    look(database, settler, shown, START)
    look(database, settler, shown, START + 1, alone=False)
    rejected = [replace(order, status="Rejected") for order in shown[:4]]
    look(database, settler, [*shown, *rejected] if is_forged else [*rejected, *shown[4:]], RESTED)
    assert database.get_setting(refunds.KEPT) == (None if is_forged else "4")
