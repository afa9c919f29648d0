"""Counts of orders by verdict: their sums, and the words under which they are filtered."""

import pytest

from grading import NO_VERDICTS, PENDING, Verdict, VerdictCounts, verdict_label

COUNTS = VerdictCounts(passed=1, review=20, failed=300, pending=4000)


def test_every_order_is_in_one_count_and_pending_ones_have_no_result() -> None:
    assert (COUNTS.results, COUNTS.total) == (321, 4321)
    assert (NO_VERDICTS.results, NO_VERDICTS.total) == (0, 0)


def test_counts_add_up_by_verdict() -> None:
    assert COUNTS + VerdictCounts(4, 3, 2, 1) == VerdictCounts(5, 23, 302, 4001)
    assert sum([COUNTS, COUNTS], NO_VERDICTS) == VerdictCounts(2, 40, 600, 8000)


def test_counts_are_named_by_the_words_of_a_filter() -> None:
    found = COUNTS.by_word()
    assert found == {Verdict.PASS: 1, Verdict.REVIEW: 20, Verdict.FAIL: 300, PENDING: 4000}
    assert {type(word) for word in found} == {str}  # as JSON and a URL have them


@pytest.mark.parametrize(("word", "label"), [("pass", "Pass"), ("review", "Review"), ("fail", "Fail"), (None, "")])
def test_a_stored_verdict_has_a_word_for_people(word: str | None, label: str) -> None:
    assert verdict_label(word) == label
