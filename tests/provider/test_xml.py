"""The provider's bodies as captures, the manual and sister panels show them; all IMEIs are made up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.body import read_root
from provider.xml import amount, read_placement, read_plain_placement, read_services


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.08", 0.08),
        ("$0.08", 0.08),
        ("0,08", 0.08),
        ("$ 150.00 USD", 150.0),
        ("USD 1,500.00", 1500.0),
        ("1.500,00 EUR", 1500.0),
        ("1,234,567", 1234567.0),
        ("12,5", 12.5),
        (".50", 0.5),
        ("$ -5.00", -5.0),
        ("-$5.00", -5.0),
        ("5", 5.0),
        ("1,234", None),
        ("1 500.00", None),
        ("10-20", None),
        ("5.00-", None),
        ("", None),
        ("free", None),
        ("9" * 400, None),
        ("1.2.3", None),
    ],
)
def test_an_amount_is_one_number_or_none(text: str, value: float | None) -> None:
    assert amount(text) == value


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "0", " 7 ", "9" * 65]), st.sampled_from(["353", " 354 ", ""])), max_size=4
    ),
    st.sampled_from(["result", "response", "imeis", "error"]),
    st.sampled_from(["Pending", "pending", "", "Odd"]),
    st.sampled_from(["", " ", "odd", "<imei>355</imei>", "</result>", "<error>Invalid</error>"]),
)
def test_the_quick_way_reads_nothing_that_the_tolerant_way_reads_otherwise(records, tag, status, between):
    named = [f"<imeis><id>{i}</id><imei>{m}</imei><status>{status}</status></imeis>" for i, m in records]
    inner = between.join(named)
    raw = f"<{tag}>{inner}</{tag}>".encode()
    plain = read_plain_placement(raw)
    assert plain is None or plain == read_placement(read_root(raw))


#: A text that a database cannot shorten.
LONG = "".join(chr(random.Random(n).randrange(0x4E00, 0x9FFF)) for n in range(3000))


def test_a_long_reason_is_read_as_its_beginning() -> None:
    """A database groups by it, with an index: on a server the answer could never be recorded."""
    refused = f"<imeierrors><imei>353370080089458</imei><error>{LONG}</error></imeierrors>"
    for body in (f"<result>{refused}</result>", f"<error>{LONG}</error>"):
        [(_, words)] = read_placement(read_root(body.encode())).errors
        assert words == LONG[:300]


def test_a_service_that_costs_more_than_sums_can_hold_is_left_out() -> None:
    """With an order of it no page with a sum could be shown: in millionths it is no whole number of 64 bits."""
    lines = [
        f"<package><packageid>{number}</packageid><packageprice>{price}</packageprice></package>"
        for number, price in (("1", "0.08"), ("2", "999999999999999"), ("3", "1000000"))
    ]
    found = read_services(read_root(f"<packages>{''.join(lines)}</packages>".encode()))
    assert [one.package_id for one in found] == ["1", "3"]
