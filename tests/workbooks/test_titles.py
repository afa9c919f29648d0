"""The titles of an earlier download are found where they are side by side, in their order."""

import pytest

from workbooks import find_titles

TITLES = ("Verdict", "Note")


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ([], None),
        (["Verdict"], None),
        (["Verdict", "Note"], 0),
        (["IMEI", None, " Verdict ", "Note\n"], 2),
        (["IMEI", "Verdict", "Note", "Paid"], 1),
        (["Verdict", "IMEI", "Note"], None),
        (["Note", "Verdict"], None),
        (["verdict", "Note"], None),
        (["Verdict", "Note", "IMEI", "Verdict", "Note"], 3),
        ([1, 2.5, True, "Verdict", "Note"], 3),
    ],
)
def test_titles_are_found_only_as_a_whole_and_the_last_ones_count(row: list[object], place: int | None) -> None:
    assert find_titles(row, TITLES) == place
