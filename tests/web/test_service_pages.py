"""Services by own experience: the list with its figures, the page of one, and hints in the picker."""

import time

import pytest
from sqlalchemy import insert
from web_client import SERVICES, Browser, words
from web_scenes import ordered

from database import IMEIDatabase
from orders import ServiceInfo
from schema import service_figures as rows
from storage.service_figure_store import ServiceFigures

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
