"""Kinds of uploads that once went wrong, each in several forms: which IMEIs are taken, and what is said of the rest."""

import pytest
from read_tables import FIVE, table, taken
from sample_files import imei, imeis

from spreadsheets.intake import ALL_COLUMNS
from spreadsheets.reading import read_file, read_text


def grouped(number: str, sign: str) -> str:
    return sign.join(number[place : place + 3] for place in range(0, 15, 3))


#: Encodings and the thousands signs that they have.
SIGNS = {"utf-8": [",", ".", "'", "’", "\u00a0", "\u202f", " "], "cp1252": [",", ".", "'", "’", "\u00a0", " "]}
NOTATIONS = [
    (encoding, fraction, sign)
    for encoding, signs in SIGNS.items()
    for fraction in ("", ".00", ",00")
    for sign in signs
    if not fraction.startswith(sign)
]


@pytest.mark.parametrize(("encoding", "fraction", "sign"), NOTATIONS)
def test_signs_between_thousands_are_read_in_a_file(encoding: str, fraction: str, sign: str) -> None:
    rows = [f'"{grouped(number, sign)}{fraction}";iPhone' for number in FIVE]
    assert taken(read_file("\n".join(["IMEI;Model", *rows]).encode(encoding))) == FIVE
    bare = [f"{grouped(number, sign)}{fraction}" for number in FIVE]
    assert taken(read_file("\n".join(["IMEI", *bare]).encode(encoding))) == FIVE


@pytest.mark.parametrize("fashion", ["{}", "x,{}", "{},iPhone 12,black", "7,x,{},1.50"])
def test_commas_between_thousands_are_read_without_quotes_too(fashion: str) -> None:
    intake = read_file("\n".join(["Stock", *(fashion.format(grouped(number, ",")) for number in FIVE)]).encode())
    assert taken(intake) == FIVE


@pytest.mark.parametrize("exponent", ["E+14", "E+014", "e+14", "E14", "E+0014"])
@pytest.mark.parametrize(("point", "delimiter"), [(".", ","), (",", ";"), (".", "\t"), (",", "\t")])
def test_exact_scientific_notation_is_read_in_a_file(exponent: str, point: str, delimiter: str) -> None:
    rows = [[f"{number[0]}{point}{number[1:]}{exponent}", "iPhone"] for number in FIVE]
    assert taken(read_file(table(["IMEI", "Model"], *rows, delimiter=delimiter))) == FIVE


def test_labelled_pairs_side_by_side_are_one_phone_a_row() -> None:
    text = "\n".join(f"IMEI1:{imei(place)};IMEI2:{imei(place + 50)}" for place in range(1, 4))
    intake = read_text(text)
    assert taken(intake) == imeis(3)
    assert len(intake.seconds) == 3 or intake.chosen.column != ALL_COLUMNS
