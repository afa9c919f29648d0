"""A database server on which calls may start."""

import pytest
from handed_over import let_calls_start

from database import IMEIDatabase


@pytest.fixture
def database(server_database: IMEIDatabase) -> IMEIDatabase:
    let_calls_start(server_database)
    return server_database
