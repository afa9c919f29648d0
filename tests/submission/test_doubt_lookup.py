"""IMEIs in doubt beside the provider's list, and one order by its id."""

from collections.abc import Sequence

import pytest
from handmade_calls import OTHER, answered, call, listed, unanswered
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from gsm_fusion_client import NotSentError, RefusalKind, RefusedError
from orders import IMEIOrder, NotPossibleError, ServiceInfo
from submission.doubt_lookup import compare_list, find_order, may_name

IMEI = "353370080000001"


def test_unknown_orders_of_what_is_in_doubt_are_shown_and_the_rest_is_absent(database: IMEIDatabase) -> None:
    """Of three IMEIs in doubt the list shows one with its service, one with another, and one not."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo(OTHER, "Carrier", 0.1)], 0.0)
    ours = answered(database, call(database, imeis(1, first=50)), 1)
    doubtful = call(database, imeis(3))
    unanswered(database, doubtful)
    first, second, _ = imeis(3)
    shown = [listed("7", first, "T-Mobile", "2026-11-25 11:00:00"), listed("8", second, "Carrier"), *ours]
    found = compare_list(database, doubtful.batch_id, SERVICE, shown)
    assert (found.listed, found.ours, found.asked, found.absent) == (3, 1, 3, 2)
    assert found.newest == "2026-11-25 11:00:00"
    assert [(seen.order_id, seen.imei, seen.other_service) for seen in found.sightings] == [
        ("7", first, False),
        ("8", second, True),
    ]
    assert compare_list(database, doubtful.batch_id, SERVICE, []).absent == 3


@pytest.mark.parametrize(
    "shown",
    [
        "353370080000001",
        "35-337008-000000-1",
        "35337008000000",
        "3533700800000017",
        "353370*****0001",
        "35337008xxxxxxx",
    ],
)
def test_a_listed_imei_may_be_written_whole_shortened_or_masked(shown: str) -> None:
    assert may_name(shown, IMEI)


@pytest.mark.parametrize(
    "shown", ["", "353370080000002", "3533700800000", "353371*****0001", "35337**********", "x" * 15]
)
def test_another_imei_or_too_few_digits_name_nothing(shown: str) -> None:
    assert not may_name(shown, IMEI)


def test_a_first_zero_that_is_lost_is_no_other_imei() -> None:
    assert may_name("10000000000009", "010000000000009")


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ((), "does not know order 7"),
        ((listed("8", IMEI),), "does not know order 7"),
        ((listed("7", "353370080000019"),), "is one of IMEI 353370080000019"),
        ((listed("7", ""),), r"is one of IMEI \(none\)"),
        ((listed("7", IMEI, "Carrier"),), "another service: Carrier"),
    ],
)
def test_an_order_of_another_id_imei_or_service_is_refused(orders: Sequence[IMEIOrder], words: str) -> None:
    with pytest.raises(NotPossibleError, match=words):
        find_order(lambda _: orders, "7", IMEI, SERVICE, {"carrier": OTHER})


def test_the_order_is_taken_where_its_service_is_the_same_or_not_known() -> None:
    for package in (SERVICE, " CARRIER ", "a title that we do not know"):
        order = listed("7", IMEI, package)
        assert find_order({"7": [order]}.__getitem__, "7", IMEI, SERVICE, {"carrier": SERVICE}) == order


def test_a_refused_id_is_an_unknown_order_and_any_other_failure_is_raised() -> None:
    def refuse(error: Exception) -> None:
        def ask(_: str) -> Sequence[IMEIOrder]:
            raise error

        find_order(ask, "7", IMEI, SERVICE, {})

    with pytest.raises(NotPossibleError, match="does not know order 7"):
        refuse(RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID"))
    with pytest.raises(RefusedError, match="Invalid User"):
        refuse(RefusedError(RefusalKind.CREDENTIALS, "Invalid User!"))
    with pytest.raises(NotSentError):
        refuse(NotSentError("The provider is in maintenance."))
