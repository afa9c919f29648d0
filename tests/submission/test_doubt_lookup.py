"""IMEIs in doubt beside the provider's list, and one order by its id."""

from collections.abc import Sequence
from functools import partial

import pytest
from handmade_calls import OTHER, answered, call, listed, unanswered
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from gsm_fusion_client import NotSentError, RefusalKind, RefusedError
from orders import IMEIOrder, NotPossibleError, ServiceInfo
from submission.doubt_lookup import certain_labels, compare_list, find_order

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


def test_an_order_is_not_called_one_of_another_service_where_the_list_means_other_services(
    database: IMEIDatabase,
) -> None:
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo(OTHER, "Carrier", 0.1)], 0.0)
    (ours,) = answered(database, call(database, imeis(1, first=50)), 1)
    doubtful = call(database, imeis(1))
    unanswered(database, doubtful)
    shown = [listed(ours.id, ours.imei, OTHER), listed("7", imeis(1)[0], OTHER)]
    assert compare_list(database, doubtful.batch_id, SERVICE, shown).absent == 0
    assert compare_list(database, doubtful.batch_id, SERVICE, [ours, shown[1]]).absent == 1


@pytest.mark.parametrize(
    "written",
    [
        "010000000000009",
        "10000000000009",
        "01000000000000",
        "0100000000000099",
        "010000*****0009",
        "010000-*****-0009",
        "0100…0009",
        "01000009",
        "0100000000000",
        "010000000000009 / 359999000000000",
    ],
)
def test_an_imei_that_is_listed_in_another_form_is_not_absent(database: IMEIDatabase, written: str) -> None:
    """A person who reads that it is not on the list may send it again."""
    doubtful = call(database, ["010000000000009", imeis(1)[0]])
    unanswered(database, doubtful)
    found = compare_list(database, doubtful.batch_id, SERVICE, [listed("7", written)])
    assert (found.asked, found.absent, found.ours) == (2, 1, 0)
    assert [(seen.order_id, seen.imei) for seen in found.sightings] == [("7", "010000000000009")]


def test_an_order_that_is_known_under_another_imei_is_shown(database: IMEIDatabase) -> None:
    """A provider that names a wrong id in its answer lists the right one later."""
    answered(database, call(database, imeis(2, first=50)), 7)
    doubtful = call(database, imeis(1))
    unanswered(database, doubtful)
    shown = [listed("7", imeis(1)[0]), listed("8", "")]
    found = compare_list(database, doubtful.batch_id, SERVICE, shown)
    assert (found.ours, found.absent) == (1, 0)
    assert [(seen.order_id, seen.imei) for seen in found.sightings] == [("7", imeis(1)[0])]


def test_the_order_is_taken_where_the_list_means_other_services(database: IMEIDatabase) -> None:
    """A person who found it could record it no other way: by itself the program takes no order of another service."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo(OTHER, "Carrier", 0.1)], 0.0)
    (ours,) = answered(database, call(database, imeis(1, first=50)), 1)
    order, labels = (
        listed("7", IMEI, "Carrier"),
        {"t-mobile": SERVICE, SERVICE: SERVICE, "carrier": OTHER, OTHER: OTHER},
    )
    moved = [listed(ours.id, ours.imei, "carrier "), order]
    assert certain_labels(database, moved) == {word: id for word, id in labels.items() if word != "carrier"}
    assert certain_labels(database, [ours, listed("1", imeis(1)[0], "Carrier")]) == labels
    certain = partial(certain_labels, database, moved)
    assert find_order({"7": [order]}.__getitem__, "7", IMEI, SERVICE, labels, certain) == order


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
        find_order(lambda _: orders, "7", IMEI, SERVICE, {"carrier": OTHER}, {"carrier": OTHER}.copy)


def test_the_order_is_taken_where_its_service_is_the_same_or_not_known() -> None:
    for package in (SERVICE, " CARRIER ", "a title that we do not know"):
        order = listed("7", IMEI, package)
        assert find_order({"7": [order]}.__getitem__, "7", IMEI, SERVICE, {"carrier": SERVICE}, dict) == order


def test_the_order_is_taken_where_its_imei_is_shortened() -> None:
    """A person can record it: by itself the program neither takes such an order nor sends its IMEI again."""
    order = listed("7", "3533…0001")
    assert find_order({"7": [order]}.__getitem__, "7", IMEI, SERVICE, {}, dict) == order


def test_a_refused_id_is_an_unknown_order_and_any_other_failure_is_raised() -> None:
    def refuse(error: Exception) -> None:
        def ask(_: str) -> Sequence[IMEIOrder]:
            raise error

        find_order(ask, "7", IMEI, SERVICE, {}, dict)

    with pytest.raises(NotPossibleError, match="does not know order 7"):
        refuse(RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID"))
    with pytest.raises(RefusedError, match="Invalid User"):
        refuse(RefusedError(RefusalKind.CREDENTIALS, "Invalid User!"))
    with pytest.raises(NotSentError):
        refuse(NotSentError("The provider is in maintenance."))
