"""What only the list says is no order: a result text may have forged it. The provider is asked for each by its id."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from forged_texts import FORGED, assert_no_false_word, forged_text, let_texts, ordered
from handmade_calls import answered, call, listed, look, one, outcome, read_balance, reason, unanswered
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system

from database import IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    GSMFusionClient,
    OutcomeUnknownError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
)
from orders import SAYS_IT_EXISTS, Chunk, IMEIOrder, ServiceInfo, SubmissionResult
from provider import parse_asked_orders
from submission.confirmation import LONGEST, MOST_CALLS, MOST_FAILURES, confirm
from submission.settlement import UNCLEAR, UNCONFIRMED, Settler

pytestmark = pytest.mark.usefixtures("quick_looks", "short_proof")

MADE_UP = OutcomeUnknownError("No answer came.")
UNKNOWN_ID = RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.05)) as running:
        yield running


def place(simulator: Simulator, database: IMEIDatabase, count: int, **options: Any) -> SubmissionResult:
    with system(simulator, database, workers=1, settle_quiet=0.3, patience=2.5, **options) as running:
        return running.submit_batch(imeis(count), SERVICE)


def test_a_text_of_an_earlier_order_settles_no_doubt(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call placed nothing; the text of an order before it names one for an IMEI of it."""
    numbers = imeis(200)
    let_texts(monkeypatch, {numbers[0]: forged_text((FORGED, numbers[150]))})
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,))
    result = place(simulator, database, 200)
    assert (result.successful, result.in_doubt) == (100, 100)
    assert numbers[150] not in ordered(database)
    assert one(database, "SELECT message FROM chunks WHERE state = 'in_doubt'") == UNCONFIRMED
    assert judge(simulator, database) == (0, 0)
    assert_no_false_word(simulator, database)


