"""The fault matrix: whatever happens to a call, nothing is charged twice, nothing is lost, and the sums are right."""

import pytest
from fault_matrix import CONTROL, TRANSPORT, ResendingClient, Row, check, run


@pytest.mark.parametrize("row", TRANSPORT, ids=lambda row: row.name)
def test_nothing_is_charged_twice_and_nothing_is_lost(row: Row) -> None:
    check(row)


def test_a_list_that_is_read_in_part_is_not_sent_in_full_again() -> None:
    """Two IMEIs prove that the last one only is read; from then on one IMEI travels in a call."""
    last = next(row for row in TRANSPORT if "the last IMEI" in row.name)
    calls = run(last).calls
    assert calls[0] == 2
    assert set(calls[1:]) == {1}


def test_the_suite_catches_a_client_that_sends_paid_calls_again() -> None:
    assert run(CONTROL, ResendingClient).twice > 0
