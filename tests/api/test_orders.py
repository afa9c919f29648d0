"""Orders by filter, page by page, by id, and for a list of IMEIs."""

from typing import Any

import pytest
from api_client import ApiClient, problem
from simulated_provider import imeis
from web_scenes import ordered

from database import IMEIDatabase


def pages(api: ApiClient, url: str, name: str = "orders") -> list[Any]:
    """Follow the Link headers."""
    found: list[Any] = []
    while url:
        page = api.get(url)
        assert page.status_code == 200, page.text
        found += page.json[name]  # type: ignore[index]
        url = page.headers.get("Link", "").partition(">")[0].removeprefix("<")
    return found


@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_every_order_is_on_exactly_one_page(api: ApiClient, database: IMEIDatabase, sort: str) -> None:
    numbers = ordered(database, 25)
    found = [order["imei"] for order in pages(api, f"/orders?limit=4&sort={sort}")]
    assert found == (numbers if sort == "oldest" else numbers[::-1])


def test_the_filter_is_that_of_the_history(api: ApiClient, database: IMEIDatabase) -> None:
    numbers = ordered(database, 30)
    assert [order["imei"] for order in pages(api, f"/orders?imei={numbers[7]}&limit=1")] == [numbers[22], numbers[7]]
    assert len(pages(api, "/orders?carrier=T-Mobile&status=rejected&limit=2")) == 5
    assert len(pages(api, "/orders?fmi=on&since=2026-01-05&until=2026-01-06&limit=1")) == 2
    assert len(pages(api, "/orders?mismatch=1")) == 3
    assert pages(api, "/orders?service=1") == []
    problem(api.get("/orders?person=nobody"), 422, "invalid-request")
    problem(api.get("/orders?mismatch=1&sort=oldest"), 422, "invalid-request")
    problem(api.get(f"/orders?imei={numbers[0]}&q=1"), 422, "invalid-request")


def test_one_order(api: ApiClient, database: IMEIDatabase) -> None:
    ordered(database, 2)
    shown: Any = api.get("/orders/1001").json
    assert [shown[name] for name in ("order_id", "status", "cost", "placed_at", "service_id")] == [
        *("1001", "Completed", "0.10", "2026-01-02T12:00:00Z", "269"),
    ]
    assert shown["findings"]["fmi"] == "ON"


def test_many_imeis_are_looked_up_at_once(api: ApiClient, database: IMEIDatabase) -> None:
    numbers = ordered(database, 12)
    wanted = [*numbers[::-1], *imeis(5, first=500), "junk"]
    saved = api.post("/searches", {"imeis": wanted})
    assert (saved.status_code, saved.json) == (201, api.get("/searches/1").json)
    assert [saved.json[name] for name in ("imeis", "known", "rejected")] == [17, 12, 1]  # type: ignore[index]
    assert [order["imei"] for order in pages(api, "/searches/1/orders?limit=5")] == numbers[::-1]
    assert len(pages(api, "/searches/1/orders?fmi=ON&limit=1")) == 6
    assert pages(api, "/searches/1/missing?limit=2", "imeis") == imeis(5, first=500)
    problem(api.get("/searches/1/orders?cursor=1"), 422, "invalid-request")
    problem(api.get("/searches/2/missing"), 404)
