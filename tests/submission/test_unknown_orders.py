"""Orders that the provider lists and we do not know: they pause the batch that is about to order the same IMEIs."""

import pytest
from doubtful_call import OLD, START, in_doubt, stored_services
from handmade_calls import (
    OTHER,
    QUIET,
    answered,
    call,
    listed,
    look,
    one,
    planned,
)
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase, utc_now
from orders import IMEIOrder
from storage import batch_states
from submission.settlement import Settler
from submission.unknown_orders import to_confirm

NOW = utc_now().isoformat(" ", "seconds")


def state(database: IMEIDatabase, batch_id: int) -> tuple[str, str]:
    found = one(database, "SELECT state, notice FROM batches WHERE id = ?", batch_id)
    return str(found[0]), str(found[1])


def test_a_batch_that_would_order_what_is_listed_already_is_paused_once(database: IMEIDatabase) -> None:
    stored_services(database)
    batch_id, _ = planned(database, 4, size=1, first=60)
    foreign = [listed(str(800 + n), imei) for n, imei in enumerate(imeis(2, first=60))]
    settler = Settler(QUIET)
    look(database, settler, foreign, START)
    word, notice = state(database, batch_id)
    assert word == "paused"
    assert notice.startswith("The provider lists 2 orders of IMEIs that this batch has not sent, such as order 80")
    with database.write() as connection:
        batch_states.resume(connection, batch_id)
    look(database, settler, foreign, START + 1)
    assert state(database, batch_id)[0] == "running"
    assert one(database, "SELECT count(*) FROM items WHERE outcome = 'duplicate'") == 2
    assert tuple(one(database, "SELECT count(*), sum(credits), min(existed) FROM orders")) == (2, 0.0, 1)
    look(database, settler, [*foreign, listed("900", imeis(1, first=62)[0])], START + 2)
    assert "1 order of IMEIs that this batch has not sent, such as order 900" in state(database, batch_id)[1]


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (listed("800", imeis(1, first=60)[0], "269"), "paused"),
        (listed("800", imeis(1, first=60)[0], "New words", NOW), "paused"),
        (listed("800", imeis(1, first=60)[0], "New words", OLD), "running"),
        (listed("800", imeis(1, first=60)[0][:14], SERVICE), "paused"),
        (listed("800", imeis(1, first=60)[0], OTHER), "running"),
        (listed("", imeis(1, first=60)[0]), "running"),
        (listed("800", imeis(1, first=63)[0]), "running"),
    ],
)
def test_only_orders_of_planned_imeis_and_of_their_service_pause_a_batch(
    database: IMEIDatabase, order: IMEIOrder, word: str
) -> None:
    stored_services(database)
    batch_id, _ = planned(database, 3, size=1, first=60)
    look(database, Settler(QUIET), [order], START)
    assert state(database, batch_id)[0] == word


@pytest.mark.parametrize("word", [OTHER, SERVICE])
def test_a_list_that_means_other_services_pauses_a_batch_and_links_nothing(database: IMEIDatabase, word: str) -> None:
    """A copy of this database has ordered a planned IMEI, and the list has other numbers for services."""
    stored_services(database)
    ours = answered(database, call(database, imeis(1, first=50), SERVICE if word == OTHER else OTHER), 700)
    batch_id, _ = planned(database, 3, size=1, first=60)
    shown = [listed(ours[0].id, ours[0].imei, word), listed("800", imeis(1, first=60)[0], word, NOW)]
    look(database, Settler(QUIET), shown, START)
    assert state(database, batch_id)[0] == "paused"
    assert one(database, "SELECT count(*) FROM items WHERE outcome = 'duplicate'") == 0


def test_our_own_orders_pause_no_batch(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1, first=60)), 1)
    batch_id, _ = planned(database, 3, size=1, first=61)
    look(database, Settler(QUIET), known, START)
    assert state(database, batch_id)[0] == "running"


def test_two_batches_are_each_told_of_their_own(database: IMEIDatabase) -> None:
    stored_services(database)
    first, _ = planned(database, 2, size=1, first=60)
    second, _ = planned(database, 2, size=1, first=80)
    look(database, Settler(QUIET), [listed("800", imeis(1, first=60)[0]), listed("801", imeis(1, first=80)[0])], START)
    assert f"order 800 of {imeis(1, first=60)[0]}" in state(database, first)[1]
    assert state(database, second)[1] == (
        "The provider lists 1 order of IMEIs that this batch has not sent, such as order 801 of"
        f" {imeis(1, first=80)[0]}. Those of this service are left out. Another program or a copy of this database may"
        " have ordered the others too: make sure that it has not before you resume the batch."
    )


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_planned_imei_is_left_out_only_for_a_confirmed_order(database: IMEIDatabase, is_confirmed: bool) -> None:
    """Either way its batch is paused."""
    _, known = in_doubt(database)
    stored_services(database)
    batch_id, _ = planned(database, 2, first=40)
    shown = listed("2000", imeis(1, first=40)[0])
    look(database, Settler(QUIET), [*known, shown], START, confirmed={"2000": shown} if is_confirmed else {})
    word = one(database, "SELECT outcome FROM items WHERE imei = ?", imeis(1, first=40)[0])
    assert word == ("duplicate" if is_confirmed else "waiting")
    assert one(database, "SELECT state FROM batches WHERE id = ?", batch_id) == "paused"


@pytest.mark.parametrize(
    ("order", "is_asked"),
    [
        (listed("2000", imeis(1, first=20)[0]), True),
        (listed("2000", imeis(1, first=20)[0][:14]), True),
        (listed("2000", imeis(1, first=40)[0], OTHER), True),
        (listed("2000", imeis(1, first=41)[0] + "7"), True),
        (listed("2000", imeis(1, first=42)[0]), False),
        (listed("2000", "?"), False),
        (listed("", imeis(1, first=20)[0]), False),
        (listed("A1", imeis(1, first=20)[0]), True),
        (listed("A 1", imeis(1, first=20)[0]), False),
        (listed("1000", imeis(1, first=20)[0]), False),
    ],
)
def test_an_unknown_order_of_an_imei_in_doubt_or_planned_is_asked_for_by_id(
    database: IMEIDatabase, order: IMEIOrder, is_asked: bool
) -> None:
    _, known = in_doubt(database)
    planned(database, 2, first=40)
    with database.read() as connection:
        assert to_confirm(connection, [*known, order], "main") == ({order.id} if is_asked else set())


def test_orders_of_ours_are_not_asked_for_by_id(database: IMEIDatabase) -> None:
    _, known = in_doubt(database)
    with database.read() as connection:
        assert to_confirm(connection, known, "main") == to_confirm(connection, [], "main") == set()
