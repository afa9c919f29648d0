"""How a listed order compares with a call by the provider's ids and dates, and which texts stand for an IMEI."""

from datetime import datetime, timedelta

import pytest
from handmade_calls import OTHER, answered, call, listed, unanswered
from simulated_provider import SERVICE, imeis
from sqlalchemy import delete, insert

from database import IMEIDatabase
from orders import IMEIOrder, Item
from schema import orders
from storage import call_queries
from submission.listing import Age, Clock, Listing, Look, is_readable

NOON = datetime(2026, 11, 25, 12)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
OLD, NEW = "2026-11-20 10:00:00", "2026-11-25 12:00:00"
IMEI = imeis(1)[0]
ITEM = Item(1, IMEI)
NO_CLOCK = Clock(None, None, None)
#: Everything that has a date is younger.
ANY_DATE = Clock(None, None, datetime(2026, 11, 25, 10))
LABELS = {SERVICE: SERVICE, "t-mobile": SERVICE, OTHER: OTHER}


@pytest.mark.parametrize(
    ("order_id", "age"),
    [("11", Age.YOUNGER), ("10", Age.OLDER), ("9", Age.OLDER), ("100", Age.YOUNGER), ("A11", Age.UNKNOWN)],
)
def test_an_order_is_younger_than_a_call_by_a_larger_id(order_id: str, age: Age) -> None:
    assert Clock(10, None, None).age(listed(order_id, IMEI), None) is age


@pytest.mark.parametrize(
    ("order_id", "date", "age"),
    [
        ("9", None, Age.UNKNOWN),
        ("9", NOON - SECOND, Age.UNKNOWN),
        ("9", NOON - 2 * DAY, Age.OLDER),
        ("9", NOON, Age.UNKNOWN),
        ("11", None, Age.YOUNGER),
        ("11", NOON - 2 * DAY, Age.UNKNOWN),
    ],
)
def test_ids_that_were_not_seen_to_grow_make_no_order_older(order_id: str, date: datetime | None, age: Age) -> None:
    assert Clock(10, NOON, None, is_proven=False).age(listed(order_id, IMEI), date) is age


@pytest.mark.parametrize(
    ("date", "age"),
    [
        (NOON, Age.YOUNGER),
        (NOON + SECOND, Age.YOUNGER),
        (NOON - SECOND, Age.UNKNOWN),
        (NOON - DAY, Age.UNKNOWN),
        (NOON - DAY - SECOND, Age.OLDER),
        (None, Age.UNKNOWN),
    ],
)
def test_an_order_is_older_than_a_call_by_more_than_a_day(date: datetime | None, age: Age) -> None:
    assert Clock(None, NOON, None).age(listed("5", IMEI), date) is age


@pytest.mark.parametrize(
    ("date", "age"),
    [(NOON + DAY, Age.YOUNGER), (NOON - DAY, Age.YOUNGER), (NOON - DAY - SECOND, Age.UNKNOWN), (None, Age.UNKNOWN)],
)
def test_where_nothing_of_ours_is_older_a_date_about_the_call_is_young_enough(date: datetime | None, age: Age) -> None:
    assert Clock(None, None, NOON).age(listed("5", IMEI), date) is age


@pytest.mark.parametrize("date", ["1970-01-01 00:00:00", "0001-01-01 00:00:00", "0000-00-00"])
def test_an_order_whose_date_was_not_set_may_be_the_one_in_doubt(date: str) -> None:
    """It would count as older than the call, and what was placed would be sent and paid again."""
    view = shown(listed("A5", IMEI, at=date))
    assert view.possible(ITEM, SERVICE, Clock(None, NOON, None))
    assert not shown(listed("A5", IMEI, at=OLD)).possible(ITEM, SERVICE, Clock(None, NOON, None))


def test_without_a_clock_no_order_is_older_or_younger() -> None:
    assert NO_CLOCK.age(listed("5", IMEI), NOON) is Age.UNKNOWN


@pytest.mark.parametrize(
    ("order_id", "date", "age"),
    [
        ("11", NOON, Age.YOUNGER),
        ("11", None, Age.YOUNGER),
        ("11", NOON - SECOND, Age.YOUNGER),
        ("A", NOON, Age.YOUNGER),
        ("9", NOON - 2 * DAY, Age.OLDER),
        ("9", NOON - SECOND, Age.OLDER),
        ("A", NOON - 2 * DAY, Age.OLDER),
        ("9", NOON, Age.UNKNOWN),
        ("11", NOON - 2 * DAY, Age.UNKNOWN),
    ],
)
def test_one_clock_is_enough_and_two_that_disagree_are_none(order_id: str, date: datetime | None, age: Age) -> None:
    assert Clock(10, NOON, None).age(listed(order_id, IMEI), date) is age


