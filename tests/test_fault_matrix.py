"""The fault matrix: whatever the provider does, nothing is charged twice, nothing is lost, and the sums are right."""

import pytest
from fault_matrix import CONTROL, ROWS, ResendingClient, Row, run


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_nothing_is_charged_twice_and_nothing_is_lost(row: Row) -> None:
    found = run(row)
    assert (found.twice, found.lost) == (0, 0)
    assert found.summed == found.imeis
    if row.listing == "on" and "listing_limit" not in row.knobs:
        assert found.in_doubt == 0


def test_the_suite_catches_a_client_that_sends_paid_calls_again() -> None:
    assert run(CONTROL, ResendingClient).twice > 0
