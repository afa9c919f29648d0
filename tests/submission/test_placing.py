"""One paid call: what is posted, and what comes back of it, whatever happens."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from provider_answers import IMEI_A, IMEI_B
from simulated_provider import SERVICE

from gsm_fusion_client import MaintenanceError, NotSentError, OutcomeUnknownError, RefusalKind, RefusedError
from orders import Chunk, Item, PlacementAnswer, order_key
from submission.answers import FAILED_INSIDE
from submission.placing import place

BOTH = Chunk(7, 1, SERVICE, 1, 3, (Item(11, IMEI_A), Item(12, IMEI_B)))
ALONE = Chunk(8, 1, SERVICE, 1, 4, (Item(11, IMEI_A),))
ANSWER = PlacementAnswer(errors=(("", "no"),))


class NotingProvider:
    """Notes each call, and answers it or fails."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.calls: list[tuple[Any, ...]] = []

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None, **fields: str
    ) -> PlacementAnswer:
        self.calls.append((imei, network_id, keep, fields))
        if self.failure is not None:
            raise self.failure
        return ANSWER


def keep(_: bytes) -> None:
    """Stand for what puts an answer on disk."""


@pytest.mark.parametrize(
    ("chunk", "install_id", "fields"),
    [
        (BOTH, None, {}),
        (BOTH, "a" * 32, {}),
        (ALONE, None, {}),
        (ALONE, "a" * 32, {"orderId": order_key("a" * 32, 11, IMEI_A, SERVICE)}),
    ],
)
def test_a_call_posts_all_its_imeis_once_and_a_key_only_for_a_single_one(
    chunk: Chunk, install_id: str | None, fields: dict[str, str]
) -> None:
    provider = NotingProvider()
    assert place(provider, chunk, install_id, keep) is ANSWER
    assert provider.calls == [([item.imei for item in chunk.items], SERVICE, keep, fields)]


@pytest.mark.parametrize(
    "failure",
    [
        NotSentError("no line"),
        MaintenanceError("down"),
        OutcomeUnknownError("lost"),
        RefusedError(RefusalKind.CREDIT, "x"),
    ],
)
def test_a_failed_call_is_not_repeated_and_says_how_it_failed(failure: Exception) -> None:
    provider = NotingProvider(failure)
    assert place(provider, BOTH, None, keep) is failure
    assert len(provider.calls) == 1


def test_an_error_of_the_program_may_have_placed_everything(caplog: pytest.LogCaptureFixture) -> None:
    found = place(NotingProvider(ZeroDivisionError()), BOTH, None, keep)
    assert (type(found), str(found)) == (OutcomeUnknownError, FAILED_INSIDE)
    assert caplog.records[0].exc_info is not None


def test_a_process_that_is_killed_in_the_call_returns_nothing() -> None:
    with pytest.raises(KeyboardInterrupt):
        place(NotingProvider(KeyboardInterrupt()), BOTH, None, keep)