def shown(*orders: IMEIOrder, contested: frozenset[str] = frozenset()) -> Listing:
    confirmed = {order.id: order for order in orders}
    return Listing(Look(orders, 0.0, 0, confirmed=confirmed), {}, LABELS, contested, "main")


@pytest.mark.parametrize(
    ("text", "possible", "exact"),
    [
        (IMEI, True, True),
        (IMEI[:14], True, False),
        (IMEI[:14] + "07", True, False),
        (IMEI + "7", True, False),
        (IMEI[:13], False, False),
        (IMEI[1:], False, False),
        (IMEI[:14] + "012", False, False),
        (imeis(1, first=1)[0], False, False),
        ("0" + IMEI, True, False),
        ("0" + IMEI[:14], False, False),
        (" " + IMEI[:14], False, False),
        ("", False, False),
    ],
)
def test_a_listed_text_may_stand_for_an_imei(text: str, possible: bool, exact: bool) -> None:
    view = shown(listed("5", text))
    assert view.possible(ITEM, SERVICE, ANY_DATE) is possible
    assert (view.take(ITEM, SERVICE, ANY_DATE) is not None) is exact


@pytest.mark.parametrize(
    ("text", "exact"), [("12345678901234", True), ("01234567890123", False), ("1234567890123", False)]
)
def test_a_list_may_lose_the_first_zero_of_an_imei(text: str, exact: bool) -> None:
    item = Item(1, "012345678901234")
    view = shown(listed("5", text))
    assert view.possible(item, SERVICE, ANY_DATE) is (len(text) == 14)
    assert (view.take(item, SERVICE, ANY_DATE) is not None) is exact


@pytest.mark.parametrize(
    ("package", "mine"), [(SERVICE, True), (" T-Mobile ", True), ("New words", True), ("", True), (OTHER, False)]
)
def test_an_order_is_of_another_service_only_where_the_list_clearly_says_so(package: str, mine: bool) -> None:
    view = shown(listed("5", IMEI, package))
    assert view.possible(ITEM, SERVICE, ANY_DATE) is mine
    assert (view.take(ITEM, SERVICE, ANY_DATE) is not None) is mine
    assert shown(listed("5", IMEI, package)).view(SERVICE).order_ids == ({"5"} if mine else set())


@pytest.mark.parametrize(("package", "mine"), [(SERVICE, True), ("T-Mobile", True), ("New words", False)])
def test_an_imei_that_two_services_wait_for_takes_only_what_is_clearly_its_own(package: str, mine: bool) -> None:
    view = shown(listed("5", IMEI, package), contested=frozenset({IMEI}))
    assert (view.take(ITEM, SERVICE, ANY_DATE) is not None) is mine


def test_an_order_is_taken_once() -> None:
    view = shown(listed("5", IMEI), listed("7", IMEI))
    taken = [view.take(ITEM, SERVICE, ANY_DATE) for _ in range(3)]
    assert [order.id if order else None for order in taken] == ["7", "5", None]
    assert not view.possible(ITEM, SERVICE, ANY_DATE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("5", "2026-11-25 10:00:01"), ("7", "2026-11-25 10:00:00")),
        (("10", "2026-11-25 10:00:00"), ("9", "2026-11-25 10:00:00")),
        (("B", "2026-11-25 10:00:00"), ("A", "2026-11-25 10:00:00")),
        (("1", "2026-11-25 10:00:00"), ("9", "no date")),
    ],
)
def test_the_newest_order_is_taken_first(first: tuple[str, str], second: tuple[str, str]) -> None:
    for order in ((first, second), (second, first)):
        view = shown(*(listed(order_id, IMEI, at=at) for order_id, at in order))
        taken = view.take(ITEM, SERVICE, ANY_DATE)
        assert taken is not None and taken.id == first[0]


def test_an_order_of_unknown_age_is_possible_and_not_taken() -> None:
    view = shown(listed("5", IMEI))
    assert view.take(ITEM, SERVICE, NO_CLOCK) is view.take_older(ITEM, SERVICE, NO_CLOCK) is None
    assert view.possible(ITEM, SERVICE, NO_CLOCK)


