"""IMEIs: fifteen digits, of which the last is the check digit of the standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_tables import BODIES, GOOD, IMEIS

import imei
from imei import is_valid, luhn_check_digit


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


def test_one_digit_alone_is_no_test_number() -> None:
    assert imei.judge_digits("2", "2").note == "1 digit: an IMEI has 15."
    assert imei.judge_digits("22", "22").kind is imei.Kind.TEST_NUMBER
