"""Result texts in many layouts, with what a careful reader takes from them."""

import json
from pathlib import Path
from typing import Any

from devices.device_report import (
    DeviceReport,
)

DATA = Path(__file__).parents[1] / "data"
#: Texts with what a careful reader takes from them, settled before the parser ran; made-up identifiers.
EXAMPLES: list[dict[str, Any]] = [
    example
    for name in ("result_texts.json", "more_result_texts.json")
    for example in json.loads((DATA / name).read_text(encoding="utf-8"))
]
MAIN_FIELDS = ("imei", "imei2", "serial", "model", "carrier", "simlock", "fmi", "blacklist", "warranty")


def said(report: DeviceReport, name: str) -> str | None:
    """A main field or the kind of a report, or what it keeps under another name."""
    value = getattr(report, name) if name in (*MAIN_FIELDS, "kind") else report.other.get(name)
    return None if value is None else str(value)
