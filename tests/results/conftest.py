"""A database with a batch that is being ordered, for imports."""

from import_rows import ordering_fixture

__all__ = ["ordering_fixture"]
