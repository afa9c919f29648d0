"""A child process limits itself for good before it looks at a file."""

import json
import subprocess
import sys
from pathlib import Path

from workbooks.limits import MEMORY, OUTPUT

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, resource, sys
from workbooks.limits import MEMORY, limit_process
limit_process(7)
limits = ("AS", "CPU", "FSIZE", "CORE")
held = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in limits}
try:
    resource.setrlimit(resource.RLIMIT_CPU, (8, 8))
except ValueError:
    held["raised"] = "refused"
try:
    bytearray(MEMORY)
except MemoryError:
    held["memory"] = "refused"
print(json.dumps(held))
"""


def test_the_limits_hold_and_cannot_be_raised_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    held = json.loads(done.stdout)
    limits = {"AS": [MEMORY] * 2, "CPU": [7, 7], "FSIZE": [OUTPUT] * 2, "CORE": [0, 0]}
    assert held == limits | {"raised": "refused", "memory": "refused"}
