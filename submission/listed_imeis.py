"""IMEIs as the provider's lists write them: whole, shortened, or with hidden digits; and which IMEI each may mean.

A list that does not write an IMEI in full still lists its order: it must not count as absent. This module has no I/O.
"""

import re
from collections.abc import Iterable

from orders import IMEIOrder

#: Digits of an IMEI in a list: without its check digit or first zero, whole, or with a software version.
READABLE = range(14, 17)
#: Characters that hide a digit of a listed IMEI, and the least number of digits that must be left to compare.
HIDDEN, LEAST_SHOWN = frozenset("xX*#•"), 6
#: The least digits of a text that is neither a whole nor a masked IMEI, such as `3533...0001`, to compare it.
LEAST_OF_PART = 4
#: Digits of an IMEI.
WHOLE = 15
SEPARATORS = re.compile(r"[\s.-]")
NO_DIGITS = re.compile(r"[^0-9]+")


def bodies(imei: str) -> set[str]:
    """Return the first 14 digits of each IMEI that this listed text may mean."""
    if not (imei.isascii() and imei.isdecimal()) or len(imei) not in READABLE:
        return set()
    found = {imei[:14]}
    if len(imei) == 14:
        found.add(f"0{imei[:13]}")
    if len(imei) == 16 and imei.startswith("0"):
        found.add(imei[1:15])
    return found


def is_same(listed: str, imei: str) -> bool:
    """Return whether a listed IMEI is this very one; a list may lose the first zero."""
    return listed.zfill(WHOLE) == imei.zfill(WHOLE)


def may_name(listed: str, imei: str) -> bool:
    """Return whether a listed IMEI may be this one: whole, without first zero or check digit, or masked."""
    listed = SEPARATORS.sub("", listed)
    if listed.isdecimal():
        return is_same(listed, imei) or (len(listed) in (14, 16) and listed[:14] == imei[:14])
    places = shown_places(listed)
    return bool(places) and len(listed) == len(imei) and all(listed[place] == imei[place] for place in places)


def shown_places(listed: str) -> tuple[int, ...]:
    """Return the places of the characters that a masked IMEI of full length shows; empty for any other text."""
    places = tuple(place for place, sign in enumerate(listed) if sign not in HIDDEN)
    return places if len(listed) == WHOLE and LEAST_SHOWN <= len(places) < WHOLE else ()


def may_be_part(listed: str, imei: str) -> bool:
    """Return whether a text that cannot be read as an IMEI shows the first and last digits of this one, or all of it.

    It may have lost leading zeros or its end, leave out the middle, or hold a second number.
    """
    digits = "" if bodies(listed) else NO_DIGITS.sub("", listed)
    if len(digits) >= WHOLE:
        return imei[:14] in digits
    splits = range(len(digits) + 1) if len(digits) >= LEAST_OF_PART else ()
    return any(imei.startswith(digits[:at]) and imei.endswith(digits[at:]) for at in splits)


class MaskedOrders:
    """Listed orders whose IMEI is masked, found by the IMEIs that they may be of."""

    def __init__(self, listed: Iterable[IMEIOrder]) -> None:
        self._by_places: dict[tuple[int, ...], dict[str, list[IMEIOrder]]] = {}
        for order in listed:
            text = SEPARATORS.sub("", order.imei)
            if places := shown_places(text):
                by_digits = self._by_places.setdefault(places, {})
                by_digits.setdefault(_at(text, places), []).append(order)

    def of(self, imei: str) -> list[IMEIOrder]:
        """Return the orders that may be of this IMEI (15 digits)."""
        return [
            order
            for places, by_digits in (self._by_places.items() if len(imei) == WHOLE else ())
            for order in by_digits.get(_at(imei, places), ())
        ]


def _at(text: str, places: tuple[int, ...]) -> str:
    return "".join(text[place] for place in places)
