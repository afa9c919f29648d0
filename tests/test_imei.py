"""What a cell may hold, row by row: the table of what people bring, and what is made of it."""

import time
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imei
from imei import Kind, classify, is_valid, luhn_check_digit, scan

GOOD = "353370080089451"
SECOND = "353370080089469"
ZERO_RANGE = "013370080089453"  #: begins with 01, so that Excel makes a number of 14 digits of it

BODIES = st.integers(0, 10**14 - 1).map(lambda number: f"{number:014d}")
IMEIS = BODIES.map(lambda body: body + luhn_check_digit(body)).filter(lambda text: len(set(text)) > 1)


def kinds(cell: object) -> list[tuple[Kind, str]]:
    return [(found.kind, found.imei) for found in classify(cell)]


def slow_check_digit(body: str) -> str:
    """Annex B of 3GPP TS 23.003, word for word: double every second digit from the right, add the digits."""
    doubled = [int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(body))]
    return str(-sum(number // 10 + number % 10 for number in doubled) % 10)


def test_the_check_digit_of_published_examples() -> None:
    assert luhn_check_digit("49015420323751") == "8"
    assert luhn_check_digit("35320910040000") == slow_check_digit("35320910040000")


@given(BODIES)
def test_the_check_digit_is_that_of_the_standard(body: str) -> None:
    assert luhn_check_digit(body) == slow_check_digit(body)


@given(IMEIS, st.integers(0, 14), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(good: str, place: int, shift: int) -> None:
    wrong = good[:place] + str((int(good[place]) + shift) % 10) + good[place + 1 :]
    assert is_valid(good)
    assert not is_valid(wrong)
    assert imei.plain_number(good) == int(good)
    assert imei.plain_number(wrong) == -1


@pytest.mark.parametrize(
    "text", ["", "3533700800894", "٣٥٣٣٧٠٠٨٠٠٨٩٤٥١", "35337008008945¹", "000000000000000", GOOD + " "]
)
def test_only_fifteen_plain_digits_are_valid(text: str) -> None:
    assert not is_valid(text)


@pytest.mark.parametrize("body", ["3533700800894", "353370080089451", "3533700800894a", "²²²²²²²²²²²²²²"])
def test_a_check_digit_needs_fourteen_digits(body: str) -> None:
    with pytest.raises(ValueError, match="14 digits"):
        luhn_check_digit(body)


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
    for number in (luhn_agrees_but_not_01, int(ZERO_RANGE) + 1):
        body = str(number)
        (found,) = classify(number)
        assert (found.kind, found.imei) == (Kind.REPAIRED, body + luhn_check_digit(body))
        assert found.note == imei.COMPLETED_NUMBER


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


@pytest.mark.parametrize("cell", [f'="{GOOD}"', f"={GOOD}", f"IMEI:{GOOD}", f"imei no. {GOOD}", f"IMEI1: {GOOD}"])
def test_labels_and_text_formulas_are_taken_off(cell: object) -> None:
    assert kinds(cell) == [(Kind.READY, GOOD)]


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
def test_two_imeis_in_a_cell_are_both_taken(cell: object) -> None:
    assert [found.imei for found in classify(cell)] == [GOOD, SECOND]


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
    imei.maybe(cell)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("cell", ["000000000000000", "111111111111111", 111111111111111, 0, "99999999999999", "0000"])
def test_one_digit_repeated_is_a_test_number(cell: object) -> None:
    assert kinds(cell) == [(Kind.TEST_NUMBER, "")]


@pytest.mark.parametrize(
    ("cell", "note"),
    [
        ("=VLOOKUP(A2,B:C,2,0)", imei.NO_VALUE),
        ("=…", imei.NO_VALUE),
        ("#N/A", imei.EXCEL_ERROR),
        ("#REF!", imei.EXCEL_ERROR),
        (True, imei.TRUTH),
        ("FALSE", imei.TRUTH),
        (date(2026, 11, 23), imei.DATE),
        (datetime(2026, 11, 23, 22, 10), imei.DATE),
        ("n/a", imei.NO_DIGITS),
        ("-", imei.NO_DIGITS),
        ("'", imei.NO_DIGITS),
        ("iPhone 12", imei.NO_DIGITS),
        (float("nan"), imei.NO_DIGITS),
        (float("inf"), imei.NO_DIGITS),
        (-int(GOOD), imei.NO_DIGITS),
        (float(GOOD) + 0.5, imei.NO_DIGITS),
        ("8901260123456789012", imei.ICCID),
        ("12345", "5 digits: an IMEI has 15."),
        (7, "1 digit: an IMEI has 15."),
        (b"353", imei.NO_DIGITS),
    ],
)
def test_what_is_no_imei_says_what_it_is(cell: object, note: str) -> None:
    (found,) = classify(cell)
    assert (found.kind, found.imei, found.note) == (Kind.NOT_AN_IMEI, "", note)


@pytest.mark.parametrize("cell", [None, "", "   ", "\u00a0", "\u200b\ufeff", "\t\r\n", "\x00"])
def test_a_blank_cell_holds_nothing(cell: object) -> None:
    assert classify(cell) == ()


def test_pasted_text_gives_each_value_in_order() -> None:
    text = f"{GOOD}, {SECOND};{GOOD[:14]}\n\nhello\n3,53370080089451E+14\n{GOOD} {SECOND}"
    assert [(found.kind, found.imei) for found in scan(text)] == [
        (Kind.READY, GOOD),
        (Kind.READY, SECOND),
        (Kind.REPAIRED, GOOD),
        (Kind.NOT_AN_IMEI, ""),
        (Kind.REPAIRED, GOOD),
        (Kind.REPAIRED, GOOD),
        (Kind.REPAIRED, SECOND),
    ]


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


@given(IMEIS, st.sampled_from([" ", "-", ".", "/", "\u00a0", "–", "\u200b"]), st.sets(st.integers(1, 14), max_size=4))
def test_separators_anywhere_between_the_digits_change_nothing(good: str, sign: str, places: set[int]) -> None:
    text = "".join(sign + digit if place in places else digit for place, digit in enumerate(good))
    if sign in "./" and len(places) == 1 and 14 in places and good[14] == "0":
        return  # 14 digits and ".0" is a number that a spreadsheet wrote
    if places == {1}:
        return  # a counter before 14 digits
    first = [value.imei for value in classify(text)]
    assert first == [good]


@given(st.text("0123456789abcXYZ -./,;'\n", min_size=1))
def test_a_text_not_worth_a_look_holds_nothing_orderable(text: str) -> None:
    if not imei.maybe(text):
        assert all(value.kind not in imei.ORDERABLE for value in classify(text))
