"""A cluster whose processes and server are killed and stopped twenty times: the ledger shows no mistake.

The negative controls of its judge are in test_cluster.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from postgresql_cluster import programs
from twenty_blows import prove

SEED = 1


def test_twenty_blows_charge_nothing_twice_and_lose_nothing(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    """3 web replicas, 3 workers, 20,000 IMEIs, 15 % faults; the rate limit holds in every window."""
    if programs() is None:
        require("the programs of PostgreSQL are not installed")
    finding = prove(tmp_path, SEED)
    assert finding.passed, finding
    assert finding.faulty >= 20
