"""What is an address of PostgreSQL, and what a file."""

from pathlib import Path

import pytest

from engines import is_address


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("postgresql://user:password@host/name", True),
        ("postgres://host/name", True),
        ("imei_orders.db", False),
        (Path("postgresql://host"), False),
    ],
)
def test_an_address_is_told_from_a_path(place: str | Path, expected: bool) -> None:
    assert is_address(place) is expected
