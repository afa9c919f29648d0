"""Which phones a run orders: each once, within every limit."""

from datetime import datetime

from hypothesis import example, given
from hypothesis import strategies as st

from amounts import exceeds
from automation.deciding import Candidate, KnownOrder, SpendingLimit, WhyNot, affordable, distinct, orderable, reached

IMEIS = st.integers(1, 12).map(str)
CANDIDATES = st.lists(st.builds(Candidate, IMEIS, IMEIS | st.just(""), st.integers(1, 99)), max_size=12)


@given(CANDIDATES)
def test_no_two_phones_share_an_imei_and_none_is_lost(candidates: list[Candidate]) -> None:
    found = distinct(candidates)
    numbers = [imei for phone in found for imei in phone.imeis]
    assert len(numbers) == len(set(numbers))
    known = {imei for candidate in candidates for imei in candidate.imeis}
    assert all(not set(candidate.imeis).isdisjoint(known) for candidate in found)
    assert not candidates or found[0] == candidates[0]


@given(CANDIDATES, st.dictionaries(IMEIS, st.sampled_from(list(WhyNot)).map(KnownOrder)), st.sets(IMEIS), st.booleans())
def test_each_phone_is_ordered_or_left_out_for_one_reason(
    candidates: list[Candidate], known: dict[str, KnownOrder], ordered: set[str], rechecks: bool
) -> None:
    phones = distinct(candidates)
    found = orderable(phones, ordered, known, rechecks)
    assert len(found.phones) + found.left_out.total() == len(phones)
    for phone in found.phones:
        assert ordered.isdisjoint(phone.imeis)
        reasons = {known[imei].why_not for imei in phone.imeis if imei in known}
        assert not reasons & ({WhyNot.UNDER_WAY, WhyNot.REJECTED} | ({WhyNot.CHECKED} if not rechecks else set()))


def test_the_phone_that_was_checked_longest_ago_comes_first() -> None:
    phones = [Candidate(imei, "", 0) for imei in "abc"]
    known = {
        "a": KnownOrder(WhyNot.CHECKED, datetime(2026, 2, 2)),
        "b": KnownOrder(WhyNot.CHECKED, datetime(2026, 1, 1)),
    }
    assert [phone.imei for phone in orderable(phones, (), known, rechecks=True).phones] == ["c", "b", "a"]


@given(st.integers(0, 500), st.integers(0, 2000), st.lists(st.none() | st.integers(-500, 100_000), max_size=4))
@example(3, 0, [-500])  # a free service, and an overdrawn budget
def test_what_fits_is_the_most_that_fits_every_limit(count: int, price: int, limits: list[int | None]) -> None:
    """Amounts in thousandths of a dollar, so that sums of floats are off."""
    given_limits = [SpendingLimit(None if left is None else left / 1000, str(left)) for left in limits]
    fits, words = affordable(count, price / 1000, given_limits)
    limited = [left / 1000 for left in limits if left is not None]
    assert 0 <= fits <= count
    assert not fits or not any(exceeds(fits * price / 1000, left) for left in limited)
    if fits < count:
        assert words
        assert any(exceeds((fits + 1) * price / 1000, left) for left in limited)


def test_the_mark_stops_before_the_first_phone_that_waits() -> None:
    assert reached(90, []) == 90
    assert reached(90, [Candidate("a", "", 40), Candidate("b", "", 41)]) == 39
