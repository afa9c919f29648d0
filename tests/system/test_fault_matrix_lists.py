"""The fault matrix, second part: whatever the provider's list leaves out or blurs, nothing is charged twice."""

import pytest
from fault_matrix import LISTS, Row, check


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.name)
def test_nothing_is_charged_twice_and_nothing_is_lost(row: Row) -> None:
    check(row)
