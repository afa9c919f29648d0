"""Services by own experience: the list with its figures, the page of one, and hints in the picker."""

import time

import pytest
from sqlalchemy import insert
from web_client import CARRIER, SERVICES, Browser, words
from web_scenes import ordered

from database import IMEIDatabase
from orders import ServiceInfo
from schema import service_figures as rows
from storage.service_figure_store import PriceSince, ServiceFigures
from web.service_experience import HEIGHT, SORTS, hint, price_line, price_words, sorted_services

NOW = time.time()


def figures(service_id: str, completed: int, rejected: int, median: float | None, days: int = 90) -> ServiceFigures:
    spent = (completed + rejected) * 0.1
    return ServiceFigures(service_id, days, completed, rejected, spent, 0.0, 1, median, median, NOW)


@pytest.fixture
def known(database: IMEIDatabase) -> list[ServiceFigures]:
    """Two services with figures: one fast with rejections, one slow without."""
    database.store_services(list(SERVICES), NOW)
    found = [
        figures(SERVICES[0].package_id, 90, 10, 7200.0),
        figures(SERVICES[0].package_id, 900, 100, 7200.0, days=0),
        figures(SERVICES[1].package_id, 50, 0, 90_000.0),
    ]
    with database.write() as connection:
        connection.execute(insert(rows), [one._asdict() for one in found])
    return found


def test_the_list_of_services_is_sorted_and_filtered_by_experience(
    browser: Browser, known: list[ServiceFigures]
) -> None:
    page = words(browser.get("/services?used=1&sort=rejected"))
    first, second = SERVICES[1].title, SERVICES[0].title
    assert page.index(first) < page.index(second)
    assert "2 h 10 % $0.1111" in page
    assert len(SERVICES) == 2 or SERVICES[2].title not in page
    fastest = words(browser.get("/services?sort=median"))
    assert fastest.index(second) < fastest.index(first)
    assert browser.get("/services?sort=colour").status_code == 200


def test_the_page_of_a_service_shows_experience_and_prices(
    browser: Browser, database: IMEIDatabase, known: list[ServiceFigures]
) -> None:
    service = SERVICES[0]
    dearer = ServiceInfo(service.package_id, service.title, service.price + 1, service.delivery_time)
    database.store_services([dearer], NOW + 60)
    answer = browser.get(f"/services/{service.package_id}")
    text = words(answer)
    assert "Last 90 days 90 10 10 % 2 h 2 h $0.1111" in text
    assert "All orders 900 100 10 % 2 h 2 h $0.1111" in text
    assert "Prices from" in text
    assert "<polyline" in answer.text
    assert browser.get("/services/nothing").status_code == 404
    unused = words(browser.get(f"/services/{SERVICES[-1].package_id}"))
    assert "No orders with a result" in unused


def test_the_picker_has_a_hint_where_enough_orders_say_it(
    browser: Browser, database: IMEIDatabase, known: list[ServiceFigures]
) -> None:
    ordered(database, 3)
    assert 'data-hint="median 2 h · 10 % rejected"' in browser.get("/batch").text
    assert hint(figures("1", 4, 0, 60.0)) == hint(None) == ""
    assert hint(figures("1", 99, 0, None)) == "0 % rejected"


def test_services_without_the_figure_come_last() -> None:
    services = [ServiceInfo(name, name, 1.0 + place, "") for place, name in enumerate("abc")]
    found = {"c": figures("c", 10, 5, 60.0), "b": figures("b", 10, 0, None)}
    in_order = {sort: [one.title for one in sorted_services(services, found, sort)] for sort in SORTS}
    assert in_order == {
        "price": ["a", "b", "c"],
        "median": ["c", "a", "b"],
        "rejected": ["b", "c", "a"],
        "cost": ["b", "c", "a"],
        "orders": ["c", "b", "a"],
    }
    assert sorted_services(services, found, "") == services


def test_prices_are_drawn_as_steps() -> None:
    assert price_line([], 9.0) is None
    line = price_line([PriceSince(0.0, 1.0), PriceSince(50.0, 2.0)], 100.0)
    assert line
    assert line.points == f"6.0,{HEIGHT - 6}.0 280.0,{HEIGHT - 6}.0 280.0,6.0 554.0,6.0"
    assert price_words(line) == "Prices from $1.00 to $2.00."
    flat = price_line([PriceSince(5.0, 1.0)], 5.0)
    assert flat
    assert price_words(flat) == "The price has been $1.00 since it is known."
    assert CARRIER in SERVICES
