"""Judge a run of plain digits: an IMEI, one that can be completed, or something else.

An IMEI is 15 decimal digits: 8 of the Type Allocation Code, 6 of the serial number, 1 check digit
(3GPP TS 23.003, section 6.2.1; the check digit is Luhn's, annex B). An IMEISV has the same 14 digits and a
two-digit software version instead of the check digit (section 6.2.2).
Digits are completed only where the result is plausible: the first two must belong to a reporting body.
This module must not import another module of this program, or know the text around the digits.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kind of one value of a cell."""

    READY = "ready"  #: an IMEI, taken exactly as it is written
    REPAIRED = "repaired"  #: an IMEI after a change that the note names
    LUHN_FAILED = "luhn_failed"  #: 15 digits whose check digit is wrong
    DAMAGED = "damaged"  #: digits were lost before the upload
    MEID = "meid"  #: a CDMA identity; not sent
    SERIAL = "serial"  #: a maker's serial number; not sent
    TEST_NUMBER = "test_number"  #: one digit repeated
    HIDDEN = "hidden"  #: in a row that the sheet hides, and only visible rows are taken
    NOT_AN_IMEI = "not_an_imei"  #: anything else


#: Kinds of values with an IMEI that can be ordered.
ORDERABLE = frozenset({Kind.READY, Kind.REPAIRED, Kind.LUHN_FAILED})


@dataclass(frozen=True, slots=True)
class Found:
    """One value of a cell: its kind, the IMEI if it has one, and a note where it needs one."""

    kind: Kind
    imei: str  #: 15 digits, or "" where there is none
    text: str  #: the cell as it came, or the part of it that holds this value
    note: str = ""  #: what was repaired, or why it is not taken
    second: bool = False  #: another IMEI of the phone whose first IMEI is in the same cell
    slot: int = 0  #: 1 or 2 where a label counts the IMEIs of the phone


TOO_LONG = "A number of 16 or more digits, of which Excel keeps only 15: format the column as Text."
ZERO_ADDED = "14 digits: the leading 0 that Excel drops was put back."
COMPLETED = "14 digits: the check digit was added."
COMPLETED_NUMBER = "A 14-digit number, read as an IMEI without its check digit, which was added."
IMEISV = "16 digits (IMEISV): the software version was replaced by the check digit."
PADDED = "16 digits: the leading 0 that a barcode adds was removed."
LAST_15 = "16 digits, of which the last 15 may be the IMEI: write these alone."
PREFIX_REMOVED = "The prefix of the barcode (8002 or 21) was removed."
MEID_DECIMAL = "A MEID (18 decimal digits), not an IMEI."
ICCID = "A SIM card number (ICCID), not an IMEI."
ONE_DIGIT = "A test number: all digits are the same."
TIME_STAMP = "A date and time, not an IMEI."
CARTON = "A carton code (GTIN-14), not an IMEI."
WRONG_DIGIT = tuple(f"The check digit is wrong: after these 14 digits it would be {d}." for d in range(10))
#: Notes of IMEIs whose check digit was computed, because the file does not hold it.
COMPLETIONS = frozenset({COMPLETED, COMPLETED_NUMBER, IMEISV})

#: The first two digits of every IMEI in use (GSMA TS.06). 00 and 02-09 are for tests, 10 is for DECT handsets.
REPORTING_BODIES = frozenset(
    ["01", "30", "33", "35", "44", "45", "49", "50", "51", "52", "53", "54", "86", "91", "98", "99"]
)
#: Those of phones made since about 2005; a carton code rarely begins with one of them.
_BODIES_OF_TODAY = frozenset(("01", "35", "86", "91", "98", "99"))