def test_only_an_older_order_of_this_very_imei_and_service_is_one_from_before() -> None:
    clock = Clock(10, None, None)
    for text, package, found in ((IMEI, SERVICE, True), (IMEI[:14], SERVICE, False), (IMEI, "New words", False)):
        view = shown(listed("5", text, package), listed("5000", IMEI, OTHER))
        assert not view.possible(ITEM, SERVICE, clock)
        assert view.take(ITEM, SERVICE, clock) is None
        assert (view.take_older(ITEM, SERVICE, clock) is not None) is found
    view = shown(listed("5", IMEI))
    assert view.take_older(ITEM, SERVICE, clock) is not None
    assert view.take_older(ITEM, SERVICE, clock) is None


def test_an_older_order_behind_a_younger_one_is_found() -> None:
    view = shown(listed("11", IMEI), listed("5", IMEI))
    found = view.take_older(ITEM, SERVICE, Clock(10, None, None))
    assert found is not None and found.id == "5"


def test_a_view_counts_what_may_be_of_its_service_and_what_cannot_be_read() -> None:
    view = shown(
        listed("1", IMEI), listed("", IMEI), listed("2", "?"), listed("3", IMEI, OTHER), listed("", "?", OTHER)
    )
    assert (view.view(SERVICE).order_ids, view.view(SERVICE).unreadable) == (frozenset("12"), 2)
    assert (view.view(OTHER).order_ids, view.view(OTHER).unreadable) == (frozenset("3"), 1)
    assert view.view(SERVICE).fingerprint == view.view(OTHER).fingerprint != ""


def clock_of(database: IMEIDatabase, number: int, listed_now: list[IMEIOrder]) -> Clock:
    """The provider's clocks for an attempt, as a list shows them."""
    with database.read() as connection:
        owners = call_queries.order_owners(connection, [order.id for order in listed_now])
        return Listing(Look(tuple(listed_now), 0.0, 0), owners, LABELS, frozenset(), "main").clock(connection, number)


def test_the_clocks_show_the_newest_of_our_orders_from_before_the_call(database: IMEIDatabase) -> None:
    first = answered(database, call(database, imeis(3)), 100)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    later = answered(database, call(database, imeis(1, first=30)), 200)
    dates = ["2026-11-25 10:00:00", "2026-11-25 12:00:00", "2026-11-25 11:00:00"]
    seen = [listed(order.id, order.imei, at=at) for order, at in zip(first, dates, strict=True)]
    seen += [listed("200", later[0].imei, at="2026-11-26 12:00:00"), listed("999", IMEI, at="2026-11-27 12:00:00")]
    found = clock_of(database, doubtful.attempt_id, seen)
    assert found == Clock(102, NOON, datetime(2026, 11, 25, 10))


def test_a_call_with_nothing_of_ours_before_it_has_the_date_of_the_first_order_after_it(database: IMEIDatabase) -> None:
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    later = answered(database, call(database, imeis(2, first=30)), 200)
    seen = [
        listed("200", later[0].imei, at="2026-11-26 12:00:00"),
        listed("201", later[1].imei, at="2026-11-26 13:00:00"),
    ]
    assert clock_of(database, doubtful.attempt_id, seen) == Clock(None, None, datetime(2026, 11, 26, 12))


def test_without_any_order_of_ours_the_call_itself_says_when_it_was_sent(database: IMEIDatabase) -> None:
    doubtful = call(database, imeis(1, first=20))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = '2026-11-25 12:00:00'")
    assert clock_of(database, doubtful.attempt_id, [listed("5", IMEI, at="2026-11-20 10:00:00")]) == Clock(
        None, None, NOON
    )


