"""What came of one call: what its answer writes, and what becomes of one that the program cannot read or judge."""

import pytest
from provider_answers import IMEI_A, IMEI_B, ORDER_A, ORDER_B, PLACED_A, PLACED_B
from simulated_provider import SERVICE

from gsm_fusion_client import MaintenanceError, OutcomeUnknownError, RateLimitedError
from orders import SAYS_IT_EXISTS, Chunk, Item, ItemOutcome, Outcome
from storage.call_records import record_of, record_of_orders
from submission import answers
from submission.answers import FAILED_INSIDE, STOPPED, Answer, answer_from, answer_to, held_back, judged, kept_answer
from submission.judging import AllOrdered, Judged, Judgement, NotPlaced

CHUNK = Chunk(7, 1, SERVICE, 1, 3, (Item(11, IMEI_A), Item(12, IMEI_B)))
WHOLE = f"<result>{ORDER_A}{ORDER_B}</result>".encode()


def doubts(words: str) -> tuple[ItemOutcome, ...]:
    return tuple(ItemOutcome(item.item_id, item.imei, Outcome.IN_DOUBT, message=words) for item in CHUNK.items)


UNANSWERED = Judged(doubts("no answer"), "no answer", is_unanswered=True)


def test_an_answer_writes_what_its_judgement_says() -> None:
    placed = (PLACED_A, PLACED_B)
    refused = Judged((ItemOutcome(11, IMEI_A, Outcome.REFUSED, message="no"), *doubts("")[1:]), "half of it")
    assert answer_to(CHUNK, NotPlaced("down")).record is None
    assert answer_to(CHUNK, AllOrdered(placed)).record == record_of_orders(CHUNK, placed)
    assert answer_to(CHUNK, refused).record == record_of(CHUNK, refused.item_outcomes, "half of it")


@pytest.mark.parametrize(
    ("judgement", "was_sent", "is_unanswered", "holds"),
    [
        (NotPlaced(was_sent=False), False, False, False),
        (NotPlaced(), True, False, False),
        (NotPlaced(hold=True), True, False, True),
        (AllOrdered(()), True, False, False),
        (Judged(doubts("")), True, False, False),
        (UNANSWERED, True, True, False),
    ],
)
def test_an_answer_says_what_follows_from_it(
    judgement: Judgement, was_sent: bool, is_unanswered: bool, holds: bool
) -> None:
    answer = answer_to(CHUNK, judgement)
    assert (answer.was_sent, answer.is_unanswered, answer.holds) == (was_sent, is_unanswered, holds)


@pytest.mark.parametrize(
    ("judgement", "is_ended"),
    [
        (Judged(doubts(SAYS_IT_EXISTS), is_list=True), True),
        (Judged((*doubts("")[:1], ItemOutcome(12, IMEI_B, Outcome.ORDERED, "7")), is_list=True), True),
        (Judged((*doubts("")[:1], ItemOutcome(12, IMEI_B, Outcome.REFUSED)), is_list=True), True),
        (Judged(doubts("not named"), is_list=True), False),
        (Judged(doubts(SAYS_IT_EXISTS)), False),
        (UNANSWERED, False),
        (AllOrdered((PLACED_A, PLACED_B)), False),
        (NotPlaced(), False),
    ],
)
def test_only_a_list_that_names_an_imei_of_the_call_shows_when_the_provider_ended_its_work(
    judgement: Judgement, is_ended: bool
) -> None:
    """A list of another call, which a proxy has mixed up, does not; and a clean answer leaves nothing in doubt."""
    assert answer_to(CHUNK, judgement, seconds=2.5, began=100.0).ended == (102.5 if is_ended else None)


def test_the_time_of_a_call_is_kept_with_its_answer() -> None:
    for answer in (answer_from(CHUNK, WHOLE, 1.5, 40.0), judged(CHUNK, MaintenanceError("down"), 1.5, 40.0)):
        assert (answer.chunk, answer.seconds, answer.began, answer.row) == (CHUNK, 1.5, 40.0, 0)


def test_a_raw_answer_is_read_and_judged() -> None:
    assert answer_from(CHUNK, WHOLE).judgement == AllOrdered((PLACED_A, PLACED_B))
    refusal = answer_from(CHUNK, b"<error>Invalid Api Key</error>").judgement
    assert isinstance(refusal, NotPlaced)
    assert "Invalid Api Key" in refusal.message
    assert in_doubt(answer_from(CHUNK, b"<html>504</html>"))


def test_a_call_that_did_not_begin_writes_nothing_and_was_not_sent() -> None:
    answer = held_back(CHUNK)
    assert (answer.was_sent, answer.holds, answer.record) == (False, False, None)
    assert judged(CHUNK, RateLimitedError("fewer calls")).was_sent


def in_doubt(answer: Answer) -> bool:
    """Whether each IMEI of the call is in doubt, and that is written."""
    assert isinstance(answer.judgement, Judged)
    assert answer.record == record_of(CHUNK, answer.judgement.item_outcomes, answer.judgement.message)
    return [(one.imei, one.outcome) for one in answer.judgement.item_outcomes] == [
        (item.imei, Outcome.IN_DOUBT) for item in CHUNK.items
    ]


def test_what_an_ended_process_has_kept_is_its_answer_and_nothing_is_doubt() -> None:
    assert kept_answer(CHUNK, WHOLE) == answer_from(CHUNK, WHOLE)
    answer = kept_answer(CHUNK, None)
    assert in_doubt(answer)
    assert isinstance(answer.judgement, Judged) and answer.judgement.message == STOPPED


@pytest.mark.parametrize("broken", ["parse_placement", "judge"])
def test_an_answer_that_the_program_cannot_read_or_judge_may_have_placed_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """Also one that was kept: otherwise no process could recover, and nothing would be sent any more."""
    works = getattr(answers, broken)

    def stumbles(*given: object) -> object:
        if isinstance(given[-1], OutcomeUnknownError):
            return works(*given)
        raise ZeroDivisionError

    monkeypatch.setattr(answers, broken, stumbles)
    for answer in (answer_from(CHUNK, WHOLE), kept_answer(CHUNK, WHOLE)):
        assert in_doubt(answer)
        assert isinstance(answer.judgement, Judged) and answer.judgement.message == FAILED_INSIDE
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
