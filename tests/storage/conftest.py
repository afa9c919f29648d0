"""Batches and orders that tests of several tables use."""

import pytest
from disputed_orders import rows_fixture
from import_rows import ordering_fixture
from order_tables import batch_fixture, known_fixture

from database import IMEIDatabase

__all__ = ["batch_fixture", "known_fixture", "ordering_fixture", "rows_fixture"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> IMEIDatabase:
    """An empty, migrated database: each test here runs on both kinds."""
    fixture = "file_database" if request.param == "sqlite" else "emptied_database"
    found: IMEIDatabase = request.getfixturevalue(fixture)
    return found
