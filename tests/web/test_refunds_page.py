"""The page that records refunds of a pasted list: what its preview showed, once, and nothing else."""

import re

import pytest
from stored_people import act_as
from web_client import Browser, words
from web_scenes import ordered

from database import IMEIDatabase
from orders import DisputeState
from people import Actor, Role
from storage import dispute_queries
from storage.rows import Dispute

PAGE, REFUNDED = "/reports/refunds", DisputeState.REFUNDED


def seen(page: str) -> str:
    """The mark of the refunds that a preview shows."""
    found = re.search(r'name="seen" value="(\w+)"', page)
    assert found
    return found[1]


def refunded(database: IMEIDatabase) -> list[Dispute]:
    return list(dispute_queries.walk(database, REFUNDED, None))


def test_a_pasted_list_records_the_refunds_that_its_preview_showed(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 30)
    browser.post("/reports/disputes", {"kind": "rejected", "all": "1"})
    pasted = "Order;Amount\n1003;0.05\n1006\t$0.10\n1003,0.01\n1009 0.5\n1001;0.1\n77\nx;y\n"
    page = browser.post("/reports/refunds", {"list": pasted})
    text = words(page)
    assert "2 refunds, $0.15" in text
    for why in (
        "The order is in the list before",
        "More than the price",
        "No dispute of this order",
        "Not an order id",
    ):
        assert why in text
    seen = re.search(r'name="seen" value="(\w+)"', page.text)
    assert seen
    given = {"list": pasted, "day": "2026-11-20", "seen": seen[1]}
    changed = browser.post("/reports/refunds/record", given | {"list": pasted.replace("0.05", "0.06")})
    assert "Nothing was recorded" in words(changed)
    assert "enter the day" in words(browser.post("/reports/refunds/record", given | {"day": "20.11.2026"}))
    assert browser.post("/reports/refunds/record", given).status_code == 303
    assert {(one.order_id, one.refund, one.refunded_on) for one in dispute_queries.walk(database, REFUNDED, None)} == {
        ("1003", 0.05, "2026-11-20"), ("1006", 0.1, "2026-11-20")
    }  # fmt: skip
    assert "Refunded $0.15" in words(browser.get("/reports/disputes?state=refunded"))
    assert "The dispute is refunded already" in words(browser.post("/reports/refunds", {"list": "1003;0.05"}))


def test_more_than_the_price_is_recorded_only_where_the_box_is_ticked_on_both_pages(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 3)
    browser.post("/reports/disputes", {"kind": "rejected", "all": "1"})
    pasted = {"list": "1000;0.15", "day": "2026-11-20"}
    without, ticked = browser.post(PAGE, pasted), browser.post(PAGE, pasted | {"exceed": "1"})
    assert "More than the price" in words(without)
    for refused in ({"seen": seen(ticked.text)}, {"seen": "", "exceed": "1"}):
        assert "Nothing was recorded" in words(browser.post(f"{PAGE}/record", pasted | refused))
    assert refunded(database) == []
    form = pasted | {"seen": seen(ticked.text), "exceed": "1"}
    assert browser.post(f"{PAGE}/record", form).status_code == 303
    assert [(one.order_id, one.refund) for one in refunded(database)] == [("1000", 0.15)]
    assert "Nothing was recorded" in words(browser.post(f"{PAGE}/record", form)), "a second click records nothing"


def test_a_viewer_records_no_refund(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    act_as(monkeypatch, Actor("vera", Role.VIEWER))
    assert browser.get(PAGE).status_code == 403
    assert [browser.post(path, {"list": "1;1"}).status_code for path in (PAGE, f"{PAGE}/record")] == [403, 403]