def test_imported_orders_are_no_clock(database: IMEIDatabase) -> None:
    """When they were placed is not known by our calls."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO orders (order_id, imei, status) VALUES ('900', ?, 'Completed')", (IMEI,)
        )
    doubtful = call(database, imeis(1, first=20))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = '2026-11-25 12:00:00'")
    seen = [listed("900", IMEI, at="2026-10-01 10:00:00")]
    assert clock_of(database, doubtful.attempt_id, seen) == Clock(None, None, NOON)


@pytest.mark.parametrize(("later", "newest"), [(101, 100), (99, None)])
def test_ids_are_a_clock_only_while_they_grow(database: IMEIDatabase, later: int, newest: int | None) -> None:
    first = answered(database, call(database, imeis(1)), 100)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    seen = first + answered(database, call(database, imeis(1, first=30)), later)
    assert clock_of(database, doubtful.attempt_id, seen).newest_id == newest


def test_a_later_order_shows_that_ids_grow(database: IMEIDatabase) -> None:
    first = answered(database, call(database, imeis(1)), 100)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    assert not clock_of(database, doubtful.attempt_id, first).is_proven
    seen = first + answered(database, call(database, imeis(1, first=30)), 101)
    assert clock_of(database, doubtful.attempt_id, seen).is_proven
    assert not clock_of(database, doubtful.attempt_id, first).is_proven  # it is not on the list


@pytest.mark.parametrize(("which", "newest"), [("100", None), ("200", None)])
def test_ids_are_a_clock_only_if_all_are_numbers(database: IMEIDatabase, which: str, newest: int | None) -> None:
    first = answered(database, call(database, imeis(2)), 100)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    seen = first + answered(database, call(database, imeis(1, first=30)), 200)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET order_id = 'A' || order_id WHERE order_id = ?", (which,))
    seen = [listed(f"A{o.id}" if o.id == which else o.id, o.imei) for o in seen]
    assert clock_of(database, doubtful.attempt_id, seen).newest_id == newest


# What the provider answers by id


def asked(order: IMEIOrder, by_id: IMEIOrder | None) -> Listing:
    """The list shows an order, and the provider answers this when asked for it by its id."""
    confirmed = {order.id: by_id} if by_id is not None else {}
    return Listing(Look((order,), 0.0, 0, confirmed=confirmed), {}, LABELS, frozenset(), "main")


@pytest.mark.parametrize(
    ("by_id", "is_taken"),
    [
        (listed("5", IMEI), True),
        (listed("5", IMEI, "New words"), True),
        (None, False),
        (listed("5", imeis(1, first=1)[0]), False),
        (listed("5", IMEI[:14]), False),
        (listed("5", IMEI, OTHER), False),
    ],
)
def test_an_order_is_taken_only_as_the_provider_answers_it_by_id(by_id: IMEIOrder | None, is_taken: bool) -> None:
    view = asked(listed("5", IMEI), by_id)
    assert view.is_unconfirmed(ITEM, SERVICE, ANY_DATE) is not is_taken
    assert view.take(ITEM, SERVICE, ANY_DATE) == (by_id if is_taken else None)


@pytest.mark.parametrize(
    ("in_list", "by_id", "is_older"), [(OLD, OLD, True), (OLD, "", True), (OLD, NEW, False), (NEW, OLD, False)]
)
def test_an_order_is_older_only_where_list_and_answer_agree(in_list: str, by_id: str, is_older: bool) -> None:
    """Without a date of its own, an answer has that of the list."""
    view = asked(listed("5", IMEI, at=in_list), listed("5", IMEI, at=by_id))
    assert (view.take_older(ITEM, SERVICE, Clock(None, NOON, None)) is not None) is is_older


def test_an_order_is_long_before_a_moment_by_more_than_two_days() -> None:
    order, undated = listed("5", IMEI, at="2026-11-23 12:00:00"), listed("6", IMEI, at="")
    view = shown(order, undated)
    assert [view.is_long_before(order, NOON + late) for late in (timedelta(0), SECOND)] == [False, True]
    assert not view.is_long_before(undated, NOON)


@pytest.mark.parametrize(
    ("orders", "answered", "readable"),
    [
        ((), True, True),
        ((listed("5", IMEI),), True, True),
        ((listed("5", IMEI),), False, False),
        ((listed("5", IMEI), listed("", IMEI)), True, False),
        ((listed("5", IMEI), listed("6", "35***1")), True, False),
    ],
)
def test_a_list_is_readable_where_each_order_has_an_id_and_an_imei(
    orders: tuple[IMEIOrder, ...], answered: bool, readable: bool
) -> None:
    assert is_readable(Look(orders, 0.0, 0, answered=answered)) is readable


def test_what_a_list_calls_otherwise_is_looked_up_once_for_all_calls(database: IMEIDatabase) -> None:
    """With hundreds of calls in doubt each would read the services of the whole list again."""
    order = listed("1000", IMEI, OTHER)
    listing = Listing(Look((order,), 0.0, 0), {"1000": (IMEI, 1)}, LABELS, frozenset(), "main")
    found = []
    with database.write() as connection:
        for service in (SERVICE, OTHER):
            connection.execute(delete(orders))
            connection.execute(insert(orders).values(order_id="1000", imei=IMEI, service_id=service))
            found.append(listing.other_words(connection))
    assert found == [{OTHER}, {OTHER}]
