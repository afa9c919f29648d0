"""Run a module with short limits for connections: `python short_timeouts.py 2 gunicorn web_app:app`, in seconds."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

import web_worker  # noqa: E402

if __name__ == "__main__":
    web_worker.PATIENCE = float(sys.argv[1])
    del sys.argv[1]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
