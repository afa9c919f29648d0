"""What a cell may hold, row by row: the table of what people bring, and what is made of it."""

import time
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_tables import GOOD, SECOND, kinds

import imei
from imei import Kind, is_valid, luhn_check_digit
from spreadsheets import cells
from spreadsheets.cells import classify

THIRD, FOURTH = "353370080089477", "353370080089485"
ZERO_RANGE = "013370080089453"  #: begins with 01, so that Excel makes a number of 14 digits of it


def gtin(digits: str) -> str:
    """13 digits with the check digit of a GTIN-14: the first is weighted 3, the next 1, and so on."""
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(digits))
    return digits + str(-total % 10)


@pytest.mark.parametrize("cell", [GOOD, int(GOOD), float(GOOD), Decimal(GOOD), GOOD + ".0", GOOD + ",00"])
def test_fifteen_digits_are_taken_exactly(cell: object) -> None:
    assert kinds(cell) == [(Kind.READY, GOOD)]


@given(st.integers(10**13, 10**14 - 2).map(lambda body: str(body) + luhn_check_digit(str(body))))
def test_a_double_keeps_fifteen_digits(good: str) -> None:
    assert kinds(float(good)) == [(Kind.READY, good)]
    assert kinds(f"{float(good):.14E}")[0][1] == good


@pytest.mark.parametrize("cell", ["3.53370080089451E+14", "3,53370080089451E+14", "3.53370080089451e14"])
def test_scientific_notation_with_all_digits_is_taken(cell: object) -> None:
    assert kinds(cell) == [(Kind.REPAIRED, GOOD)]


@pytest.mark.parametrize("cell", ["3.5337E+14", "3,5337E+14", "3.5337008008945E+14", "4E+14", "3.53370080089451E+13"])
def test_scientific_notation_that_lost_digits_is_damaged(cell: object) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei) == (Kind.DAMAGED, "")
    assert "format the column as Text in Excel" in found.note


@pytest.mark.parametrize("cell", [3533700800894510, 3.53370080089451e15, 353370080089451000, "3.53370080089451E+15"])
def test_a_number_of_sixteen_or_more_digits_is_damaged(cell: object) -> None:
    assert kinds(cell) == [(Kind.DAMAGED, "")]


def test_a_number_of_fourteen_digits_gets_its_zero_back_only_where_luhn_and_01_agree() -> None:
    assert is_valid(ZERO_RANGE)
    assert [(f.kind, f.imei, f.note) for f in classify(int(ZERO_RANGE))] == [
        (Kind.REPAIRED, ZERO_RANGE, imei.ZERO_ADDED)
    ]
    luhn_agrees_but_not_01 = 35337008008940 + int(luhn_check_digit("03533700800894"))
    assert is_valid(f"{luhn_agrees_but_not_01:015d}")
    body = str(luhn_agrees_but_not_01)
    (found,) = classify(luhn_agrees_but_not_01)
    assert (found.kind, found.imei) == (Kind.REPAIRED, body + luhn_check_digit(body))
    assert found.note == imei.COMPLETED_NUMBER
    (neither,) = classify(int(ZERO_RANGE) + 1)
    assert (neither.kind, neither.imei) == (Kind.NOT_AN_IMEI, "")
    assert "begin with 13" in neither.note


def test_a_text_of_fourteen_digits_is_completed() -> None:
    (found,) = classify(GOOD[:14])
    assert (found.kind, found.imei, found.note) == (Kind.REPAIRED, GOOD, imei.COMPLETED)


def test_a_text_of_fourteen_digits_gets_its_zero_back_too_because_excel_saves_it_so() -> None:
    assert kinds(ZERO_RANGE[1:]) == [(Kind.REPAIRED, ZERO_RANGE)]
    assert kinds("0" + ZERO_RANGE[1:14]) == [(Kind.REPAIRED, ZERO_RANGE)]


def test_an_imeisv_becomes_an_imei() -> None:
    (found,) = classify(GOOD[:14] + "77")
    assert (found.kind, found.imei, found.note) == (Kind.REPAIRED, GOOD, imei.IMEISV)


def test_a_wrong_check_digit_has_a_bucket_of_its_own_and_says_the_right_one() -> None:
    (found,) = classify("353370080089458")
    assert (found.kind, found.imei) == (Kind.LUHN_FAILED, "353370080089458")
    assert found.note.endswith("it would be 1.")
    assert kinds(353370080089458) == [(Kind.LUHN_FAILED, "353370080089458")]


