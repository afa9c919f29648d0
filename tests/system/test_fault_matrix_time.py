"""The fault matrix, third part: a provider that works on, processes that die, two runners and copied data."""

import pytest
from fault_matrix import TIME, Row, check


@pytest.mark.parametrize("row", TIME, ids=lambda row: row.name)
def test_nothing_is_charged_twice_and_nothing_is_lost(row: Row) -> None:
    check(row)
