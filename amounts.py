"""Amounts: how US dollars and counts are written, read and compared. Pure; imports nothing of ours."""

import math
import re

#: Thousands with commas between them.
GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
#: Half a hundredth of a cent: sums of float prices are compared with this tolerance, in US dollars.
TOLERANCE = 0.00005
#: US dollars that one order may cost: sums are kept in millionths, as whole numbers of 64 bits.
HIGHEST_PRICE = 1_000_000


def money(value: float | None) -> str:
    """Write US dollars with cents, and with up to four decimals where cents would be wrong: $1,234.50, $0.085."""
    if value is None:
        return "–"
    text = f"{abs(value):,.4f}"
    while text.endswith("0") and text[-3] != ".":
        text = text[:-1]
    return f"-${text}" if value < 0 else f"${text}"


def plain_money(value: float) -> str:
    """Write US dollars as a decimal number for programs, exact to a hundredth of a cent: 1234.50, 0.085."""
    return money(value).replace("$", "").replace(",", "")


def read_dollars(text: str) -> float:
    """Return US dollars as a person types them, such as 25, $0.08 or 1,250.50; NaN, within no limits, for other texts.

    A comma only separates thousands: in some countries $0.08 is written 0,08, which must not be read as 8.
    """
    plain = text.strip().removeprefix("$")
    try:
        return float(plain.replace(",", "") if GROUPED.fullmatch(plain) else plain)
    except ValueError:
        return math.nan


def plural(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun: 1 IMEI, 2,000 IMEIs. many is for a plural that does not just add an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def exceeds(amount: float, limit: float) -> bool:
    """Return whether an amount is more than a limit, by more than sums of floats are off."""
    return amount > limit + TOLERANCE