@pytest.mark.parametrize("cell", ["A0000012345678", "a0000012345678", "A0-000012-345678", "268435456000123456"])
def test_a_meid_is_named(cell: object) -> None:
    assert kinds(cell) == [(Kind.MEID, "")]


@pytest.mark.parametrize("cell", ["F4GKVV0HT54H", "R58M42ABCDE", "Y9WPM27XR1"])
def test_a_serial_number_is_named(cell: object) -> None:
    assert kinds(cell) == [(Kind.SERIAL, "")]


@pytest.mark.parametrize(
    "cell",
    [
        "'" + GOOD,
        f"  {GOOD}\t",
        f"\u00a0{GOOD}\u00a0",
        f"\u200b{GOOD[:7]}\u200d{GOOD[7:]}\ufeff",
        GOOD.translate({48 + digit: 0xFF10 + digit for digit in range(10)}),
        "٣٥٣٣٧٠٠٨٠٠٨٩٤٥١",
        f'"{GOOD}"',
        f"\x00{GOOD}\x00",
        f"{GOOD}\r\n",
    ],
)
def test_wrappings_are_taken_off(cell: object) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei, found.text) == (Kind.READY, GOOD, cell)


@pytest.mark.parametrize(
    "cell",
    [
        f"{GOOD}/{SECOND}",
        f"{GOOD} {SECOND}",
        f"{GOOD}\n{SECOND}",
        f"{GOOD}, {SECOND}",
        f"35-337008-008945-1 / {SECOND[:2]}-{SECOND[2:8]}-{SECOND[8:14]}-{SECOND[14]}",
        f"IMEI1: {GOOD} IMEI2: {SECOND}",
        f"{GOOD} & {SECOND}",
    ],
)
def test_two_imeis_in_a_cell_are_both_found(cell: object) -> None:
    assert [found.imei for found in classify(cell)] == [GOOD, SECOND]


@pytest.mark.parametrize(
    "cell",
    [
        f"{GOOD}/{SECOND}",
        f"{GOOD} / {SECOND}",
        f"{GOOD}, {SECOND}",
        f"{GOOD} & {SECOND}",
        f"IMEI1: {GOOD} IMEI2: {SECOND}",
        f"IMEI1:{GOOD}IMEI2:{SECOND}",
        f"IMEI1{GOOD}IMEI2{SECOND}",
        f"IMEI 1: {GOOD}\nIMEI 2: {SECOND}",
        f"Galaxy A22 (IMEI1={GOOD}; IMEI2={SECOND})",
        f"{GOOD}IMEI2:{SECOND}",
        f"IMEI (slot 1) {GOOD} IMEI (slot 2) {SECOND}",
        f"{GOOD[:14]}, {SECOND[:14]}",
        "353,370,080,089,451; 353,370,080,089,469",
    ],
)
def test_of_two_imeis_of_a_phone_the_second_is_marked(cell: str) -> None:
    assert [(found.imei, found.second) for found in classify(cell)] == [(GOOD, False), (SECOND, True)]


def test_the_imei_of_a_phone_with_the_right_check_digit_is_the_first() -> None:
    found = classify(f"353370080089458 / {SECOND}")
    assert [(each.kind, each.second) for each in found] == [(Kind.LUHN_FAILED, True), (Kind.REPAIRED, False)]


@pytest.mark.parametrize(
    "cell",
    [
        f"{GOOD}/{SECOND}/{THIRD}",
        f"{GOOD}, {SECOND}, {THIRD}",
        f"{GOOD}\n{SECOND}\n{THIRD}",
        f"{GOOD}\r\n{SECOND}\r\n{THIRD}\r\n",
        f"{GOOD} {SECOND} {THIRD}",
        f"Units:\n{GOOD}\n{SECOND},\n{THIRD}",
        f"{GOOD}\u2028{SECOND}\x0b{THIRD}",
        f"1. {GOOD}\n2. {SECOND}\n3. {THIRD}",
    ],
)
def test_three_or_more_in_a_cell_are_a_list(cell: str) -> None:
    assert [(found.imei, found.second) for found in classify(cell)] == [(GOOD, False), (SECOND, False), (THIRD, False)]


