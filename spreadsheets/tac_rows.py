"""Lists of TACs: which phone each has, row by row. This module must not know which TACs are stored.

The titles are found in several spellings: TAC; brand, manufacturer or make; model, marketing name or device.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spreadsheets.order_rows import plain
from spreadsheets.tables import rows_below_titles

#: Column → its titles in letters and digits only, the best first.
TITLES = {
    "tac": ("tac", "taccode", "tacnumber", "typeallocationcode", "imeitac", "tac8"),
    "brand": (
        *(
            "brand",
            "brandname",
            "manufacturer",
            "manufacturername",
            "manufacturerorapplicant",
            "make",
            "maker",
            "vendor",
        ),
        *("oem", "company", "name1", "devicebrand"),
    ),
    "model": (
        *("marketingname", "marketname", "model", "modelname", "devicename", "device", "phone", "phonemodel", "name2"),
        *("devicemodel", "modelnumber", "description", "name"),
    ),
}
#: Characters of a brand or a model that are kept.
LONGEST = 100
#: Excel drops the zero of a TAC that begins with one: those of the reporting body 01.
SHORT = re.compile(r"1\d{6}")
NO_TABLE = "The file is not a list of TACs: no row has the titles TAC and Model, or TAC and Brand."


class TacLine(NamedTuple):
    """One row of a list of TACs."""

    number: int  #: from 1, as the sheet counts
    tac: str  #: 8 digits; "" where the row is not understood
    brand: str
    model: str
    failure: str = ""  #: why it is not understood


def read_tacs(data: bytes | Path) -> Iterator[TacLine]:
    """Yield each row with content below the titles. Raises UnreadableFileError for a file that is no list of TACs."""
    return (_line(number, cells) for number, cells in rows_below_titles(data, _columns, NO_TABLE))


def _columns(cells: Sequence[object]) -> dict[str, int]:
    """Return where each column is, or {} for a row that is not the titles."""
    words = [re.sub(r"[\W_]+", "", str(cell or "")).lower() for cell in cells]
    found = {
        name: next(words.index(title) for title in titles if title in words)
        for name, titles in TITLES.items()
        if not set(titles).isdisjoint(words)
    }
    if "name" in words and "name2" in words:  # the list of Osmocom: name is the maker, name2 the model
        found |= {"brand": words.index("name"), "model": words.index("name2")}
    return found if "tac" in found and len(found) > 1 else {}


def _line(number: int, cells: dict[str, Any]) -> TacLine:
    text = plain(cells.get("tac"))
    tac = f"0{text}" if SHORT.fullmatch(text) else text
    brand, model = (" ".join(plain(cells.get(name)).split())[:LONGEST] for name in ("brand", "model"))
    if not (len(tac) == 8 and tac.isascii() and tac.isdigit()):
        return TacLine(number, "", "", "", "A TAC has 8 digits." if text else "It has no TAC.")
    if not (brand or model):
        return TacLine(number, "", "", "", "It names neither brand nor model.")
    return TacLine(number, tac, brand, model)
