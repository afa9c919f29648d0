"""What an answer or a failure means for each IMEI of a call, and how long a list may be after it."""

import pytest
from simulated_provider import SERVICE, imeis

from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from orders import SAYS_IT_EXISTS, Chunk, Item, Outcome, PlacedOrder, PlacementAnswer
from submission.judging import (
    AllOrdered,
    Judged,
    Judgement,
    NotPlaced,
    Pause,
    is_named,
    judge,
    judge_by_name,
    judge_error,
    outcomes_of,
    proven_length,
    trial_length,
)

NUMBERS = imeis(3)
UNNAMED = "sent, but the answer does not name it"


def chunk_of(*numbers: str) -> Chunk:
    """A call of these IMEIs; the items have the ids 11, 12 and so on."""
    return Chunk(1, 1, SERVICE, 1, 1, tuple(Item(11 + n, imei) for n, imei in enumerate(numbers)))


THREE, ALONE = chunk_of(*NUMBERS), chunk_of(NUMBERS[0])


def orders_of(*numbers: str, status: str = "Pending") -> tuple[PlacedOrder, ...]:
    """An order of each, with ids from 1 on."""
    return tuple(PlacedOrder(str(1 + n), imei, status) for n, imei in enumerate(numbers))


def outcomes(judgement: Judgement) -> list[tuple[Outcome, str]]:
    """(outcome, words) of each outcome, which must be of the items in their order."""
    assert isinstance(judgement, Judged)
    assert [item_outcome.item_id for item_outcome in judgement.item_outcomes] == [
        11 + n for n in range(len(judgement.item_outcomes))
    ]
    assert [item_outcome.imei for item_outcome in judgement.item_outcomes] == NUMBERS[: len(judgement.item_outcomes)]
    return [(item_outcome.outcome, item_outcome.message) for item_outcome in judgement.item_outcomes]


def judged(chunk: Chunk, content: PlacementAnswer | GSMFusionAPIError) -> Judged:
    """The judgement of an answer, or a failure, that may have placed something."""
    judgement = judge(chunk, content)
    assert isinstance(judgement, Judged)
    return judgement


# A clean answer


def test_an_answer_that_orders_each_imei_once_is_clean_in_any_order() -> None:
    placed = tuple(reversed(orders_of(*NUMBERS)))
    judgement = judge(THREE, PlacementAnswer(placed))
    assert judgement == AllOrdered(placed)
    assert outcomes_of(THREE, judgement) == judge_by_name(THREE, PlacementAnswer(placed)).item_outcomes
    assert outcomes(judge_by_name(THREE, PlacementAnswer(placed))) == [(Outcome.ORDERED, "")] * 3


@pytest.mark.parametrize(
    "answer",
    [
        PlacementAnswer(orders_of(*NUMBERS), duplicates=(NUMBERS[0],)),
        PlacementAnswer(orders_of(*NUMBERS), errors=((NUMBERS[0], "no"),)),
        PlacementAnswer(orders_of(*NUMBERS[:2])),
        PlacementAnswer(orders_of(*NUMBERS, imeis(9)[8])),
        PlacementAnswer(orders_of(*NUMBERS[:2], imeis(9)[8])),
        PlacementAnswer(orders_of(*NUMBERS[:2], NUMBERS[1])),
        PlacementAnswer((*orders_of(*NUMBERS[:2]), PlacedOrder("1", NUMBERS[2]))),
        PlacementAnswer(orders_of(*NUMBERS, status="Completed")),
        PlacementAnswer((*orders_of(*NUMBERS[:2]), PlacedOrder("3", NUMBERS[2], "Rejected"))),
    ],
    ids=[
        *("with a duplicate", "with a refusal", "one too few", "one too many", "of another IMEI", "one IMEI twice"),
        *("one id twice", "with every result", "with one result"),
    ],
)
def test_an_answer_with_anything_else_in_it_is_read_imei_by_imei(answer: PlacementAnswer) -> None:
    judgement = judged(THREE, answer)
    assert judgement == judge_by_name(THREE, answer)
    assert outcomes_of(THREE, judgement) == judge_by_name(THREE, answer).item_outcomes


# An answer, IMEI by IMEI


def test_a_mixed_answer_gives_each_imei_what_is_said_of_it() -> None:
    answer = PlacementAnswer((PlacedOrder("7", NUMBERS[0], "Completed"),), errors=((NUMBERS[1], "not supported"),))
    judgement = judged(THREE, answer)
    assert outcomes(judgement) == [
        (Outcome.ORDERED, ""),
        (Outcome.REFUSED, "not supported"),
        (Outcome.IN_DOUBT, UNNAMED),
    ]
    assert judgement.item_outcomes[0][3:5] == ("7", "Completed")
    assert judgement.message == "the answer named 2 of 3 IMEIs"
    assert judgement.pause is Pause.NOBODY