#: 0, 111111111111111, 222222222222222, ... are the multiples of this.
_ONE_DIGIT_STEP = 111_111_111_111_111
LEAST_15, LEAST_14, LEAST_16 = 10**14, 10**13, 10**15

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
#: Luhn sums of 0-999 whose middle digit is doubled, and of those whose outer digits are.
_MIDDLE = bytes(n // 100 + _DOUBLED[n // 10 % 10] + n % 10 for n in range(1000))
_OUTER = bytes(_DOUBLED[n // 100] + n // 10 % 10 + _DOUBLED[n % 10] for n in range(1000))

#: How IMEIs from 011 to 015 begin without their zero. Cartons of phones begin with 10 and with 16 to 18.
_BODIES_WITHOUT_ZERO = frozenset(("11", "12", "13", "14", "15"))
#: GS1 application identifiers of a phone's IMEI and of a serial number, with the length of the whole.
_PREFIXES = frozenset({(19, "8002"), (17, "21")})
_MOMENT = re.compile(r"20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-4])(?:[0-5][0-9]){2}")


def check_digit_of(body: int) -> int:
    """Return the Luhn check digit after a 14-digit body given as a number below 10**14."""
    return -_luhn_sum(body * 10) % 10


def luhn_check_digit(body: str) -> str:
    """Return the check digit that follows the 14 digits of body (3GPP TS 23.003, annex B). Raises ValueError."""
    if len(body) != 14 or not (body.isascii() and body.isdigit()):
        raise ValueError(f"{body!r} is not 14 digits")
    return str(check_digit_of(int(body)))


def passes_luhn(number: int) -> bool:
    """Return whether the 15 digits of number (below 10**15, leading zeros implied) end in their check digit."""
    return _luhn_sum(number) % 10 == 0


def is_valid(text: str) -> bool:
    """Return whether text is 15 ASCII digits that end in their check digit and are not one digit repeated."""
    return plain_number(text) >= 0


def plain_number(cell: object) -> int:
    """Return the number of a cell that is a good IMEI as it is, text or whole number, or -1: quick for most cells."""
    if type(cell) is int:
        number = cell if LEAST_15 <= cell < LEAST_16 else 0
    elif type(cell) is str and len(cell) == 15 and cell.isascii() and cell.isdigit():
        number = int(cell)
    else:
        return -1
    return -1 if number % _ONE_DIGIT_STEP == 0 or _luhn_sum(number) % 10 else number


def has_reporting_body(digits: str) -> bool:
    """Return whether the first two digits belong to a reporting body."""
    return digits[:2] in REPORTING_BODIES


def is_plausible(digits: str) -> bool:
    """Return whether digits are a valid IMEI of a reporting body that exists."""
    return is_valid(digits) and digits[:2] in REPORTING_BODIES


def is_time_stamp(digits: str) -> bool:
    """Return whether digits begin as `20YYMMDDhhmmss`."""
    return _MOMENT.match(digits) is not None


def is_gtin_14(digits: str) -> bool:
    """Return whether 14 digits end in the check digit of a GTIN (GS1 General Specifications, section 7.9)."""
    return (sum(map(int, digits[1::2])) + 3 * sum(map(int, digits[::2]))) % 10 == 0


def rejected(text: str, note: str, kind: Kind = Kind.NOT_AN_IMEI) -> Found:
    """Return a value without an IMEI."""
    return Found(kind, "", text, note)


def digits_sentence(count: int) -> str:
    """Return why this number of digits is not an IMEI."""
    return f"{count} digit{'s' if count != 1 else ''}: an IMEI has 15."


def judge_number(number: int, text: str) -> Found:
    """Judge a whole number that a spreadsheet kept: leading zeros are gone, digits after the 15th too."""
    if number >= LEAST_16:
        return rejected(text, TOO_LONG, Kind.DAMAGED)
    if number >= LEAST_15:
        return judge_15(number, text)
    if number == 0:
        return rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if number >= LEAST_14:
        return judge_14(str(number), text, COMPLETED_NUMBER)
    return rejected(text, digits_sentence(len(str(number))))


def judge_digits(digits: str, text: str) -> Found:
    """Judge an unbroken run of digits that came as text."""
    length = len(digits)
    if length == 15:
        return judge_15(int(digits), text)
    if length > 1 and len(set(digits)) == 1:
        return rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if length == 14:
        return judge_14(digits, text, COMPLETED)
    if length == 16:
        return _judge_16(digits, text)
    if length == 18 and int(digits[:10]) < 2**32 and int(digits[10:]) < 2**24:
        return rejected(text, MEID_DECIMAL, Kind.MEID)
    if (length, digits[: length - 15]) in _PREFIXES and is_plausible(digits[-15:]):
        return Found(Kind.REPAIRED, digits[-15:], text, PREFIX_REMOVED)
    if length in (19, 20) and digits.startswith("89"):
        return rejected(text, ICCID)
    if length == 17 and is_time_stamp(digits):
        return rejected(text, TIME_STAMP)
    return rejected(text, digits_sentence(length))


def judge_15(number: int, text: str, note: str = "") -> Found:
    """Judge 15 digits, given as a number; the note says what was repaired to get them."""
    imei = f"{number:015d}"
    if number % _ONE_DIGIT_STEP == 0:
        return rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if not passes_luhn(number):
        return Found(Kind.LUHN_FAILED, imei, text, WRONG_DIGIT[check_digit_of(number // 10)])
    return Found(Kind.REPAIRED if note else Kind.READY, imei, text, note)


def judge_14(digits: str, text: str, note: str) -> Found:
    """Judge 14 digits: an IMEI from 01 on that lost its zero where Luhn agrees, else a body without check digit.

    The same rule holds for text, because Excel drops the zero when it saves a text file too, and no reporting
    body has a code from 11 to 19 (GSMA TS.06).
    """
    if len(set(digits)) == 1:
        return rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if is_time_stamp(digits):
        return rejected(text, TIME_STAMP)
    if digits[:2] not in _BODIES_OF_TODAY | _BODIES_WITHOUT_ZERO and is_gtin_14(digits):
        return rejected(text, CARTON)
    if digits[0] == "1" and passes_luhn(int(digits)):
        return Found(Kind.REPAIRED, "0" + digits, text, ZERO_ADDED)
    if not has_reporting_body(digits):
        return rejected(text, _no_body(digits))
    return Found(Kind.REPAIRED, digits + luhn_check_digit(digits), text, note)


def _judge_16(digits: str, text: str) -> Found:
    """Judge 16 digits: an IMEI that a barcode of even length padded with a 0, else an IMEISV."""
    if digits[0] == "0" and is_plausible(digits[1:]):
        return Found(Kind.REPAIRED, digits[1:], text, PADDED)
    if is_time_stamp(digits):
        return rejected(text, TIME_STAMP)
    if digits.startswith("01") and is_gtin_14(digits[2:]):
        return rejected(text, CARTON)
    if not has_reporting_body(digits):
        return rejected(text, _no_body(digits))
    if digits[:2] not in _BODIES_OF_TODAY and is_plausible(digits[1:]):
        return rejected(text, LAST_15)
    return Found(Kind.REPAIRED, digits[:14] + luhn_check_digit(digits[:14]), text, IMEISV)


def _no_body(digits: str) -> str:
    return f"{len(digits)} digits that begin with {digits[:2]}, as no IMEI does: not completed."


def _luhn_sum(number: int) -> int:
    high, low = divmod(number, 1_000_000)
    high, middle = divmod(high, 1000)
    first, second = divmod(high, 1000)
    fourth, fifth = divmod(low, 1000)
    return _MIDDLE[first] + _OUTER[second] + _MIDDLE[middle] + _OUTER[fourth] + _MIDDLE[fifth]
