"""A stop-loss is read from a form, and hit when its share is certain."""

import pytest

from grading import (
    RuleError,
    StopLoss,
    read_stop_loss,
    stop_loss_from_json,
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


def test_a_stop_loss_says_what_it_does_and_why_it_has_paused_a_batch() -> None:
    limit = read_stop_loss(" 30% ", "1,000")
    assert limit is not None
    assert limit.sentence == "A batch is paused when more than 30 % of its first 1,000 results fail or are rejected."
    assert limit.notice(1301, 4000).startswith(
        "Stop-loss: 1,301 of the first 4,000 results fail or are rejected; the limit is 30 % of 1,000."
    )


@pytest.mark.parametrize(
    ("stored", "found"), [(None, None), ("", None), ('{"percent": 30, "first": 5}', StopLoss(30, 5))]
)
def test_a_stored_stop_loss_is_read(stored: str | None, found: StopLoss | None) -> None:
    assert stop_loss_from_json(stored) == found
