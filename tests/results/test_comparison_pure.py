"""The comparison by itself: both sides are given by hand, and each class of disagreement is counted once."""

from datetime import datetime
from typing import Any

import pytest
from sample_files import imeis

from orders import IMEIOrder
from results.comparison import EXAMPLES, AuditReport, Window, audit_sentences, compare, unexplained
from storage.audit_store import OurOrder, Records

ONE, TWO, THREE = imeis(3)
NOON = datetime(2026, 11, 3, 12)
TODAY = "2026-11-03"


def ours(row: int, order_id: str | None, imei: str = ONE, **changes: Any) -> OurOrder:
    given: dict[str, Any] = {"service_id": "269", "credits": 0.08, "placed_at": NOON, "batch_id": row} | changes
    return OurOrder(row, order_id, imei, **given)


def theirs(order_id: str, imei: str = ONE, service: str = "269", at: str = "2026-11-03 07:00:00") -> IMEIOrder:
    return IMEIOrder(order_id, imei, "Completed", service_id=service, requested_at=at)


def compared(
    records: list[OurOrder],
    listed: list[IMEIOrder],
    by_id: list[IMEIOrder] | None = None,
    since: str = "",
    error: str = "",
    under_way: dict[str, frozenset[str]] | None = None,
) -> AuditReport:
    labels, prices = {"269": "269", "status check": "269", "5": "5"}, {"269": 0.08, "5": 0.5}
    known = Records(tuple(records), under_way or {}, labels, prices, 0, 0.0)
    return compare(AuditReport(1.0, since, error), known, listed, by_id or [])


def found(report: AuditReport) -> dict[str, list[str]]:
    """Return the classes with orders → their ids, "-" for an order without one."""
    names = ("unknown_to_us", "unknown_to_them", "unmatched", "charged_twice", "other_device", "repeats")
    classes = {name: getattr(report, name) for name in names}
    return {name: [e.order_id or "-" for e in each.examples] for name, each in classes.items() if each.count}


def test_equal_sides_agree_whatever_word_the_provider_has_for_a_service() -> None:
    report = compared([ours(1, "11"), ours(2, "12", TWO)], [theirs("12", TWO, " Status Check "), theirs("11")])
    assert (found(report), report.sums_differ, report.complete) == ({}, False, True)
    assert (report.ours, report.theirs, report.our_spend, report.their_spend) == (2, 2, 0.16, 0.16)
    assert report.agrees
    assert report.finding == (0, 0, 0, 0, 0)


def test_an_order_on_one_side_only_is_counted_and_priced_as_a_service_of_today() -> None:
    report = compared(
        [ours(1, "11"), ours(2, "12", TWO)], [theirs("11"), theirs("13", THREE, "5"), theirs("14", TWO, "?")]
    )
    assert found(report) == {"unknown_to_us": ["13", "14"], "unknown_to_them": ["12"]}
    assert (report.our_spend, report.their_spend, report.unpriced, report.differences) == (0.16, 0.58, 1, 3)
    assert (report.sums_differ, report.disagrees, report.agrees) == (True, True, False)
    assert report.finding == (2, 1, 0, 0, 0, -1, -0.42)


@pytest.mark.parametrize(("credits", "differ"), [(0.08, False), (0.084, False), (0.086, True), (0.1, True)])
def test_equal_numbers_of_orders_may_cost_different_sums(credits: float, differ: bool) -> None:
    report = compared([ours(1, "12", TWO, credits=credits)], [theirs("11")])
    assert (report.ours, report.theirs, report.sums_differ) == (1, 1, differ)


def test_what_an_error_leaves_open_is_not_missing_and_sums_are_not_judged() -> None:
    report = compared([ours(1, "11"), ours(2, None, TWO)], [], error="away")
    assert (found(report), report.sums_differ, report.complete, report.agrees) == ({}, False, False, False)
    assert compared([ours(1, "11"), ours(2, None, TWO)], []).differences == 2


