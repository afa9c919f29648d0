"""A stop-loss is read from a form, and hit when its share is certain."""

import pytest

from grading import (
    RuleError,
    StopLoss,
    read_stop_loss,
)


def test_a_stop_loss_is_hit_as_soon_as_its_share_is_certain() -> None:
    limit = read_stop_loss("30 %", "100")
    assert limit == StopLoss(30, 100)
    assert not limit.is_hit(30)
    assert limit.is_hit(31)
    assert read_stop_loss("", " ") is None
    wrong = (("0", "100"), ("100", "100"), ("30", ""), ("30", "4"), ("many", "100"), ("0000000509", "100"))
    for percent, first in wrong:
        with pytest.raises(RuleError):
            read_stop_loss(percent, first)
