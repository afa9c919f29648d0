"""A scene of automations on both kinds of database."""

import pytest
from automation_scene import Scene, make_scene

from database import IMEIDatabase
from settings import Settings


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> IMEIDatabase:
    """An empty, migrated database: each test here runs on both kinds."""
    fixture = "file_database" if request.param == "sqlite" else "emptied_database"
    found: IMEIDatabase = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def file_scene(settings: Settings, file_database: IMEIDatabase) -> Scene:
    """A scene for what no database decides."""
    return make_scene(settings, file_database)


@pytest.fixture
def scene(settings: Settings, database: IMEIDatabase) -> Scene:
    return make_scene(settings, database)
