"""Files and pasted texts of kinds that people in this trade really meet, each with the IMEIs to order by default.

`tests/cases/uploads.json` names the file in `tests/cases/uploads/` or holds the pasted text, and what is right.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from spreadsheets.reading import read_file, read_text

CASES = Path(__file__).parents[1] / "cases"
UPLOADS = json.loads((CASES / "uploads.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", UPLOADS, ids=[case["id"] for case in UPLOADS])
def test_an_upload_gives_the_imeis_to_order(case: dict[str, Any]) -> None:
    expected = case["expected"]
    intake = read_file(CASES / "uploads" / case["file"]) if "file" in case else read_text(case["raw"])
    assert sorted(intake.ready.imeis()) == sorted(expected["ready"])
    if "rejected_rows" in expected:
        assert [rejected.row for rejected in intake.rejected] == expected["rejected_rows"]
    if "rows_read" in expected:
        assert intake.rows_read == expected["rows_read"]