def test_the_order_that_the_provider_confirms_is_taken_and_not_the_forged_one(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = imeis(200)
    let_texts(monkeypatch, {numbers[0]: forged_text((FORGED, numbers[150]), (FORGED + 1, numbers[151]))})
    simulator.set(fault="reset", fault_when="after", fault_calls=(2,))
    result = place(simulator, database, 200)
    assert (result.successful, result.in_doubt) == (200, 0)
    assert judge(simulator, database) == (0, 0)
    assert_no_false_word(simulator, database)


@pytest.mark.parametrize("forgeries", [1, 2, 3])
def test_a_text_of_the_call_in_doubt_vouches_for_no_other_order_of_it(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, forgeries: int
) -> None:
    """The provider placed half of the call; the text of one of these orders names orders for IMEIs of the other half.

    Only the order whose own answer names others stays in doubt of what was placed.
    """
    numbers = imeis(200)
    named = [(FORGED + number, numbers[160 + number]) for number in range(forgeries)]
    let_texts(monkeypatch, {numbers[120]: forged_text(*named)})
    with system(simulator, database, workers=1, settle_quiet=0.3, patience=4.0) as running:
        running.submit_batch(imeis(100), SERVICE)
        simulator.set(fault="reset", fault_when="after", fault_calls=(2,), comma_list="first", first_n=50)
        result = running.submit_batch(numbers[100:], SERVICE)
    assert set(ordered(database)) == set(numbers[:150]) - {numbers[120]}
    assert (result.successful, result.in_doubt) == (49, 51)
    assert judge(simulator, database) == (0, 1)  # it is in doubt, for a person
    assert_no_false_word(simulator, database)


@pytest.mark.parametrize("is_forged", [True, False])
def test_no_call_is_repeated_on_the_strength_of_a_text(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, is_forged: bool
) -> None:
    """The text of the first order names the second one under a made-up IMEI; a later call was not placed."""
    numbers = imeis(302)
    with system(simulator, database, workers=1, settle_quiet=0.3, patience=8.0) as running:
        running.submit_batch(numbers[:2], SERVICE)
        second = max(charge.order_id for charge in simulator.charges())
        let_texts(monkeypatch, {numbers[0]: forged_text((second, "359999000000123")) if is_forged else "Clean"})
        simulator.set(fault="reset", fault_when="before", fault_calls=(2,))
        result = running.submit_batch(numbers[2:], SERVICE)
    assert (result.successful, result.in_doubt) == ((200, 100) if is_forged else (300, 0))
    assert judge(simulator, database) == (0, 0)
    assert_no_false_word(simulator, database)


class Counting(GSMFusionClient):
    """Notes what is asked for by id; fails as long as there is an error."""

    asked: list[int]
    error: GSMFusionAPIError | None = None

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        self.asked.append(len(order_ids))
        if self.error is not None:
            raise self.error
        return super().get_imei_orders(order_ids, nothing_else)


def test_a_call_of_a_hundred_takes_two_questions(simulator: Simulator, database: IMEIDatabase) -> None:
    asked: list[int] = []
    counting = type("Counting", (Counting,), {"asked": asked})
    simulator.set(fault="reset", fault_when="after", fault_calls=(1,))
    result = place(simulator, database, 100, client_class=counting)
    assert (result.successful, asked) == (100, [50, 50])


@pytest.mark.parametrize("error", [MADE_UP, UNKNOWN_ID, UnreadableAnswerError("x")], ids=lambda e: type(e).__name__)
def test_a_provider_that_lists_and_does_not_show_by_id_leaves_the_doubt_to_a_person(
    simulator: Simulator, database: IMEIDatabase, error: GSMFusionAPIError
) -> None:
    """Once it shows orders by id again, the doubt ends."""
    asked: list[int] = []
    failing = type("Failing", (Counting,), {"asked": asked, "error": error})
    simulator.set(fault="reset", fault_when="after", fault_calls=(1,))
    result = place(simulator, database, 100, client_class=failing)
    assert (result.successful, result.in_doubt) == (0, 100)
    assert one(database, "SELECT message FROM chunks WHERE state = 'in_doubt'") == UNCONFIRMED
    assert len(simulator.charges()) == 100
    result = place(simulator, database, 100)
    assert (result.successful, result.in_doubt) == (100, 0)
    assert judge(simulator, database) == (0, 0)


# What one look makes of it

AT = 1000.0


def doubtful_call(database: IMEIDatabase, said: Sequence[str] = ()) -> tuple[list[IMEIOrder], str, Chunk]:
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful, said)
    return known, doubtful.items[0].imei, doubtful


@pytest.mark.parametrize(
    ("said_by_id", "words"),
    [
        (None, UNCONFIRMED),
        (listed("2000", imeis(1, first=21)[0]), UNCONFIRMED),
        (listed("2000", "", SERVICE), UNCONFIRMED),
        (listed("2000", imeis(1, first=20)[0], SERVICE, "2025-01-01 00:00:00"), UNCLEAR),
        (listed("2000", imeis(1, first=20)[0], "other"), None),
        (listed("2000", imeis(1, first=20)[0], "", ""), None),
    ],
)
def test_what_the_provider_says_by_id_decides(
    database: IMEIDatabase, said_by_id: IMEIOrder | None, words: str | None
) -> None:
    known, imei, doubtful = doubtful_call(database)
    settler = Settler(0.0)
    confirmed = {} if said_by_id is None else {"2000": said_by_id}
    look(database, settler, [*known, listed("2000", imei)], AT, confirmed=confirmed)
    if words is None:
        assert outcome(database, doubtful) == [("ordered", "2000")]
    else:
        assert outcome(database, doubtful) == [("in_doubt", "")]
        assert reason(database, doubtful) == words


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_an_order_from_before_the_call_must_be_confirmed_too(database: IMEIDatabase, is_confirmed: bool) -> None:
    imei = imeis(1, first=20)[0]
    known, _, doubtful = doubtful_call(database, [SAYS_IT_EXISTS])
    older = listed("999", imei, at="2026-11-20 09:00:00")
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1)], 1.0)
    look(database, Settler(0.0), [*known, older], AT, confirmed={"999": older} if is_confirmed else {})
    word = "duplicate" if is_confirmed else "in_doubt"
    assert [found for found, _ in outcome(database, doubtful)] == [word]


