"""A provider on a loopback socket with a ledger of every charge. Imports nothing of ours.

`python3 -m simulator` runs it by itself; `ensure_running` starts the demo's.
"""

from simulator.demo import DemoError, DemoProvider, ensure_running
