"""What benchmarks share: made-up IMEIs, the memory of a process, and a measurement in a process of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

from imei import luhn_check_digit

ROOT = Path(__file__).resolve().parent.parent


def with_check_digit(body: str) -> str:
    """Return an IMEI from its first 14 digits."""
    return body + luhn_check_digit(body)


def kilobytes(process: int | str = "self", of: str = "VmHWM") -> int:
    """Return the memory of a process by the kernel's account: the most that it has held, or with VmRSS what it holds.

    The peak of getrusage would begin with that of the parent.
    """
    found = re.search(rf"{of}:\s*(\d+)", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


def measured_apart(module: str, *arguments: object) -> dict[str, float]:
    """Run a benchmark's module as a program, so that the peak is its own; return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found
