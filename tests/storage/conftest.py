"""Batches and orders that tests of several tables use."""

from import_rows import ordering_fixture
from order_tables import batch_fixture, known_fixture

__all__ = ["batch_fixture", "known_fixture", "ordering_fixture"]
