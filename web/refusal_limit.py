"""How many refused requests the audit log holds: a few a minute of each address, and their number instead of the rest.

Without a limit, anyone could fill the disk and keep the database busy with requests that are refused. Each process
counts for itself. This module must not know Flask or the database.
"""

from collections import Counter

#: Entries of one address in one minute, of all addresses in one minute, and of all addresses in one UTC day.
OF_ADDRESS, OF_MINUTE, OF_DAY = 10, 30, 5000
MINUTE, DAY = 60, 86_400
OTHERS = "other addresses"


class RefusalLimit:
    """Counts refused requests. Not thread-safe: the caller holds a lock."""

    def __init__(self) -> None:
        self._minute, self._day, self._of_day = 0, 0, 0
        self._seen: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def admits(self, address: str, now: float) -> bool:
        """Return whether this refusal gets an entry of its own; count it otherwise. Call ended() first."""
        self._begin(now)
        if sum(self._seen.values()) >= OF_MINUTE or self._of_day >= OF_DAY:
            self._left_out[address if address in self._seen else OTHERS] += 1
            return False
        if self._seen[address] >= OF_ADDRESS:
            self._left_out[address] += 1
            return False
        self._seen[address] += 1
        self._of_day += 1
        return True

    def ended(self, now: float) -> dict[str, int]:
        """Return address → number of refusals without an entry in a minute that is over, and forget them."""
        if not self._left_out or int(now // MINUTE) == self._minute:
            return {}
        left_out = dict(self._left_out)
        self._left_out.clear()
        return left_out

    def _begin(self, now: float) -> None:
        minute, day = int(now // MINUTE), int(now // DAY)
        if minute != self._minute:
            self._minute, self._seen = minute, Counter()
        if day != self._day:
            self._day, self._of_day = day, 0
