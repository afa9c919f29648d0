"""Services that are favourites, and those of the newest batches."""

import pytest
from handmade_calls import planned

from database import IMEIDatabase
from orders import ServiceInfo
from storage import service_marks

SERVICES = [ServiceInfo(service_id, f"Service {service_id}", 0.1) for service_id in "123"]


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def test_a_known_service_becomes_a_favourite_and_none_again(database: IMEIDatabase) -> None:
    database.store_services(SERVICES, 0.0)
    assert service_marks.favourites(database) == frozenset()
    assert service_marks.mark_favourite(database, "1", is_favourite=True)
    assert service_marks.mark_favourite(database, "3", is_favourite=True)
    assert not service_marks.mark_favourite(database, "4", is_favourite=True)
    assert service_marks.favourites(database) == {"1", "3"}
    database.store_services(SERVICES, 1.0)  # the provider's list says nothing about it
    assert service_marks.mark_favourite(database, "1", is_favourite=False)
    assert service_marks.favourites(database) == {"3"}


def test_recent_services_are_those_of_the_newest_batches_each_once(database: IMEIDatabase) -> None:
    for place, service_id in enumerate("1232145617"):
        planned(database, 1, first=place, service_id=service_id)
    assert service_marks.recent_services(database) == ["7", "1", "6", "5", "4"]
    assert service_marks.MOST_RECENT == 5
