"""Labels in front of numbers are no part of the number, and name what it is."""

import pytest
from read_tables import GOOD, SECOND, kinds

from imei import Kind
from spreadsheets.cells import classify


@pytest.mark.parametrize("cell", [f'="{GOOD}"', f"={GOOD}", f"IMEI:{GOOD}", f"imei no. {GOOD}", f"IMEI1: {GOOD}"])
def test_labels_and_text_formulas_are_taken_off(cell: object) -> None:
    assert kinds(cell) == [(Kind.READY, GOOD)]


@pytest.mark.parametrize(
    "cell",
    [
        f"IMEI1{GOOD}",
        f"IMEI2{GOOD}",
        f"IMEI 1{GOOD}",
        f"IMEI-2{GOOD}",
        f"IMEI#1 {GOOD}",
        f"imei_1 {GOOD}",
        f"IMEI No. {GOOD}",
        f"IMEI(1):{GOOD}",
        f"IMEI/MEID: {GOOD}",
        f"]C1{GOOD}",
        f"]C18002{GOOD}",
        f"]d1{GOOD}",
        f"(8002){GOOD}",
        f"(8002) {GOOD}",
        f"(21){GOOD}",
        f"\x1d{GOOD}",
        f"\x02{GOOD}\x03",
        f"\x0e{GOOD}",
        f"S/N: {GOOD}",
    ],
)
def test_the_digit_of_a_label_is_no_part_of_the_number(cell: str) -> None:
    assert kinds(cell) == [(Kind.READY, GOOD)]


@pytest.mark.parametrize("cell", [f"8002{GOOD}", f"21{GOOD}", f"IMEI10{GOOD}", f"SN{GOOD}X", f"A{GOOD}"])
def test_a_prefix_is_removed_and_said(cell: str) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei) == (Kind.REPAIRED, GOOD)


@pytest.mark.parametrize("cell", [f"IMEI:1{GOOD}", "IMEI13370080089451", "A310260398259791", "IMEI1 3337008008945"])
def test_a_label_never_makes_up_a_number(cell: str) -> None:
    assert all(not found.imei for found in classify(cell))


def test_what_another_label_names_is_not_taken() -> None:
    found = classify(f"IMEI:{GOOD} IMSI:310260398259791 ICCID:8901410310341617841 S/N:{SECOND}")
    assert [(each.kind, each.imei) for each in found] == [
        (Kind.READY, GOOD),
        (Kind.NOT_AN_IMEI, ""),
        (Kind.NOT_AN_IMEI, ""),
    ]
    assert [each.note for each in found[1:]] == ["Labelled IMSI, not an IMEI.", "Labelled S/N, not an IMEI."]
    found = classify(f"(01)00194252707067(21){GOOD}")
    assert [each.imei for each in found] == ["", GOOD]