def test_an_order_that_is_known_by_id_only_agrees_but_the_list_proves_nothing() -> None:
    report = compared([ours(1, "11"), ours(2, "12", TWO)], [theirs("12", TWO)], [theirs("11")])
    assert (found(report), report.only_by_id, report.theirs) == ({}, 1, 2)
    assert (report.disagrees, report.complete, report.agrees) == (False, False, False)


def test_an_order_from_a_file_without_an_id_answers_for_one_of_its_imei_and_service() -> None:
    one = ours(1, None, ONE, credits=0.07)
    assert found(compared([one], [theirs("11", f"{ONE[:14]}0")])) == {}  # a check digit may differ
    report = compared([one], [theirs("11"), theirs("12")])
    assert (report.their_spend, report.our_spend) == (0.15, 0.07)
    assert found(report)["unknown_to_us"] == ["12"]
    assert found(compared([one, ours(2, None, TWO)], [theirs("11", service="5")])) == {
        "unknown_to_us": ["11"],
        "unmatched": ["-", "-"],
    }


@pytest.mark.parametrize(
    ("services", "service", "left_out"),
    [({"269"}, "269", True), ({"269"}, "5", False), ({"269"}, "strange", True), (set(), "269", False)],
)
def test_what_a_call_without_an_answer_may_have_placed_is_left_out(
    services: set[str], service: str, left_out: bool
) -> None:
    report = compared([], [theirs("11", service=service)], under_way={ONE: frozenset(services)})
    assert (report.under_way, report.theirs, report.unknown_to_us.count) == (left_out, not left_out, not left_out)


@pytest.mark.parametrize(
    ("batches", "classes"),
    [
        ((7, 8), {}),  # checked again on purpose
        ((7, 7), {"charged_twice": ["12"]}),
        ((7, None), {"repeats": ["12"]}),
        ((None, None), {"repeats": ["12"]}),
    ],
)
def test_two_orders_of_an_imei_are_judged_by_their_batches(
    batches: tuple[int | None, int | None], classes: dict[str, list[str]]
) -> None:
    first, second = (ours(row, str(10 + row), batch_id=batch) for row, batch in enumerate(batches, 1))
    report = compared([first, second], [theirs("11"), theirs("12")])
    assert found(report) == classes
    assert report.disagrees is ("charged_twice" in classes)


def test_of_unknown_orders_of_an_imei_each_beyond_the_first_is_charged_twice() -> None:
    assert found(compared([], [theirs("11"), theirs("12")])) == {
        "unknown_to_us": ["11", "12"],
        "charged_twice": ["12"],
    }
    known = compared([ours(1, "11")], [theirs("11"), theirs("12")])
    assert found(known) == {"unknown_to_us": ["12"], "charged_twice": ["12"]}


@pytest.mark.parametrize(
    ("order", "is_another"),
    [
        (theirs("11"), False),
        (theirs("11", TWO), True),
        (theirs("11", f"{ONE[:14]}x"), False),
        (theirs("11", ""), False),
        (theirs("11", service="5"), True),
        (theirs("11", service="a word that nobody knows"), False),
    ],
)
def test_an_id_of_ours_is_of_the_same_device_and_service(order: IMEIOrder, is_another: bool) -> None:
    assert compared([ours(1, "11")], [order]).other_device.count == is_another
    assert compared([ours(1, "11", service_id=None)], [order]).other_device.count == (order.imei == TWO)


def test_a_report_names_the_reach_of_the_list_and_at_most_some_examples() -> None:
    listed = [theirs(str(number), "", at=f"2026-11-{1 + number % 9:02d} 07:00:00") for number in range(30)]
    report = compared([], [*listed, theirs("99", "", at="some day")])
    assert (report.oldest, report.newest) == ("2026-11-01 07:00:00", "2026-11-09 07:00:00")
    assert (report.unknown_to_us.count, len(report.unknown_to_us.examples)) == (31, EXAMPLES)