# The questions


class Provider:
    """Knows orders by id, whose texts name others; what it is asked for is noted."""

    def __init__(self, known: dict[str, tuple[str, ...]]) -> None:
        """known: order id → the ids that its text names."""
        self.known = known
        self.asked: list[list[str]] = []
        self.error: GSMFusionAPIError | None = None

    def ask(self, ids: Sequence[str]) -> list[IMEIOrder]:
        self.asked.append(list(ids))
        if self.error is not None:
            raise self.error
        named = [name for known in ids if known in self.known for name in (known, *self.known[known])]
        if not named:
            raise UNKNOWN_ID
        if set(named) - set(ids):
            raise UnreadableAnswerError("it names more")
        return [IMEIOrder(name, imeis(1)[0], "Pending") for name in named]

    def listed(self) -> list[IMEIOrder]:
        """The list, in which each text follows its order."""
        names = [name for order_id, texts in self.known.items() for name in (order_id, *texts)]
        return [IMEIOrder(name, imeis(1)[0], "Pending") for name in names]

    def confirm(self) -> set[str]:
        """What is confirmed in one look after another, each asking for the rest."""
        orders, found = self.listed(), set[str]()
        while new := set(confirm(self.ask, orders, {order.id for order in orders} - found)):
            found |= new
        return found


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("forged", [("f",), ("f", "g"), ("f", "g", "h"), ("f", "f")])
def test_no_text_confirms_what_it_names(before: int, forged: tuple[str, ...]) -> None:
    provider = Provider({**{str(n): () for n in range(before)}, "x": forged, "98": (), "99": ()})
    assert provider.confirm() == {*map(str, range(before)), "98", "99"}


def test_two_equal_texts_confirm_nothing_either() -> None:
    provider = Provider({"1": (), "x": ("f",), "2": (), "y": ("f",), "z": ("f",)})
    assert provider.confirm() == {"1", "2"}


def test_one_order_is_one_question_and_none_is_none() -> None:
    provider = Provider({"1": ()})
    assert (set(confirm(provider.ask, provider.listed(), {"1"})), provider.asked) == ({"1"}, [["1"]])
    assert confirm(provider.ask, provider.listed(), set()) == {}
    assert len(provider.asked) == 1


def test_the_questions_of_a_look_are_bounded() -> None:
    provider = Provider({str(n): () for n in range(3 * MOST_CALLS * LONGEST)})
    orders = provider.listed()
    assert len(confirm(provider.ask, orders, {order.id for order in orders})) == MOST_CALLS * LONGEST
    assert [len(ids) for ids in provider.asked] == [LONGEST] * MOST_CALLS


@pytest.mark.parametrize(("error", "calls"), [(UNKNOWN_ID, MOST_FAILURES), (MADE_UP, 1)])
def test_a_provider_that_fails_is_not_asked_on(error: GSMFusionAPIError, calls: int) -> None:
    provider = Provider({str(n): () for n in range(400)})
    provider.error = error
    assert (provider.confirm(), len(provider.asked)) == (set(), calls)


def test_an_answer_that_names_another_order_is_unreadable_where_nothing_else_may_be_named() -> None:
    both = b"<result><imeis><id>1</id><imei>3</imei></imeis><imeis><id>2</id><imei>4</imei></imeis></result>"
    assert [order.id for order in parse_asked_orders(both, ["1"])] == ["1"]
    assert [order.id for order in parse_asked_orders(both, ["1", "2"], nothing_else=True)] == ["1", "2"]
    with pytest.raises(UnreadableAnswerError):
        parse_asked_orders(both, ["1"], nothing_else=True)