@pytest.mark.parametrize(
    "answer",
    [
        PlacementAnswer(orders_of(*NUMBERS[1:]), duplicates=(NUMBERS[0],)),
        PlacementAnswer(orders_of(*NUMBERS[1:]), errors=((NUMBERS[0], "This IMEI Already Exists in our system"),)),
    ],
    ids=["in the list of duplicates", "in the words about it"],
)
def test_an_imei_of_which_the_provider_has_an_order_is_named_and_in_doubt(answer: PlacementAnswer) -> None:
    judgement = judged(THREE, answer)
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, SAYS_IT_EXISTS), *[(Outcome.ORDERED, "")] * 2]
    assert judgement.message == ""
    assert all(map(is_named, judgement.item_outcomes))


def test_an_imei_that_is_ordered_and_called_a_duplicate_too_is_ordered() -> None:
    answer = PlacementAnswer(
        orders_of(NUMBERS[0]), duplicates=(NUMBERS[0],), errors=((NUMBERS[0], "imei already exists"),)
    )
    assert outcomes(judge(ALONE, answer)) == [(Outcome.ORDERED, "")]


def test_an_imei_that_the_answer_does_not_name_is_not_named() -> None:
    judgement = judged(THREE, PlacementAnswer(orders_of(*NUMBERS[:1])))
    assert list(map(is_named, judgement.item_outcomes)) == [True, False, False]
    assert judgement.message == "the answer named 1 of 3 IMEIs"


def test_one_id_for_two_imeis_orders_neither() -> None:
    placed = (PlacedOrder("7", NUMBERS[0]), PlacedOrder("7", NUMBERS[1]), PlacedOrder("8", NUMBERS[2]))
    assert outcomes(judge(THREE, PlacementAnswer(placed))) == [
        *[(Outcome.IN_DOUBT, UNNAMED)] * 2,
        (Outcome.ORDERED, ""),
    ]


def test_an_order_that_is_named_twice_is_one_order() -> None:
    placed = (PlacedOrder("7", NUMBERS[0]), PlacedOrder("7", NUMBERS[0]))
    assert outcomes(judge(ALONE, PlacementAnswer(placed))) == [(Outcome.ORDERED, "")]


def test_of_two_ids_for_one_imei_the_first_counts() -> None:
    judgement = judged(ALONE, PlacementAnswer((PlacedOrder("7", NUMBERS[0]), PlacedOrder("8", NUMBERS[0]))))
    assert [item_outcome.order_id for item_outcome in judgement.item_outcomes] == ["7"]


def test_a_refusal_without_words_says_so() -> None:
    judgement = judged(ALONE, PlacementAnswer(errors=((NUMBERS[0], ""),)))
    assert outcomes(judgement) == [(Outcome.REFUSED, "refused without a reason")]


@pytest.mark.parametrize(
    ("words", "pause"),
    [
        ("Invalid User", Pause.ALL),
        ("Your credit has been finished", Pause.ALL),
        ("IMEI already exists", Pause.NOBODY),
        ("Invalid IMEI", Pause.NOBODY),
        ("Invalid value of network id", Pause.BATCH),
        ("Words that nobody has seen", Pause.BATCH),
    ],
)
def test_words_beside_orders_that_name_no_imei_stop_whom_they_concern_and_leave_the_rest_in_doubt(
    words: str, pause: Pause
) -> None:
    judgement = judged(THREE, PlacementAnswer(orders_of(*NUMBERS[:1]), errors=(("", words),)))
    assert outcomes(judgement) == [(Outcome.ORDERED, ""), *[(Outcome.IN_DOUBT, UNNAMED)] * 2]
    assert (judgement.message, judgement.pause) == (words, pause)


# A failure


def test_maintenance_placed_nothing_and_stops_all_for_a_while() -> None:
    assert judge(THREE, MaintenanceError("down")) == NotPlaced("down", Pause.ALL_FOR_A_WHILE)


def test_a_call_that_was_not_sent_is_given_back_and_nobody_sends_for_a_while() -> None:
    error = NotSentError("no network", retry_after=9.0)
    assert judge(THREE, error) == NotPlaced("no network", hold=True)


@pytest.mark.parametrize("seconds", [None, 9.0])
def test_a_rate_limit_holds_for_as_long_as_the_provider_asks(seconds: float | None) -> None:
    error = RateLimitedError("slow down", retry_after=seconds)
    assert judge(THREE, error) == NotPlaced("slow down", hold=True, limited=True, retry_after=seconds)


@pytest.mark.parametrize("error", [OutcomeUnknownError("cut off"), GSMFusionAPIError("cut off")])
def test_a_call_without_a_readable_answer_is_in_doubt(error: GSMFusionAPIError) -> None:
    judgement = judged(THREE, error)
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, "cut off")] * 3
    assert (judgement.message, judgement.pause) == ("cut off", Pause.NOBODY)
    assert judgement.is_unanswered


# A refusal of the whole call


def refused(kind: RefusalKind, words: str = "no") -> RefusedError:
    return RefusedError(kind, words)


