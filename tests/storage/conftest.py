"""A finished batch, and orders to filter and sort."""

from order_tables import batch_fixture, known_fixture

__all__ = ["batch_fixture", "known_fixture"]
