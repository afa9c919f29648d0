"""Run a module with short waits for the provider, as in `python short_waits.py flask --app web_app submit …`.

From its environment the program takes a SETTLE_QUIET of half a minute at least, and a GSM_FUSION_TIMEOUT of a minute;
tests of whole processes cannot wait that long.
"""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

import settings  # noqa: E402

if __name__ == "__main__":
    settings.SHORTEST_QUIET = settings.SHORTEST_TIMEOUT = 0.0
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