def test_one_a_line_in_a_cell_is_a_list_and_each_line_may_have_a_second() -> None:
    assert [found.second for found in classify(f"{GOOD}\n{SECOND}")] == [False, False]
    four = f"IMEI1:{GOOD}IMEI2:{SECOND}\nIMEI1:{THIRD}IMEI2:{FOURTH}"
    assert [found.second for found in classify(four)] == [False, True, False, True]
    assert [found.second for found in classify(f"{GOOD}/{SECOND}\n{THIRD}/{FOURTH}")] == [False, True, False, True]


def test_a_bad_line_of_a_list_is_named_with_its_text() -> None:
    found = classify(f"{GOOD}\n353O70080089469\n{THIRD}\n3.5337E+14\nsold")
    assert [each.kind for each in found] == [Kind.REPAIRED, Kind.NOT_AN_IMEI, Kind.REPAIRED, Kind.DAMAGED]
    assert found[1].text == "353O70080089469"


def test_a_number_that_is_broken_over_two_lines_is_joined() -> None:
    assert kinds(f"{GOOD[:8]}\n{GOOD[8:]}") == [(Kind.REPAIRED, GOOD)]


@pytest.mark.parametrize("good", [GOOD, SECOND, "862345041234564", ZERO_RANGE])
def test_a_barcode_padded_to_sixteen_digits_gives_its_last_fifteen(good: str) -> None:
    (found,) = classify("0" + good)
    assert (found.kind, found.imei) == (Kind.REPAIRED, good)
    assert found.note == imei.PADDED


@pytest.mark.parametrize("counter", "3459")
def test_a_counter_glued_to_an_imei_is_not_read_as_another_phone(counter: str) -> None:
    assert all(not found.imei for found in classify(counter + GOOD))


@pytest.mark.parametrize(
    "cell",
    ["20261128123600", "20261128 123600 ", "20261128123600 1", "2026112812360012", "20261128123600123", "2026-11-28"],
)
def test_a_time_stamp_is_named(cell: str) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei) == (Kind.NOT_AN_IMEI, "")
    assert "date" in found.note


@pytest.mark.parametrize(
    "cell",
    [
        gtin("1019425270706"),
        gtin("5019425270706"),
        gtin("3019425270706"),
        gtin("0880609271123"),
        "01" + gtin("0019425270706"),
    ],
)
def test_a_carton_code_is_not_completed(cell: str) -> None:
    assert [(found.kind, found.imei) for found in classify(cell)] == [(Kind.NOT_AN_IMEI, "")]


@pytest.mark.parametrize("cell", ["77209911112222", "2020991111222277", "60123456789012", 22123456789012])
def test_a_reporting_body_that_does_not_exist_is_named(cell: object) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei) == (Kind.NOT_AN_IMEI, "")
    assert f"begin with {str(cell)[:2]}" in found.note


@pytest.mark.parametrize(
    "cell",
    [f"{GOOD} 20261128123600", f"20261128123600 {GOOD}", f"{GOOD} 10194252707067", f"{GOOD}; 35337008008946"],
)
def test_fourteen_digits_beside_an_imei_are_not_a_second_one(cell: str) -> None:
    found = classify(cell)
    assert sorted((each.kind, each.imei) for each in found) == [(Kind.NOT_AN_IMEI, ""), (Kind.REPAIRED, GOOD)]


def test_thousands_of_another_length_are_judged_as_the_number_they_are() -> None:
    assert kinds("13,370,080,089,453") == [(Kind.REPAIRED, ZERO_RANGE)]
    assert kinds("013.370.080.089.453") == [(Kind.READY, ZERO_RANGE)]
    assert kinds("3,533,700,800,894,510") == [(Kind.DAMAGED, "")]
    assert kinds("49 151 234 567 890") == [(Kind.NOT_AN_IMEI, "")]
    assert kinds("353,370,080.00") == [(Kind.NOT_AN_IMEI, "")]


@pytest.mark.parametrize(
    "cell",
    [
        "3.53370080089451E+014",
        "3,53370080089451E+014",
        "3.53370080089451e0014",
        "3.53370080089451 E+14",
        "353370080089451E0",
    ],
)
def test_an_exponent_may_have_any_width(cell: str) -> None:
    assert kinds(cell) == [(Kind.REPAIRED, GOOD)]


@pytest.mark.parametrize("cell", [f"1. {GOOD}", f"12 {GOOD}", f"{GOOD} 1", f"3 - {GOOD} - 2", f"1) {GOOD}"])
def test_a_counter_or_quantity_beside_an_imei_is_no_part_of_it(cell: str) -> None:
    assert kinds(cell) == [(Kind.REPAIRED, GOOD)]


