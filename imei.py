"""What an IMEI is, and how to find IMEIs in the cells and texts that people bring.

An IMEI is 15 decimal digits: 8 of the Type Allocation Code, 6 of the serial number, 1 check digit
(3GPP TS 23.003, section 6.2.1; the check digit is Luhn's, annex B). An IMEISV has the same 14 digits and a
two-digit software version instead of the check digit (section 6.2.2).
This module must not import anything of ours, nor know files.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum


class Kind(StrEnum):
    """What one value of a cell turned out to be."""

    READY = "ready"  #: an IMEI, taken exactly as it stood
    REPAIRED = "repaired"  #: an IMEI after a change that the note names
    LUHN_FAILED = "luhn_failed"  #: 15 digits whose check digit is wrong
    DAMAGED = "damaged"  #: digits were lost before we saw it
    MEID = "meid"  #: a CDMA identity; not sent
    SERIAL = "serial"  #: a maker's serial number; not sent
    TEST_NUMBER = "test_number"  #: one digit repeated
    HIDDEN = "hidden"  #: in a row that the sheet hides, and only visible rows were wanted
    NOT_AN_IMEI = "not_an_imei"  #: anything else


#: What carries an IMEI that could be ordered.
ORDERABLE = frozenset({Kind.READY, Kind.REPAIRED, Kind.LUHN_FAILED})


@dataclass(frozen=True, slots=True)
class Found:
    """One value of a cell: its kind, the IMEI if it has one, and a plain sentence where it needs one."""

    kind: Kind
    imei: str  #: 15 digits, or "" where there is none
    text: str  #: the cell as it came
    note: str = ""  #: what was repaired, or why it is not taken


LOST_DIGITS = "Shortened, so that digits are lost: format the column as Text in Excel and fill it in again."
TOO_LONG = "A number of 16 or more digits, of which Excel keeps only 15: format the column as Text."
ZERO_ADDED = "14 digits: the leading 0 that Excel drops was put back."
COMPLETED = "14 digits: the check digit was added."
COMPLETED_NUMBER = "A 14-digit number, read as an IMEI without its check digit, which was added."
IMEISV = "16 digits (IMEISV): the software version was replaced by the check digit."
VERSION_DROPPED = "The software version after the IMEI was left out."
JOINED = "Spaces or signs between the digits were removed."
EXACT_NOTATION = "Written in scientific notation with all 15 digits."
TAKEN_OUT = "Taken out of a longer text."
ONE_OF_SEVERAL = "One of several IMEIs in the cell."
MEID_HEX = "A MEID (14 hexadecimal digits), not an IMEI."
MEID_DECIMAL = "A MEID (18 decimal digits), not an IMEI."
SERIAL = "Looks like a serial number, not an IMEI."
ICCID = "A SIM card number (ICCID), not an IMEI."
ONE_DIGIT = "A test number: all digits are the same."
NO_VALUE = "A formula without a stored value: open the file in Excel, save it and bring it again."
EXCEL_ERROR = "An Excel error instead of a value."
TRUTH = "TRUE or FALSE instead of an IMEI."
DATE = "A date instead of an IMEI."
NO_DIGITS = "No IMEI: an IMEI has 15 digits."
AMBIGUOUS = "14 digits beside others: write the 15 digits of the IMEI alone."
WRONG_DIGIT = tuple(f"The check digit is wrong: after these 14 digits it would be {d}." for d in range(10))

#: 0, 111111111111111, 222222222222222, ... are the multiples of this.
_ONE_DIGIT_STEP = 111_111_111_111_111
_LEAST_15, _LEAST_14, _LEAST_16 = 10**14, 10**13, 10**15

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
#: Luhn sums of 0-999 whose middle digit is doubled, and of those whose outer digits are.
_MIDDLE = bytes(n // 100 + _DOUBLED[n // 10 % 10] + n % 10 for n in range(1000))
_OUTER = bytes(_DOUBLED[n // 100] + n // 10 % 10 + _DOUBLED[n % 10] for n in range(1000))

_SEPARATORS = " -./"
_QUOTES = "'\"`´‘’“”"
_SIGNS = str.maketrans({"−": "-", "⁄": "/", "∕": "/", "·": ".", "•": "."})
_SCIENTIFIC = re.compile(r"([0-9]+)(?:[.,]([0-9]*))?[eE]\+?([0-9]{1,2})")
_WHOLE_NUMBER = re.compile(r"([0-9]+)[.,]0+")
#: How 14 and 16 digits are grouped in an IMEI; anything else of that length is a date and time, or a phone number.
_GROUPED_BODIES = frozenset({(2, 6, 6), (6, 2, 6), (8, 6)})
_GROUPED_VERSIONS = frozenset({(2, 6, 6, 2), (6, 2, 6, 2), (8, 6, 2), (14, 2), (4, 4, 4, 4)})
_THOUSANDS = re.compile(r"[0-9]{2,3}(?:[,'][0-9]{3}){4,}")
_GROUPED = re.compile(r"[0-9]+(?:[ \-./]+[0-9]+)*")
_LABEL = re.compile(r"\bIMEI(?:SV)?\s*(?:NUMBER|NO|NR|[12](?![0-9]))?[\s.:#=()]*(?=[0-9])", re.IGNORECASE)
_RUN_OF_15 = re.compile(r"(?<![0-9A-Za-z])[0-9]{15}(?![0-9A-Za-z])")
_GROUPED_15 = re.compile(r"(?<![0-9A-Za-z])[0-9]{2}[ -][0-9]{6}[ -][0-9]{6}[ -][0-9](?![0-9A-Za-z])")
_QUOTED_FORMULA = re.compile(r'=\s*"?\s*([0-9][0-9 ./-]*?)\s*"?')
_HEX_MEID = re.compile(r"(?=.*[A-Fa-f])[0-9A-Fa-f]{14,15}")
_SERIAL = re.compile(r"(?=.*[A-Z])(?=.*[0-9])[A-Z0-9]{10,12}")
_PIECES = re.compile(r"[,;|\t]")
_MAYBE = re.compile(r"[0-9](?:[ \-./,']{0,3}[0-9]){13}|[0-9][eE]\+?1[0-9]|[0-9A-Fa-f]{14}")


def check_digit_of(body: int) -> int:
    """The Luhn check digit after a 14-digit body given as a number below 10**14."""
    return -_luhn_sum(body * 10) % 10


def luhn_check_digit(body: str) -> str:
    """The check digit that follows the 14 digits of body (3GPP TS 23.003, annex B). Raises ValueError."""
    if len(body) != 14 or not (body.isascii() and body.isdigit()):
        raise ValueError(f"{body!r} is not 14 digits")
    return str(check_digit_of(int(body)))


def passes_luhn(number: int) -> bool:
    """Whether the 15 digits of number (below 10**15, leading zeros implied) end in their check digit."""
    return _luhn_sum(number) % 10 == 0


def is_valid(text: str) -> bool:
    """Whether text is 15 ASCII digits that end in their check digit and are not one digit repeated."""
    if len(text) != 15 or not (text.isascii() and text.isdigit()):
        return False
    number = int(text)
    return number % _ONE_DIGIT_STEP != 0 and passes_luhn(number)


def plain_number(cell: object) -> int:
    """The number of a cell that is a good IMEI as it stands, or -1: the short way for nearly every cell."""
    if type(cell) is not str or len(cell) != 15 or not (cell.isascii() and cell.isdigit()):
        return -1
    number = int(cell)
    if number % _ONE_DIGIT_STEP == 0 or _luhn_sum(number) % 10:
        return -1
    return number


def maybe(text: str) -> bool:
    """Whether text is worth a closer look for an IMEI or a MEID; False is certain, True is not."""
    return not text.isascii() or _MAYBE.search(text) is not None


def classify(cell: object) -> tuple[Found, ...]:
    """What one cell holds: nothing for a blank one, else at least one value; two IMEIs give two.

    Numbers (int, float, Decimal) are judged as spreadsheets keep them: at most 15 significant digits, and no
    leading zeros.
    """
    if cell is None:
        return ()
    if isinstance(cell, str):
        return _classify_text(cell)
    if isinstance(cell, bool):
        return (_rejected(str(cell).upper(), TRUTH),)
    if isinstance(cell, (date, time, timedelta)):
        return (_rejected(str(cell), DATE),)
    if isinstance(cell, (int, float, Decimal)):
        return (_classify_number(cell),)
    return (_rejected(str(cell), NO_DIGITS),)


def scan(text: str) -> Iterator[Found]:
    """The values of pasted text, in order; between two is a line end, a blank, a tab or one of `, ; |`."""
    for line in text.splitlines():
        whole = line.strip()
        pieces = [whole] if _SCIENTIFIC.fullmatch(whole) else _PIECES.split(line)
        for piece in pieces:
            yield from classify(piece)


def _luhn_sum(number: int) -> int:
    high, low = divmod(number, 1_000_000)
    high, middle = divmod(high, 1000)
    first, second = divmod(high, 1000)
    fourth, fifth = divmod(low, 1000)
    return _MIDDLE[first] + _OUTER[second] + _MIDDLE[middle] + _OUTER[fourth] + _MIDDLE[fifth]


def _rejected(text: str, note: str, kind: Kind = Kind.NOT_AN_IMEI) -> Found:
    return Found(kind, "", text, note)


def _classify_number(cell: int | float | Decimal) -> Found:
    text = str(cell)
    try:
        number = int(cell)
    except (ValueError, OverflowError, InvalidOperation):
        return _rejected(text, NO_DIGITS)
    if number < 0 or number != cell:
        return _rejected(text, NO_DIGITS)
    return _judge_number(number, text if isinstance(cell, int) else str(number))


def _judge_number(number: int, text: str) -> Found:
    """A whole number that a spreadsheet kept: leading zeros are gone, digits after the 15th too."""
    if number >= _LEAST_16:
        return _rejected(text, TOO_LONG, Kind.DAMAGED)
    if number >= _LEAST_15:
        return _judge_15(number, text)
    if number == 0:
        return _rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if number >= _LEAST_14:
        return _judge_14(str(number), text, COMPLETED_NUMBER)
    return _rejected(text, _digits_sentence(len(str(number))))


def _judge_15(number: int, text: str, note: str = "") -> Found:
    imei = f"{number:015d}"
    if number % _ONE_DIGIT_STEP == 0:
        return _rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if not passes_luhn(number):
        return Found(Kind.LUHN_FAILED, imei, text, WRONG_DIGIT[check_digit_of(number // 10)])
    return Found(Kind.REPAIRED if note else Kind.READY, imei, text, note)


def _judge_14(digits: str, text: str, note: str) -> Found:
    """14 digits: an IMEI from 01 on that lost its zero where Luhn agrees, else a body without check digit.

    The same rule holds for text, because Excel drops the zero when it saves a text file too, and no reporting
    body has a code from 11 to 19 (GSMA TS.06).
    """
    if len(set(digits)) == 1:
        return _rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    if digits[0] == "1" and passes_luhn(int(digits)):
        return Found(Kind.REPAIRED, "0" + digits, text, ZERO_ADDED)
    return Found(Kind.REPAIRED, digits + luhn_check_digit(digits), text, note)


def _judge_16(digits: str, text: str) -> Found:
    if len(set(digits)) == 1:
        return _rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    return Found(Kind.REPAIRED, digits[:14] + luhn_check_digit(digits[:14]), text, IMEISV)


def _classify_text(text: str) -> tuple[Found, ...]:
    bare = _fold(text)
    if bare.isdigit() and bare.isascii():
        return (_judge_digits(bare, text),)
    if not bare:
        return () if _is_blank(text) else (_rejected(text, NO_DIGITS),)
    if bare[0] == "=":
        formula = _QUOTED_FORMULA.fullmatch(bare)
        if formula is None:
            return (_rejected(text, NO_VALUE),)
        bare = formula[1]
    number = _SCIENTIFIC.fullmatch(bare)
    if number is not None:
        return (_judge_scientific(number, text),)
    whole = _whole_number(bare)
    if whole:
        number_of_15 = len(whole) <= 15
        return (_judge_number(int(whole), text) if number_of_15 else _rejected(text, TOO_LONG, Kind.DAMAGED),)
    bare = _LABEL.sub("", bare)
    if _GROUPED.fullmatch(bare):
        return _judge_groups(re.findall("[0-9]+", bare), text)
    return _judge_words(bare, text)


def _whole_number(bare: str) -> str:
    """The digits of a number written with an empty fraction or with signs between the thousands, else ""."""
    whole = _WHOLE_NUMBER.fullmatch(bare)
    if whole is not None and len(whole[1]) >= 13:
        return whole[1]
    return re.sub("[^0-9]", "", bare) if _THOUSANDS.fullmatch(bare) else ""


def _judge_scientific(number: re.Match[str], text: str) -> Found:
    """Scientific notation keeps an IMEI only with 15 significant digits, all of them before the point."""
    whole, fraction, exponent = number[1], number[2] or "", int(number[3])
    value = Decimal(f"{whole}.{fraction or 0}e{exponent}")
    if value >= _LEAST_16:
        return _rejected(text, TOO_LONG, Kind.DAMAGED)
    if value < 10**12:
        return _rejected(text, NO_DIGITS)
    significant = (whole + fraction).lstrip("0")
    if len(significant) != 15 or value < _LEAST_15:
        return _rejected(text, LOST_DIGITS, Kind.DAMAGED)
    return _judge_15(int(value), text, EXACT_NOTATION)


def _judge_groups(groups: list[str], text: str) -> tuple[Found, ...]:
    """A cell of nothing but digits and signs between them."""
    lengths = tuple(map(len, groups))
    if len(groups) == 1:
        return (_judge_digits(groups[0], text),)
    if set(lengths) <= {14, 15, 16}:
        return tuple(_noted(_judge_digits(group, text), ONE_OF_SEVERAL) for group in groups)
    if 15 in lengths:
        note = VERSION_DROPPED if lengths == (15, 2) else TAKEN_OUT
        return tuple(_noted(_judge_digits(group, text), note) for group in groups if len(group) == 15)
    digits = "".join(groups)
    if len(digits) == 17 and lengths[-1] == 2:
        return (_judge_15(int(digits[:15]), text, VERSION_DROPPED),)
    if 14 in lengths and lengths != (14, 1) and lengths not in _GROUPED_VERSIONS:
        return (_rejected(text, AMBIGUOUS),)
    if len(digits) == 15:
        return (_judge_15(int(digits), text, JOINED),)
    if lengths in _GROUPED_BODIES or lengths in _GROUPED_VERSIONS:
        return (_judge_digits(digits, text),)
    imeis = _cut_at_15(groups)
    if len(imeis) > 1:
        return tuple(_judge_15(int(imei), text, ONE_OF_SEVERAL) for imei in imeis)
    return (_rejected(text, _digits_sentence(len(digits))),)


def _cut_at_15(groups: list[str]) -> list[str]:
    """The groups joined to runs of exactly 15 digits, or nothing if a group straddles a boundary."""
    runs, run = [], ""
    for group in groups:
        run += group
        if len(run) > 15:
            return []
        if len(run) == 15:
            runs.append(run)
            run = ""
    return [] if run else runs


def _noted(found: Found, note: str) -> Found:
    return Found(Kind.REPAIRED, found.imei, found.text, note) if found.kind is Kind.READY else found


def _judge_digits(digits: str, text: str) -> Found:
    """An unbroken run of digits that came as text."""
    length = len(digits)
    if length == 15:
        return _judge_15(int(digits), text)
    if length == 14:
        return _judge_14(digits, text, COMPLETED)
    if length == 16:
        return _judge_16(digits, text)
    if length == 18 and int(digits[:10]) < 2**32 and int(digits[10:]) < 2**24:
        return _rejected(text, MEID_DECIMAL, Kind.MEID)
    if length in (19, 20) and digits.startswith("89"):
        return _rejected(text, ICCID)
    if len(set(digits)) == 1:
        return _rejected(text, ONE_DIGIT, Kind.TEST_NUMBER)
    return _rejected(text, _digits_sentence(length))


def _judge_words(bare: str, text: str) -> tuple[Found, ...]:
    """A cell with letters or other signs in it: only whole runs of 15 digits count."""
    runs = _RUN_OF_15.findall(bare) + [re.sub("[ -]", "", run) for run in _GROUPED_15.findall(bare)]
    if runs:
        note = TAKEN_OUT if len(runs) == 1 else ONE_OF_SEVERAL
        return tuple(_judge_15(int(run), text, note) for run in runs)
    joined = "".join(sign for sign in bare if sign not in _SEPARATORS)
    if _HEX_MEID.fullmatch(joined):
        return (_rejected(text, MEID_HEX, Kind.MEID),)
    if _SERIAL.fullmatch(bare):
        return (_rejected(text, SERIAL, Kind.SERIAL),)
    if bare.upper() in ("TRUE", "FALSE"):
        return (_rejected(text, TRUTH),)
    return (_rejected(text, EXCEL_ERROR if bare.startswith("#") else NO_DIGITS),)


def _digits_sentence(count: int) -> str:
    return f"{count} digit{'s' if count != 1 else ''}: an IMEI has 15."


def _fold(text: str) -> str:
    """The text without invisible signs and outer quotes, with every digit and dash in its ASCII form."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
        text = "".join(map(_fold_sign, text))
    if not text.isprintable():
        text = "".join(sign for sign in text if sign.isprintable() or sign in "\t\n\r\v\f")
    if "  " in text or not text.isprintable():
        text = " ".join(text.split())
    return text.strip().strip(_QUOTES).strip()


def _fold_sign(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Pd":
        return "-"
    if category == "Cf":
        return ""
    return " " if category[0] == "Z" else sign


def _is_blank(text: str) -> bool:
    return not "".join(sign for sign in map(_fold_sign, text) if sign.isprintable()).strip()