@pytest.mark.parametrize("chunk", [ALONE, THREE], ids=["alone", "many"])
@pytest.mark.parametrize(("kind", "pause"), [(RefusalKind.CREDENTIALS, Pause.ALL), (RefusalKind.SERVICE, Pause.BATCH)])
def test_a_refused_login_or_service_placed_nothing(kind: RefusalKind, pause: Pause, chunk: Chunk) -> None:
    assert judge_error(chunk, refused(kind)) == NotPlaced("The provider refused: no", pause)


def test_one_imei_without_credit_was_not_placed() -> None:
    assert judge_error(ALONE, refused(RefusalKind.CREDIT)) == NotPlaced("The provider refused: no", Pause.ALL)


def test_many_imeis_without_credit_are_in_doubt_because_the_first_may_be_paid() -> None:
    judgement = judged(THREE, refused(RefusalKind.CREDIT))
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, "The provider refused: no")] * 3
    assert (judgement.message, judgement.pause) == ("The provider refused: no", Pause.ALL)
    assert not judgement.is_unanswered


@pytest.mark.parametrize(
    ("chunk", "words"), [(ALONE, SAYS_IT_EXISTS), (THREE, "The provider refused: no")], ids=["alone", "many"]
)
def test_a_refused_duplicate_is_in_doubt_and_named_only_where_it_was_alone(chunk: Chunk, words: str) -> None:
    judgement = judged(chunk, refused(RefusalKind.DUPLICATE))
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, words)] * len(chunk.items)
    assert (judgement.message, judgement.pause) == ("The provider refused: no", Pause.NOBODY)


def test_one_invalid_imei_is_refused_in_the_words_of_the_provider() -> None:
    judgement = judged(ALONE, refused(RefusalKind.INVALID_IMEI))
    assert outcomes(judgement) == [(Outcome.REFUSED, "The provider refused: no")]
    assert (judgement.message, judgement.pause) == ("The provider refused: no", Pause.NOBODY)


def test_of_many_the_invalid_imei_that_the_words_name_is_refused_and_the_others_are_in_doubt() -> None:
    words = f"Invalid IMEI {NUMBERS[1]}"
    judgement = judged(THREE, refused(RefusalKind.INVALID_IMEI, words))
    said = f"The provider refused: {words}"
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, said), (Outcome.REFUSED, said), (Outcome.IN_DOUBT, said)]
    assert (judgement.message, judgement.pause) == (said, Pause.NOBODY)


@pytest.mark.parametrize("words", ["Invalid IMEI", "Invalid IMEI 9" + NUMBERS[1], "Invalid IMEI " + NUMBERS[1][:14]])
def test_of_many_none_is_refused_where_the_words_name_none_of_them(words: str) -> None:
    judgement = judged(THREE, refused(RefusalKind.INVALID_IMEI, words))
    assert {outcome for outcome, _ in outcomes(judgement)} == {Outcome.IN_DOUBT}


@pytest.mark.parametrize("chunk", [ALONE, THREE], ids=["alone", "many"])
@pytest.mark.parametrize("kind", [RefusalKind.UNKNOWN, RefusalKind.ORDER_ID])
def test_a_refusal_in_new_words_leaves_every_imei_in_doubt_and_stops_the_batch(kind: RefusalKind, chunk: Chunk) -> None:
    judgement = judged(chunk, refused(kind))
    assert outcomes(judgement) == [(Outcome.IN_DOUBT, "The provider refused: no")] * len(chunk.items)
    assert (judgement.message, judgement.pause) == ("The provider refused: no", Pause.BATCH)


# How long a list may be


@pytest.mark.parametrize(("proven", "length"), [(0, 2), (1, 1), (2, 100), (3, 3), (40, 40), (100, 100)])
def test_the_next_call_tries_two_then_the_full_length_and_else_what_is_proven(proven: int, length: int) -> None:
    assert trial_length(proven, 100) == length


@pytest.mark.parametrize("known", [0, 2, 100])
@pytest.mark.parametrize("named", [[], [True], [False]])
def test_a_call_of_one_proves_nothing_about_lists(named: list[bool], known: int) -> None:
    assert proven_length(named, known, 100) == known


@pytest.mark.parametrize(
    ("sent", "known", "length"), [(2, 0, 2), (3, 0, 100), (100, 2, 100), (2, 40, 40), (2, 100, 100)]
)
def test_a_list_that_came_back_whole_proves_its_length(sent: int, known: int, length: int) -> None:
    assert proven_length([True] * sent, known, 100) == length


@pytest.mark.parametrize(
    ("named", "length"),
    [
        ([True, True, True, False, False], 3),
        ([True, True, False, False], 1),
        ([True, False], 1),
        ([False, False, False], 1),
        ([True, True, True, False, True], 1),
        ([False, True, True, True], 1),
    ],
)
def test_a_list_that_came_back_cut_is_believed_as_far_as_its_beginning_was_named(
    named: list[bool], length: int
) -> None:
    assert proven_length(named, 100, 100) == length