@pytest.mark.parametrize(
    ("placed_at", "order_id", "held"),
    [
        (datetime(2026, 11, 3), "5", True),
        (datetime(2026, 11, 2, 23, 59, 59), "500", False),
        (None, "101", True),
        (None, "100", False),  # the first of the dated ones in it
        (None, None, False),
        (None, "no number", True),
    ],
)
def test_our_orders_are_in_the_window_by_date_else_by_id(
    placed_at: datetime | None, order_id: str | None, held: bool
) -> None:
    dated = [ours(1, "100"), ours(2, "150"), ours(3, "7", placed_at=datetime(2026, 11, 2))]
    window = Window.of(datetime(2026, 11, 3), dated)
    assert window.first_id == 100
    assert window.holds_ours(ours(9, order_id, placed_at=placed_at)) is held
    assert Window.of(None, dated).holds_ours(ours(9, order_id, placed_at=placed_at))


@pytest.mark.parametrize(
    ("order_id", "at", "held"),
    [
        ("90", "2026-11-03 00:00:00", True),
        ("90", "2026-11-02 23:00:00", False),
        ("101", "2026-11-02 23:00:00", True),  # of a clock behind ours
        ("101", "", True),
        ("90", "", False),
        ("strange", "", True),
        ("strange", "2026-11-02 23:00:00", False),
    ],
)
def test_listed_orders_are_in_the_window_by_date_or_by_a_later_id(order_id: str, at: str, held: bool) -> None:
    report = compared([ours(1, "100")], [theirs("100"), theirs(order_id, TWO, at=at)], since=TODAY)
    assert report.unknown_to_us.count == held
    assert report.undated == (held and not at)


@pytest.mark.parametrize(
    ("fell", "known", "refundable", "more"),
    [
        (1.0, 1.0, 0.0, 0.0),
        (1.5, 1.0, 0.0, 0.5),
        (0.4, 1.0, 0.0, -0.6),
        (0.4, 1.0, 0.6, 0.0),
        (0.4, 1.0, 0.5, -0.1),
        (0.9, 1.0, 0.5, 0.0),
        (1.5, 1.0, 0.5, 0.5),
        (-2.0, 0.0, 0.0, -2.0),
        (0.1 + 0.2, 0.3, 0.0, 0.0),
    ],
)
def test_money_is_explained_by_orders_and_by_what_may_have_been_paid_back(
    fell: float, known: float, refundable: float, more: float
) -> None:
    assert unexplained(fell, known, refundable) == more


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"balance_note": "Away."}, ["The balance was not compared. Away."]),
        (
            {"ours": 1, "our_spend": 0.08},
            ["We have 1 order for $0.08; the provider has 0 for $0.00.", "The balance was not compared."],
        ),
        (
            {"balance_since": "2026-11-03", "balance_fell": 2.0, "known_spent": 2.0, "refundable": 0.5},
            [
                "The balance fell by $2.00 since 2026-11-03 UTC; our orders since then cost $2.00, $0.50 of it perhaps"
                " paid back."
            ],
        ),
        (
            {"balance_since": "2026-11-03", "balance_fell": -1.0, "unexplained": -1.0},
            [
                "The balance rose by $1.00 since 2026-11-03 UTC; our orders since then cost $0.00.",
                "$1.00 less was charged than our orders cost: a top-up or a refund.",
            ],
        ),
        (
            {"balance_since": "2026-11-03", "balance_fell": 1.0, "unexplained": 1.0},
            [
                "The balance fell by $1.00 since 2026-11-03 UTC; our orders since then cost $0.00.",
                "$1.00 more was charged than our orders explain: a higher price, orders placed elsewhere, or a call in"
                " doubt that was charged.",
            ],
        ),
        (
            {"balance_since": "2026-11-03", "unexplained": 0.005},
            ["The balance fell by $0.00 since 2026-11-03 UTC; our orders since then cost $0.00."],
        ),
    ],
)
def test_counts_and_money_are_said_in_a_sentence_each(changes: dict[str, Any], sentences: list[str]) -> None:
    assert audit_sentences(AuditReport(1.0, **changes)) == sentences
