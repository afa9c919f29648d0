"""Lists of order ids: as long as they may be, shorter where some are left out, halved where one order spoils them."""

from collections.abc import Iterator

import pytest
from pending_orders import NOTHING, UNREADABLE, ByHand, Hours, Partial, Spoiled, client_of, pending, place
from simulated_provider import Knobs, Simulator
from stored_orders import all_orders

from database import IMEIDatabase
from gsm_fusion_client import (
    NotSentError,
    OutcomeUnknownError,
    RefusalKind,
    RefusedError,
)
from results.asking import ask_by_id
from results.sync import (
    OrderSync,
)
from settings import MAIN_ACCOUNT
from storage.result_store import withheld


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


def test_a_left_out_id_is_asked_for_again_in_smaller_lists(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database, 120)
    simulator.complete()
    with client_of(simulator) as client:
        provider = Partial(client, lost=placed[5:7])
        report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [100, 20, 2, 1, 1]
    assert report.pending == 2
    assert {row["order_id"] for row in all_orders(database, status="Pending")} == set(placed[5:7])


def test_a_provider_that_answers_only_the_last_of_a_list_is_asked_one_by_one(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database, 230)
    simulator.complete()
    with client_of(simulator) as client:
        provider = Partial(client, only_last=True)
        report = OrderSync(database, provider, 0, MAIN_ACCOUNT).sync()
    assert provider.lists[:4] == [100, 100, 10, 10]
    assert set(provider.lists[4:]) == {1}
    assert report.calls <= 230 + 4
    assert report.pending == 0


def test_lists_are_as_long_as_they_may_be_and_no_id_is_asked_for_twice(database: IMEIDatabase) -> None:
    ids, provider = pending(database, 250), ByHand()
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [100, 100, 50]
    assert [order_id for part in provider.asked for order_id in part] == ids
    assert (report.asked, report.updated, report.pending, report.calls, report.error) == (250, 250, 0, 3, "")


def test_ids_that_were_left_out_are_asked_for_by_tens_and_then_alone(database: IMEIDatabase) -> None:
    ids = pending(database, 120)
    lost = {ids[3], ids[50], *ids[100:112]}
    provider = ByHand(lambda asked: [i for i in asked if i not in lost or len(asked) == 1])
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [100, 20, 10, 4, *[1] * 14]
    assert {i for part in provider.asked[2:] for i in part} == lost
    assert (report.updated, report.pending, report.calls) == (120, 0, 18)


def test_after_two_lists_in_a_row_of_which_most_is_missing_the_rest_is_asked_for_in_smaller_ones(
    database: IMEIDatabase,
) -> None:
    pending(database, 450)
    provider = ByHand(lambda asked: asked[:49] if len(asked) > 10 else asked)
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists[:3] == [100, 100, 10]
    assert report.pending == 0
    assert report.calls == 2 + 36  # 51 twice and the 250 that were not asked for, by tens


def test_a_list_of_which_half_came_is_no_failure(database: IMEIDatabase) -> None:
    pending(database, 300)
    provider = ByHand(lambda asked: asked[::2] if len(asked) > 10 else asked)
    OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [100] * 3 + [10] * 15


def test_two_failures_with_a_good_list_between_them_are_not_two_in_a_row(database: IMEIDatabase) -> None:
    pending(database, 400)
    rounds = iter([0, 100, 0, 100])
    provider = ByHand(lambda asked: asked[: next(rounds)] if len(asked) > 10 else asked)
    OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [100] * 4 + [10] * 20


def test_orders_that_are_unknown_one_by_one_do_not_end_the_round(database: IMEIDatabase) -> None:
    """Not to know an order is no failure of the list of one."""
    ids = pending(database, 5)
    provider = ByHand(lambda asked: [ids[4]] if asked == [ids[4]] else [])
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [5, 5, 1, 1, 1, 1, 1]
    assert (report.updated, report.pending) == (1, 4)


def test_an_order_that_is_unknown_when_asked_for_alone_is_not_asked_for_twice(database: IMEIDatabase) -> None:
    clock = Hours()
    pending(database, 1, clock.now)
    provider = ByHand(lambda ids: [])
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    sync.sync()
    assert provider.lists == [1]
    clock.pass_by(300)
    assert sync.sync(only_due=True).asked == 0


TOO_LARGE = OutcomeUnknownError("The outcome is unknown: the answer is larger than 16 bytes.", status=200)


@pytest.mark.parametrize(
    "error", [UNREADABLE, NOTHING, TOO_LARGE, RefusedError(RefusalKind.UNKNOWN, "Order 7 is gone")]
)
@pytest.mark.parametrize("place", [0, 99, 120, 249])
def test_a_list_is_halved_until_the_order_that_spoils_it_is_alone(
    database: IMEIDatabase, error: Exception, place: int
) -> None:
    ids = pending(database, 250)
    provider = Spoiled([ids[place]], error)
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert (report.updated, report.pending, report.error) == (249, 1, "")
    assert report.calls <= 3 + 2 * 7
    ((order_id, held),) = withheld(database).items()
    assert (order_id, held.spoils_lists, held.times) == (ids[place], True, 1)
    assert held.answer == (getattr(error, "raw", "") or str(error))


def test_several_orders_that_spoil_lists_are_all_found(database: IMEIDatabase) -> None:
    ids = pending(database, 250)
    spoilers = [ids[0], ids[1], ids[150], ids[249]]
    report = OrderSync(database, Spoiled(spoilers), 300, MAIN_ACCOUNT).sync()
    assert (report.updated, report.error) == (246, "")
    assert set(withheld(database)) == set(spoilers)


@pytest.mark.parametrize(
    "error",
    [
        RefusedError(RefusalKind.CREDENTIALS, "Invalid User!"),
        RefusedError(RefusalKind.CREDIT, "Credit has been finished!"),
        NotSentError("The provider cannot be reached."),
        OutcomeUnknownError("The provider did not answer the call (HTTP 502).", status=502),
        OutcomeUnknownError("The outcome is unknown: the connection broke."),
    ],
)
def test_a_failure_that_no_order_can_cause_halves_nothing(database: IMEIDatabase, error: Exception) -> None:
    ids = pending(database, 20)
    report = OrderSync(database, Spoiled(ids[:1], error), 300, MAIN_ACCOUNT).sync()
    assert (report.calls, report.updated, report.error) == (1, 0, str(error))
    assert withheld(database) == {}


def test_the_orders_that_a_provider_knows_are_returned_without_a_database() -> None:
    ids = [f"{number}" for number in range(120)]
    provider = ByHand(lambda asked: [order_id for order_id in asked if order_id != "7"])
    assert {order.id for order in ask_by_id(provider, ids)} == {*ids} - {"7"}
    assert provider.asked == [ids[:100], ids[100:], ["7"]]


def test_an_order_that_spoils_its_list_is_unknown_and_another_failure_is_raised() -> None:
    ids = [f"{number}" for number in range(20)]
    assert {order.id for order in ask_by_id(Spoiled(["3"], UNREADABLE), ids)} == {*ids} - {"3"}
    assert ask_by_id(ByHand(failures={1: NOTHING}), ids[:1]) == []
    with pytest.raises(RefusedError, match="Invalid User"):
        ask_by_id(ByHand(failures={1: RefusedError(RefusalKind.CREDENTIALS, "Invalid User!")}), ids)
