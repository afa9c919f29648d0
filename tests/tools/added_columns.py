"""Columns that are added to workbooks, and how a test adds them and looks at what came back."""

import io
import tempfile
from datetime import datetime
from typing import Any

import openpyxl

from workbooks import AddedColumn, AddedRow, Addition, add_columns

COLUMNS = (
    AddedColumn("Verdict", 10, "tone"),
    AddedColumn("Checked on", 17, "moment"),
    AddedColumn("Order id", 14, "digits"),
    AddedColumn("Note", 60),
)
MOMENT = datetime(2026, 11, 3, 4, 5, 6)
VALUES = ("Pass", MOMENT, "0015", "=1+1")


def add(data: bytes, sheet: str, header_row: int, *rows: int, note: str = "") -> tuple[bytes, tuple[str, ...]]:
    """Add a result to these rows; return the workbook, and the sentences about what it lacks."""
    given = [AddedRow(row, VALUES, "pass") for row in rows]
    tones = {"pass": ("E1F3E9", "14683F")}
    addition = Addition(sheet, header_row, COLUMNS, given, tones, [note] if note else [])
    with tempfile.TemporaryFile() as out:
        sentences = add_columns(data, addition, out, lambda rows: None)
        out.seek(0)
        return out.read(), sentences


def opened(data: bytes, **more: Any) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(data), **more)
