"""What changed on phones since their last check: by meaning, so that another wording of the same is no change."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from database import IMEIDatabase
from devices import SimState, blacklist_state, fmi_state, sim_state
from storage import automation_change_store
from storage.automation_change_store import COMPARED, Compared, Difference, Pair

#: What people call a column.
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "carrier": "Carrier",
        "simlock": "SIM lock",
        "fmi": "Find My",
        "blacklist": "Blacklist",
        "verdict": "Verdict",
        "model": "Model",
    }
)
#: Columns whose words have a meaning; of the others a blank is no change, because not every result has them.
MEANINGS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"simlock": sim_state, "fmi": fmi_state, "blacklist": blacklist_state}
)
NOTHING = "–"


def compare_open_runs(database: IMEIDatabase, stop: threading.Event) -> None:
    """Compare the results of each re-check that has new ones."""
    with database.read() as connection:
        runs = automation_change_store.uncompared_runs(connection)
    for run in runs:
        if stop.is_set() or run.batch_id is None:
            return
        with database.read() as connection:
            revision, pairs = automation_change_store.pairs_of(connection, run.batch_id)
        found = compared(pairs)
        with database.write() as connection:
            automation_change_store.write_comparison(connection, run.run_id, run.batch_id, revision, found)


def compared(pairs: Iterable[Pair]) -> Compared:
    """Return which of these phones changed, and how many changed in which way."""
    phones, changed, counts = 0, {}, Counter[str]()
    for pair in pairs:
        phones += 1
        found = differences(pair)
        if found:
            changed[pair.order_row, pair.imei] = found
            counts.update(f"{name} {old} → {new}" for name, old, new in found)
    return Compared(phones, changed, dict(counts.most_common()))


def differences(pair: Pair) -> list[Difference]:
    """Return each finding of a phone that means something else than before."""
    return [
        (LABELS[column], _shown(column, before), _shown(column, after))
        for column, before, after in zip(COMPARED, pair.before, pair.after, strict=True)
        if _differs(column, before, after)
    ]


def _differs(column: str, before: str, after: str) -> bool:
    if column in MEANINGS:
        return MEANINGS[column](before) != MEANINGS[column](after)
    return bool(before and after) and before.casefold() != after.casefold()


def _shown(column: str, words: str) -> str:
    """Return a finding as pages show it."""
    found = MEANINGS[column](words) if column in MEANINGS else words
    return NOTHING if found == SimState.UNKNOWN else str(found)
