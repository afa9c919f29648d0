"""Small files of each kind, and what is read of them."""

import random
from pathlib import Path

from hypothesis import strategies as st
from sample_files import (
    imeis,
    workbook,
)

from imei import Kind, luhn_check_digit
from spreadsheets.cells import classify
from spreadsheets.intake import Intake

STOCK = Path(__file__).parents[1] / "data" / "stock.xls"
FORMULA_XLS = Path(__file__).parents[1] / "cases" / "uploads" / "F41-xls-formula.xls"
FIVE = imeis(5)
SMALL_WORKBOOK = workbook({"Stock": [["IMEI"], *([number] for number in FIVE)]})
TABLE = [["Stock list"], ["Model", "IMEI"], *(["iPhone", number] for number in FIVE)]
GOOD = "353370080089451"
SECOND = "353370080089469"
BODIES = st.integers(0, 10**14 - 1).map(lambda number: f"{number:014d}")
IMEIS = BODIES.map(lambda body: body + luhn_check_digit(body)).filter(lambda text: len(set(text)) > 1)


def kinds(cell: object) -> list[tuple[Kind, str]]:
    return [(found.kind, found.imei) for found in classify(cell)]


def taken(intake: Intake) -> list[str]:
    return [ready.imei for ready in intake.ready]


def lines(*rows: str, end: str = "\n") -> bytes:
    return end.join(rows).encode()


def table(*rows: list[str], delimiter: str = ",") -> bytes:
    return "\r\n".join(delimiter.join(row) for row in rows).encode()


def row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


def bent(data: bytes, seed: int) -> bytes:
    """The file with twenty bytes changed."""
    chance, content = random.Random(seed), bytearray(data)
    for _ in range(20):
        content[chance.randrange(len(content) // 8, len(content))] = chance.randrange(256)
    return bytes(content)
