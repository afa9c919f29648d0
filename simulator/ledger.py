"""The ledger of the simulated provider: every charge, in memory and as JSON lines on disk.

The tests judge by it what was paid. This module must not know XML, services or knobs.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Charge(NamedTuple):
    """One line of the ledger: one IMEI was placed and paid. A tuple, as a hundred are made in a call."""

    order_id: int
    imei: str
    service_id: str
    credits: float  #: US dollars
    call: int  #: the number of the placeorder call, from 1 since the provider started; 0 if it was placed elsewhere
    time: float  #: seconds since 1970


class Ledger:
    """The append-only list of charges, in memory and, if a path is given, as JSON lines on disk.

    The file has one writer: a second raises BlockingIOError.
    """

    def __init__(self, path: Path | None) -> None:
        self.charges: list[Charge] = []
        self.places: dict[int, int] = {}  #: order id -> position
        self.latest: dict[tuple[str, str], int] = {}  #: (IMEI, service id) -> position of the last charge
        self._file = -1 if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if path is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(path)

    def _load(self, path: Path) -> None:
        """Read the existing charges; remove a last line that a kill cut short."""
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        os.ftruncate(self._file, end)
        self._remember([Charge(*json.loads(line)) for line in whole[:end].splitlines()])

    def append(self, charges: Sequence[Charge]) -> None:
        """Write the charges of one call with one write, then remember them. Raises OSError, keeping none."""
        if charges and self._file >= 0:
            lines = "".join(
                f'[{order_id},"{imei}","{service_id}",{credits},{call},{time!r}]\n'
                for order_id, imei, service_id, credits, call, time in charges
            ).encode()
            before = os.fstat(self._file).st_size
            if os.write(self._file, lines) != len(lines):
                os.ftruncate(self._file, before)
                raise OSError("the ledger's disk is full")
        self._remember(charges)

    def _remember(self, charges: Sequence[Charge]) -> None:
        for place, charge in enumerate(charges, len(self.charges)):
            self.places[charge.order_id] = place
            self.latest[charge.imei, charge.service_id] = place
        self.charges.extend(charges)

    def next_id(self, first: int) -> int:
        """Return the id of the next order; ids grow from first."""
        return max(self.charges[-1].order_id + 1, first) if self.charges else first

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
