"""Statements of tests in words, on either database."""

from typing import Any

from sqlalchemy import Connection, CursorResult, text


def run(connection: Connection, words: str, *values: Any) -> CursorResult[Any]:
    """Run a statement with a question mark for each value."""
    first, *others = words.split("?")
    named = first + "".join(f":value_{place}{part}" for place, part in enumerate(others))
    return connection.execute(text(named), {f"value_{place}": value for place, value in enumerate(values)})