@pytest.mark.parametrize("cell", ["35-337008-008945", "353370-08-008945", "35337008 008945", "35-337008-008945-77"])
def test_grouped_digits_without_a_check_digit_are_completed(cell: str) -> None:
    assert kinds(cell) == [(Kind.REPAIRED, GOOD)]


@pytest.mark.parametrize(
    "cell",
    ["2026-11-23 22:10:05", "2026-11-23 221005", "23.11.2026 22.10.05", "2026/11/23 22-10-05-12", "1 2026112322100"],
)
def test_a_date_and_time_is_never_completed_to_an_imei(cell: str) -> None:
    assert [found.kind for found in classify(cell)] == [Kind.NOT_AN_IMEI]


@pytest.mark.parametrize(
    "cell",
    [
        "1" * 30_000,
        "1" * 30_000 + ".0",
        "1," * 20_000 + "111",
        "IMEI" + " " * 60_000,
        "=" + " " * 60_000 + "x",
        "1 " * 30_000,
        "353370080089451 " * 2_000,
        "E" * 60_000,
        "IMEI " * 12_000,
        "1e" + "9" * 30_000,
    ],
)
def test_an_endless_cell_takes_no_time(cell: str) -> None:
    begun = time.process_time()
    assert classify(cell)
    cells.maybe(cell)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("cell", ["000000000000000", "111111111111111", 111111111111111, 0, "99999999999999", "0000"])
def test_one_digit_repeated_is_a_test_number(cell: object) -> None:
    assert kinds(cell) == [(Kind.TEST_NUMBER, "")]


@pytest.mark.parametrize(
    ("cell", "note"),
    [
        ("=VLOOKUP(A2,B:C,2,0)", cells.NO_VALUE),
        ("=…", cells.NO_VALUE),
        ("#N/A", cells.EXCEL_ERROR),
        ("#REF!", cells.EXCEL_ERROR),
        (True, cells.TRUTH),
        ("FALSE", cells.TRUTH),
        (date(2026, 11, 23), cells.DATE),
        (datetime(2026, 11, 23, 22, 10), cells.DATE),
        ("n/a", cells.NO_DIGITS),
        ("-", cells.NO_DIGITS),
        ("'", cells.NO_DIGITS),
        ("iPhone 12", cells.NO_DIGITS),
        (float("nan"), cells.NO_DIGITS),
        (float("inf"), cells.NO_DIGITS),
        (-int(GOOD), cells.NO_DIGITS),
        (float(GOOD) + 0.5, cells.NO_DIGITS),
        ("8901260123456789012", imei.ICCID),
        ("12345", "5 digits: an IMEI has 15."),
        (7, "1 digit: an IMEI has 15."),
        (b"353", cells.NO_DIGITS),
    ],
)
def test_what_is_no_imei_says_what_it_is(cell: object, note: str) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei, found.note) == (Kind.NOT_AN_IMEI, "", note)


@pytest.mark.parametrize("cell", [None, "", "   ", "\u00a0", "\u200b\ufeff", "\t\r\n", "\x00"])
def test_a_blank_cell_holds_nothing(cell: object) -> None:
    assert classify(cell) == ()


@given(st.one_of(st.text(), st.text("0123456789 -./,'eE+=A\u200b\n"), st.integers(), st.floats(), st.decimals()))
def test_whatever_a_cell_holds_it_is_named_and_kept(cell: object) -> None:
    """Any cell that is not blank gives values with a kind, its own text, and 15 digits or a reason."""
    found = classify(cell)
    assert found or not str(cell).strip() or not str(cell).isprintable() or not str(cell).isascii()
    for value in found:
        assert bool(value.imei) == (value.kind in imei.ORDERABLE)
        assert (len(value.imei) == 15 and value.imei.isdigit()) if value.imei else value.note
        assert value.kind is Kind.READY or value.note
        assert is_valid(value.imei) == (value.kind in (Kind.READY, Kind.REPAIRED))


@given(st.text("0123456789abcXYZ -./,;'\n", min_size=1))
def test_a_text_not_worth_a_look_holds_nothing_orderable(text: str) -> None:
    if not cells.maybe(text):
        assert all(value.kind not in imei.ORDERABLE for value in classify(text))
