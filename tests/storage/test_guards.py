"""A guard raises the words of a condition that does not hold."""

import pytest

from storage import guards
from storage.guards import WrongStateError


def test_a_condition_that_does_not_hold_is_raised_in_its_words() -> None:
    guards.expect(True, "never")
    with pytest.raises(WrongStateError, match=r"^0 of 1 rows$"):
        guards.expect(False, "0 of 1 rows")
