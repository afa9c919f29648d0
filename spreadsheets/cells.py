"""Find IMEIs in cells and texts, however people write them.

    fold -> lines -> labels -> groups of digits or words -> each run of 14 to 17 digits is exactly one value

What a run of plain digits is, `imei` decides. This module must not know files.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import pairwise

from imei import (
    COMPLETED,
    COMPLETIONS,
    LEAST_15,
    LEAST_16,
    TIME_STAMP,
    TOO_LONG,
    Found,
    Kind,
    digits_sentence,
    is_plausible,
    is_time_stamp,
    judge_15,
    judge_digits,
    judge_number,
    rejected,
)
from spreadsheets.labels import Piece, split_at_labels
from spreadsheets.signs import fold, is_blank

LOST_DIGITS = "Shortened, so that digits are lost: format the column as Text in Excel and fill it in again."
VERSION_DROPPED = "The software version after the IMEI was left out."
JOINED = "Spaces or signs between the digits were removed."
EXACT_NOTATION = "Written in scientific notation with all 15 digits."
TAKEN_OUT = "Taken out of a longer text."
ONE_OF_SEVERAL = "One of several IMEIs in the cell."
MEID_HEX = "A MEID (14 hexadecimal digits), not an IMEI."
SERIAL = "Looks like a serial number, not an IMEI."
NO_VALUE = "A formula without a stored value: open the file in Excel, save it and upload it again."
EXCEL_ERROR = "An Excel error instead of a value."
TRUTH = "TRUE or FALSE instead of an IMEI."
DATE = "A date instead of an IMEI."
NO_DIGITS = "No IMEI: an IMEI has 15 digits."
AMBIGUOUS = "14 digits beside others: write the 15 digits of the IMEI alone."
BESIDE = "14 digits beside a full IMEI: not read as a second one."
INSIDE_WORDS = "Digits inside a longer text: write the 15 digits of the IMEI alone."

_SEPARATORS = " -./"
_SCIENTIFIC = re.compile(r"([0-9]+)(?:[.,]([0-9]*))? ?[eE]\+?0{0,4}([0-9]{1,2})")
_NUMBER_SIGNS = re.compile("[,.'_ ]")
_WHOLE_NUMBER = re.compile(r"([0-9]{13,})[.,]0+")
#: Groups of three after one to three digits, or of two before the last three (India), with an empty fraction or none.
_THOUSANDS = re.compile(r"([0-9]{1,3}(?:([,.'_ ])[0-9]{3})(?:\2[0-9]{3}){3,5})(?:(?!\2)[.,]0+)?")
_LAKHS = re.compile(r"([0-9]{1,2}(?:([,.'_ ])[0-9]{2})(?:\2[0-9]{2}){4}\2[0-9]{3})(?:(?!\2)[.,]0+)?")
#: How 14 and 16 digits are grouped in an IMEI; anything else of that length is a date and time, or a phone number.
_GROUPED_BODIES = frozenset({(2, 6, 6), (6, 2, 6), (8, 6)})
_GROUPED_VERSIONS = frozenset({(2, 6, 6, 2), (6, 2, 6, 2), (8, 6, 2), (14, 2), (4, 4, 4, 4)})
_DIGITS = re.compile("[0-9]+")
_GROUPED = re.compile(r"[0-9]+(?:[ \-./]+[0-9]+)*")
_LIST_SIGNS = (re.compile(r" ?[;|&+] ?| / |, "), re.compile(","))
_RUN = re.compile(r"(?<![0-9])[0-9]{14,17}(?![0-9])")
_IN_WORDS = re.compile(r"(?<![0-9])(?:[0-9]{14,17}|[0-9]{2}([ -])[0-9]{6}\1[0-9]{6}\1[0-9])(?![0-9])")
_QUOTED_FORMULA = re.compile(r'=\s*"?\s*([0-9][0-9 ./-]*?)\s*"?')
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?")
_LEAST_DIGITS = 14  #: a shorter text holds an IMEI in scientific notation only
_HEX_MEID = re.compile(r"(?=.*[A-Fa-f])[0-9A-Fa-f]{14,15}")
_HEX_WORD = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]{0,13}[A-Fa-f])[0-9A-Fa-f]{14}(?![0-9A-Za-z])")
_SERIAL = re.compile(r"(?=.*[A-Z])(?=.*[0-9])[A-Z0-9]{10,12}")
_MAYBE = re.compile(r"[0-9](?:[^0-9:A-Za-z]*[0-9]){13}|[0-9] ?[eE]\+?0{0,4}1[0-9]|[0-9A-Fa-f]{14}")
#: Signs of a text up to which what it holds is kept for a while, and how many texts are: those of a thousand rows.
_KEPT_LENGTH, _KEPT_TEXTS = 200, 1024
#: Labels of numbers that are never an IMEI; other labels only say so beside a label of an IMEI.
_NEVER_AN_IMEI = re.compile(r"IMSI|ICCID|EID|MSISDN|GTIN|EAN|UPC|\(")


def maybe(text: str) -> bool:
    """Whether text may hold an IMEI or a MEID; False is certain, True is not."""
    if not text.isascii():
        return True
    if len(text) < _LEAST_DIGITS:
        return ("E" in text or "e" in text) and _MAYBE.search(text) is not None
    return not text.isprintable() or _MAYBE.search(text) is not None


def runs(text: str) -> int:
    """Return how many runs of 14 to 17 digits a text holds, after folding."""
    return sum(1 for _ in _RUN.finditer(fold(text)))


def many_digits(text: str) -> bool:
    """Whether text holds ten digits or more, so that it is a value and not a title."""
    return sum(map(str.isdecimal, text)) >= 10


def classify(cell: object) -> tuple[Found, ...]:
    """Return what one cell holds: nothing for a blank one, else at least one value; two IMEIs give two.

    Numbers (int, float, Decimal) are judged as spreadsheets keep them: at most 15 significant digits, and no
    leading zeros.
    """
    if cell is None:
        return ()
    if isinstance(cell, str):
        return _classify_short(cell) if len(cell) <= _KEPT_LENGTH else _classify_text(cell)
    if isinstance(cell, bool):
        return (rejected(str(cell).upper(), TRUTH),)
    if isinstance(cell, (date, time, timedelta)):
        return (rejected(str(cell), DATE),)
    if isinstance(cell, (int, float, Decimal)):
        return (_classify_number(cell),)
    return (rejected(str(cell), NO_DIGITS),)


def _classify_number(cell: int | float | Decimal) -> Found:
    text = str(cell)
    try:
        number = int(cell)
    except (ValueError, OverflowError, InvalidOperation):
        return rejected(text, NO_DIGITS)
    if number < 0 or number != cell:
        return rejected(text, NO_DIGITS)
    return judge_number(number, text if isinstance(cell, int) else str(number))


@lru_cache(_KEPT_TEXTS)
def _classify_short(text: str) -> tuple[Found, ...]:
    """Judge a text once for all that look at it: the search for the separator, the survey, and the reader of values."""
    return _classify_text(text)


def _classify_text(text: str) -> tuple[Found, ...]:
    bare = fold(text)
    if bare.isdigit() and bare.isascii():
        return (judge_digits(bare, text),)
    if not bare:
        return () if is_blank(text) else (rejected(text, NO_DIGITS),)
    if "\n" in bare:
        return _judge_lines(bare.split("\n"), text)
    return tuple(_with_seconds(_judge_line(bare, text)))


# --- lines, and two IMEIs of one phone --------------------------------------------------------------------------


def _judge_lines(lines: Sequence[str], text: str) -> tuple[Found, ...]:
    """Judge a cell of several lines: a list with a value on each line, or one value that is broken over lines."""
    if not any(map(maybe, lines)):
        return tuple(_with_seconds(_judge_line(" ".join(lines), text)))
    values = [_kept(_judge_line(line, line), line) for line in lines]
    if any(value.slot == 2 for line in values for value in line):
        found = _with_seconds([value for line in values for value in line])
    else:
        found = [value for line in values for value in _with_seconds(line)]
    return tuple(_one_of_several(value) for value in found) or (rejected(text, NO_DIGITS),)


def _kept(values: Sequence[Found], text: str) -> list[Found]:
    """Return the values of a part of a cell, without plain words."""
    words = not many_digits(text)
    return [value for value in values if value.kind is not Kind.NOT_AN_IMEI or not words]


def _with_seconds(values: Sequence[Found]) -> list[Found]:
    """Return the values with the second IMEI of a phone marked: by its label, or where a line holds just two.

    Where only one of the two has a right check digit, that one is the first.
    """
    found = list(values)
    carriers = [place for place, value in enumerate(found) if value.imei]
    pairs = [(a, b) for a, b in pairwise(carriers) if found[a].slot != 2 == found[b].slot]
    if not pairs and len(carriers) == 2:
        pairs = [(carriers[0], carriers[1])]
    for first, second in pairs:
        if found[first].imei != found[second].imei:
            wrong_way = found[first].kind is Kind.LUHN_FAILED and found[second].kind is not Kind.LUHN_FAILED
            place = first if wrong_way else second
            found[place] = replace(found[place], second=True)
    return found


# --- one line ---------------------------------------------------------------------------------------------------


def _judge_line(bare: str, text: str) -> list[Found]:
    """Judge a text without line ends; return at least one value."""
    plain = _judge_plain(bare, text)
    if plain:
        return plain
    pieces = split_at_labels(bare)
    if len(pieces) > 1 or pieces[0].body != bare:
        values = _judge_pieces(pieces, text)
        if values:
            return values
    return _judge_parts(bare, text)


def _judge_pieces(pieces: Sequence[Piece], text: str) -> list[Found]:
    """Judge the text after each label; a number with a label of another kind is not an IMEI."""
    beside_imei = any(piece.is_imei for piece in pieces)
    values: list[Found] = []
    for piece in pieces:
        part = text if len(pieces) == 1 else piece.body
        if piece.other and (beside_imei or _NEVER_AN_IMEI.match(piece.other)):
            found = [rejected(part, f"Labelled {piece.other}, not an IMEI.")] * len(_RUN.findall(piece.body))
        else:
            found = _judge_plain(piece.body, part) or _judge_parts(piece.body, part)
        values += [replace(value, slot=piece.slot) if piece.slot else value for value in _kept(found, piece.body)]
    return [replace(value, text=text) for value in values] if len(values) == 1 else values


def _judge_parts(bare: str, text: str) -> list[Found]:
    """Judge a list with signs such as commas between its values, else words that contain digits."""
    for signs in _LIST_SIGNS:
        parts = signs.split(bare)
        if len(parts) > 1 and all(map(_MAYBE.search, parts)):
            judged = [_judge_plain(part, part) for part in parts]
            if all(judged):
                return _without_bodies([_one_of_several(value) for found in judged for value in found])
    return _judge_words(bare, text)


def _without_bodies(values: list[Found]) -> list[Found]:
    """Return the values of a list; 14 digits are not an IMEI where other values have their check digit."""
    if not any(value.imei and value.note not in COMPLETIONS for value in values):
        return values
    return [rejected(value.text, BESIDE) if value.note == COMPLETED else value for value in values]


def _judge_plain(bare: str, text: str) -> list[Found]:
    """Judge a number in any notation, or digits with only signs between them; return [] for anything else."""
    if bare[0] == "=":
        formula = _QUOTED_FORMULA.fullmatch(bare)
        if formula is None:
            return [rejected(text, NO_VALUE)]
        bare = formula[1]
    number = _SCIENTIFIC.fullmatch(bare)
    if number is not None:
        return [_judge_scientific(number, text)]
    whole = _whole_number(bare)
    if whole:
        return [_judge_whole(whole, text)]
    if _DATE.fullmatch(bare):
        return [rejected(text, DATE)]
    return _judge_groups(_DIGITS.findall(bare), text) if _GROUPED.fullmatch(bare) else []


def _whole_number(bare: str) -> str:
    """Return the digits of a number with an empty fraction or with signs between the thousands, else ""."""
    if not _NUMBER_SIGNS.search(bare):
        return ""
    whole = _WHOLE_NUMBER.fullmatch(bare)
    if whole is not None:
        return whole[1]
    grouped = _THOUSANDS.fullmatch(bare) or _LAKHS.fullmatch(bare)
    if grouped is None:
        return ""
    digits = re.sub("[^0-9]", "", grouped[1])
    return "" if len(digits) == 14 and grouped[2] == " " else digits  # 14 digits with blanks may be a phone number


def _judge_whole(digits: str, text: str) -> Found:
    if len(digits) > 15:
        return rejected(text, TOO_LONG, Kind.DAMAGED)
    return judge_15(int(digits), text) if len(digits) == 15 else judge_number(int(digits), text)


def _judge_scientific(number: re.Match[str], text: str) -> Found:
    """Judge scientific notation: it keeps an IMEI only with 15 significant digits, all of them before the point."""
    whole, fraction, exponent = number[1], number[2] or "", int(number[3])
    value = Decimal(f"{whole}.{fraction or 0}e{exponent}")
    if value >= LEAST_16:
        return rejected(text, TOO_LONG, Kind.DAMAGED)
    if value < 10**12:
        return rejected(text, NO_DIGITS)
    significant = (whole + fraction).lstrip("0")
    if len(significant) != 15 or value < LEAST_15:
        return rejected(text, LOST_DIGITS, Kind.DAMAGED)
    return judge_15(int(value), text, EXACT_NOTATION)


def _judge_groups(groups: list[str], text: str) -> list[Found]:
    """Judge a cell that consists of digits and signs between them."""
    lengths = tuple(map(len, groups))
    if len(groups) == 1:
        return [judge_digits(groups[0], text)]
    long = [group for group in groups if 14 <= len(group) <= 17]
    if 15 in lengths:
        note = VERSION_DROPPED if lengths == (15, 2) else TAKEN_OUT if lengths.count(15) == 1 else ONE_OF_SEVERAL
        return [_judge_run(group, text, note, beside=True) for group in long]
    if len(long) == len(groups):
        return [_one_of_several(judge_digits(group, text)) for group in groups]
    if long and lengths != (14, 1) and lengths not in _GROUPED_VERSIONS:
        return [_judge_run(group, text, TAKEN_OUT, beside=False) for group in long]
    return _judge_joined("".join(groups), groups, text)


def _judge_joined(digits: str, groups: list[str], text: str) -> list[Found]:
    """Judge the digits of all groups together."""
    lengths = tuple(map(len, groups))
    if is_time_stamp(digits):
        return [rejected(text, TIME_STAMP)]
    if len(digits) == 17 and lengths[-1] == 2:
        return [judge_15(int(digits[:15]), text, VERSION_DROPPED)]
    if len(digits) == 15:
        return [judge_15(int(digits), text, JOINED)]
    if lengths in _GROUPED_BODIES or lengths in _GROUPED_VERSIONS:
        return [judge_digits(digits, text)]
    imeis = _cut_at_15(groups)
    if len(imeis) > 1:
        return [judge_15(int(imei), text, ONE_OF_SEVERAL) for imei in imeis]
    return [rejected(text, digits_sentence(len(digits)))]


def _cut_at_15(groups: list[str]) -> list[str]:
    """Return the groups joined to runs of exactly 15 digits, or nothing if a group straddles a boundary."""
    joined, run = [], ""
    for group in groups:
        run += group
        if len(run) > 15:
            return []
        if len(run) == 15:
            joined.append(run)
            run = ""
    return [] if run else joined


def _judge_run(run: str, text: str, note: str, beside: bool) -> Found:
    """Judge one run of 14 to 17 digits among others; beside: one of the others has 15 digits."""
    if len(run) == 15:
        return judge_15(int(run), text, note)
    if len(set(run)) == 1 or is_time_stamp(run) or len(run) == 17 or (run[0] == "0" and is_plausible(run[1:])):
        return judge_digits(run, text)
    if len(run) == 14:
        return rejected(text, BESIDE if beside else AMBIGUOUS)
    return rejected(text, INSIDE_WORDS)


def _one_of_several(found: Found) -> Found:
    """Return a readable IMEI as repaired, with the note that its cell holds several values."""
    return replace(found, kind=Kind.REPAIRED, note=ONE_OF_SEVERAL) if found.kind is Kind.READY else found


def _judge_words(bare: str, text: str) -> list[Found]:
    """Judge a text with letters or other signs in it: runs of 15 digits are taken, runs of 14 or 16 are rejected."""
    matches = list(_IN_WORDS.finditer(bare))
    if matches:
        full = [match for match in matches if len(match[0]) == 15 or match[1]]
        note = TAKEN_OUT if len(full) == 1 else ONE_OF_SEVERAL
        return [_judge_match(match, text, note, bool(full)) for match in matches]
    joined = "".join(sign for sign in bare if sign not in _SEPARATORS)
    if _HEX_MEID.fullmatch(joined) or _HEX_WORD.search(bare):
        return [rejected(text, MEID_HEX, Kind.MEID)]
    if _SERIAL.fullmatch(bare):
        return [rejected(text, SERIAL, Kind.SERIAL)]
    if bare.upper() in ("TRUE", "FALSE"):
        return [rejected(text, TRUTH)]
    return [rejected(text, EXCEL_ERROR if bare.startswith("#") else NO_DIGITS)]


def _judge_match(match: re.Match[str], text: str, note: str, beside: bool) -> Found:
    """Judge a run in words; digits that touch a letter must be a valid IMEI of a reporting body."""
    run = re.sub("[^0-9]", "", match[0])
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if len(run) == 15 and (before.isalpha() or after.isalpha()) and not is_plausible(run):
        return rejected(text, INSIDE_WORDS)
    return _judge_run(run, text, note, beside)
