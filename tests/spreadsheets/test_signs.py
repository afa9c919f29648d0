"""Signs that people and programs write between digits do not hide an IMEI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_tables import GOOD, IMEIS, kinds

from imei import Kind
from spreadsheets.cells import classify


@pytest.mark.parametrize(
    "cell",
    [
        "35-337008-008945-1",
        "35 337008 008945 1",
        "35–337008–008945–1",
        "35.337008.008945.1",
        "35/337008/008945/1",
        "353370080 089451",
        "353,370,080,089,451",
        f"IMEI: {GOOD[:8]}-{GOOD[8:]}",
        f"{GOOD}/01",
        f"IMEI {GOOD} (black)",
        f"https://example.com/?imei={GOOD}&x=1",
    ],
)
def test_signs_and_words_around_the_digits_do_not_hide_an_imei(cell: object) -> None:
    (found,) = classify(cell)
    assert found.imei == GOOD
    assert found.text == cell
    assert found.kind is (Kind.READY if cell == "353,370,080,089,451" else Kind.REPAIRED)


@pytest.mark.parametrize(
    "cell",
    [
        "353,370,080,089,451",
        "353’370’080’089’451",
        "353'370'080'089'451",
        "353´370´080´089´451",
        "353.370.080.089.451",
        "353 370 080 089 451",
        "353\u00a0370\u00a0080\u00a0089\u00a0451",
        "353\u202f370\u202f080\u202f089\u202f451",
        "353_370_080_089_451",
        "353٬370٬080٬089٬451",
        "35,33,70,08,00,89,451",
        "353,370,080,089,451.00",
        "353.370.080.089.451,00",
        "353 370 080 089 451,0",
        "353’370’080’089’451.00",
        "35,33,70,08,00,89,451.00",
        f"{GOOD}.00",
        f"{GOOD},0",
    ],
)
def test_signs_between_thousands_are_no_part_of_the_number(cell: str) -> None:
    assert kinds(cell) == [(Kind.READY, GOOD)]


@given(IMEIS, st.sampled_from([" ", "-", ".", "/", "\u00a0", "–", "\u200b"]), st.sets(st.integers(1, 14), max_size=4))
def test_separators_anywhere_between_the_digits_change_nothing(good: str, sign: str, places: set[int]) -> None:
    text = "".join(sign + digit if place in places else digit for place, digit in enumerate(good))
    if sign in "./" and len(places) == 1 and 14 in places and good[14] == "0":
        return  # 14 digits and ".0" is a number that a spreadsheet wrote
    if places == {1}:
        return  # a counter before 14 digits
    first = [value.imei for value in classify(text)]
    assert first == [good]
