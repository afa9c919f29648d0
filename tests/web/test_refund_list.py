"""A pasted list of refunds: which lines are read, which dispute each means, and why one is not recorded."""

from datetime import date, datetime

import pytest

from orders import DisputeKind, DisputeState
from storage.rows import Dispute
from web.refund_list import (
    EXCEEDS,
    REPEATED,
    UNKNOWN,
    UNREADABLE,
    RefundLine,
    mark_of,
    matched,
    read_day,
    read_dollars,
    read_lines,
)

NOW = datetime(2026, 11, 25)


def dispute(number: int, order_id: str, state: DisputeState = DisputeState.SENT, price: float = 0.1) -> Dispute:
    about = {"order_row": number, "item_id": None, "order_id": order_id, "imei": "353370080000011"}
    words = {"service_name": "A", "reason": "Rejected", "said": "", "note": ""}
    moments = {"ordered_at": None, "batch_id": None, "refunded_on": None, "opened_at": NOW, "changed_at": NOW}
    kind = DisputeKind.REJECTED
    return Dispute(id=number, kind=kind, state=state, price=price, refund=0.0, **about, **words, **moments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.25", 1.25),
        (" 1,25 ", 1.25),
        ("$1.25", 1.25),
        ("$ 0.0001", 0.0001),
        ("1.25 USD", 1.25),
        ("2$", 2.0),
        ("9999999", 9999999.0),
        ("0", 0.0),
        ("-1", None),
        ("- 1", None),
        ("10000000", None),
        ("1.23456", None),
        ("1.", None),
        (".5", None),
        ("1,250.00", None),
        ("1 EUR", None),
        ("nan", None),
        ("", None),
    ],
)
def test_an_amount_is_read_whole_or_not_at_all(text: str, amount: float | None) -> None:
    assert read_dollars(text) == amount


def test_a_day_is_read_in_one_form() -> None:
    assert read_day(" 2026-11-25 ") == date(2026, 11, 25)
    assert [read_day(text) for text in ("", "25.11.2026", "2026-02-30", "today")] == [None] * 4


def test_each_line_has_an_order_and_an_amount_in_any_usual_form() -> None:
    text = "1001;0.05\n\n 1002\t$0.10 \n1003,0.01\n1004 0.5\n1005, 1,25\n1006\n10 07 0.1\nx-1;0.1\n"
    found = [(line.number, line.order_id, line.amount, line.problem) for line in read_lines(text)]
    assert found[:5] == [
        (1, "1001", 0.05, ""),
        (3, "1002", 0.1, ""),
        (4, "1003", 0.01, ""),
        (5, "1004", 0.5, ""),
        (6, "1005", 1.25, ""),
    ]
    assert [line[3] for line in found[5:]] == [UNREADABLE] * 3


def test_only_a_first_line_without_digits_is_a_heading() -> None:
    assert [line.text for line in read_lines("Order;Amount\n1001;0.1")] == ["1001;0.1"]
    assert [line.problem for line in read_lines("Order 2026;Amount\n1001;0.1")] == [UNREADABLE, ""]
    assert [line.problem for line in read_lines("1001;0.1\nOrder;Amount")] == ["", UNREADABLE]
    assert read_lines("") == []


def line(order_id: str, amount: float, number: int = 1) -> RefundLine:
    return RefundLine(number, f"{order_id};{amount}", order_id, amount)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (DisputeState.OPEN, ""),
        (DisputeState.SENT, ""),
        (DisputeState.REFUSED, ""),
        (DisputeState.REFUNDED, "The dispute is refunded already"),
        (DisputeState.CLOSED, "The dispute is closed already"),
    ],
)
def test_a_refund_is_recorded_for_a_dispute_that_waits_for_it(state: DisputeState, problem: str) -> None:
    [found] = matched([line("1001", 0.1)], {"1001": dispute(1, "1001", state)}, may_exceed=False)
    assert (found.problem, found.is_recorded) == (problem, not problem)


def test_a_line_that_is_not_recorded_says_why() -> None:
    known = {"1001": dispute(1, "1001"), "1002": dispute(2, "1002")}
    lines = [line("1001", 0.1), line("1001", 0.1), line("77", 0.1), line("1002", 0.11), *read_lines("1002\n1")]
    assert [one.problem for one in matched(lines, known, may_exceed=False)] == [
        *("", REPEATED, UNKNOWN, EXCEEDS, UNREADABLE, UNREADABLE),
    ]
    assert [one.problem for one in matched(lines[3:4], known, may_exceed=True)] == [""]
    assert matched([line("1002", 0.0)], known, may_exceed=True)[0].problem == "The amount is 0"
    assert matched([line("1002", 0.1 + 1e-9)], known, may_exceed=False)[0].problem == ""


def test_the_mark_names_exactly_what_is_recorded() -> None:
    """Not a line that is left out; but another amount, another dispute, and another order of them."""
    known = {"1001": dispute(1, "1001"), "1002": dispute(2, "1002")}

    def mark(*lines: RefundLine) -> str:
        return mark_of(matched(lines, known, may_exceed=False))

    both = mark(line("1001", 0.1), line("1002", 0.05))
    assert both == mark(line("1001", 0.1), line("77", 9.0), line("1002", 0.05))
    others = [
        mark(line("1001", 0.1)),
        mark(line("1001", 0.09), line("1002", 0.05)),
        mark(line("1002", 0.1), line("1001", 0.05)),
        mark_of([]),
    ]
    assert both not in others
    assert len(set(others)) == len(others)
