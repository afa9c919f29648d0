"""Every fault at a share of the calls, judged by the ledger; `python tests/fault_matrix.py` prints the README's table.

After the faults nothing more is ordered: what is in doubt must settle by itself, where the provider lists its orders.
"""

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provider_fixture import SERVICE, Knobs, Simulator, imeis, judge, system

from batch_queries import doubtful_items
from database import IMEIDatabase
from gsm_fusion_client import GSMFusionClient, OutcomeUnknownError
from orders import PlacementAnswer

TOTAL = 1500


@dataclass(frozen=True)
class Row:
    """One provider: what it does wrong, and whether it lists its orders."""

    name: str
    knobs: dict[str, Any] = field(default_factory=dict)
    listing: str = "on"


@dataclass(frozen=True)
class Found:
    """What the ledger and our records show afterwards."""

    imeis: int
    faulty_calls: int
    twice: int
    lost: int
    in_doubt: int
    summed: int
    settled: int


def both(fault: str, share: float = 0.2, **knobs: Any) -> list[Row]:
    """A fault before and after charging."""
    shared = {"fault": fault, "fault_share": share, **knobs}
    return [
        Row(f"{fault} {when} charging, {share:.0%} of calls", {**shared, "fault_when": when})
        for when in ("before", "after")
    ]


ROWS = [
    *both("503"),
    *both("html200"),
    *both("reset"),
    *both("close", 0.3),
    *both("truncated"),
    *both("cut_body"),
    *both("hang", 0.15, hang_seconds=1.5),
    *both("trickle", 0.15),
    *both("fewer"),
    *both("foreign"),
    *both("repeated_ids"),
    Row("429, 20% of calls", {"fault": "429", "fault_share": 0.2}),
    Row("maintenance, 10% of calls", {"fault": "maintenance", "fault_share": 0.1, "fault_when": "before"}),
    Row("reads the last IMEI of a list only", {"comma_list": "last"}),
    Row("charges a list, reports the last only", {"comma_list": "charge_all_report_last"}),
    Row("reads the first 30 of a list", {"comma_list": "first", "first_n": 30}),
    Row(
        "lists its orders 1 s late, reset 20%",
        {"fault": "reset", "fault_share": 0.2, "listing": "lagging", "listing_lag": 1.0},
    ),
    Row("lists its newest 300 orders, reset 20%", {"fault": "reset", "fault_share": 0.2, "listing_limit": 300}),
    Row("never refuses duplicates, reset 20%", {"fault": "reset", "fault_share": 0.2, "duplicates": "never"}),
    Row("does not list, reset after charging 20%", {"fault": "reset", "fault_share": 0.2}, listing="off"),
]


def run(row: Row, client_class: type[GSMFusionClient] = GSMFusionClient) -> Found:
    """Put 1,500 IMEIs through this provider and look at the ledger."""
    with tempfile.TemporaryDirectory() as folder, Simulator(Knobs(latency=0.02), seed=3) as simulator:
        simulator.set(**{"listing": row.listing, **row.knobs})
        few = "comma_list" in row.knobs
        total = 150 if few else TOTAL
        with (
            IMEIDatabase(Path(folder) / "imei_orders.db") as database,
            system(
                simulator, database, timeout=1.0, proven=not few, patience=5.0, chunk_size=50, client_class=client_class
            ) as running,
        ):
            batch_id = running.submit_batch(imeis(total), SERVICE).batch_id
            faulty = sum(1 for call in simulator.calls() if call.fault)
            simulator.set(fault="")
            result = running.run_batch(batch_id)
            twice, unknown = judge(simulator, database)
            doubtful = {item["imei"] for item in doubtful_items(database, limit=100_000)}
            known = {order["order_id"] for order in database.iterate_orders()}
            lost = {c.imei for c in simulator.charges() if str(c.order_id) not in known} - doubtful
    summed = result.successful + result.duplicates + result.failed + result.in_doubt
    return Found(result.total, faulty, twice, len(lost), result.in_doubt, summed, unknown)


class ResendingClient(GSMFusionClient):
    """The negative control: what everybody writes first. It sends a paid call again when no answer came."""

    def place_imei_order(self, *args: Any, **kwargs: Any) -> PlacementAnswer:
        for _ in range(2):
            try:
                return super().place_imei_order(*args, **kwargs)
            except OutcomeUnknownError:
                continue
        return super().place_imei_order(*args, **kwargs)


RESET = {"fault": "reset", "fault_share": 0.2, "fault_when": "after"}
CONTROL = Row("negative control: re-sends on error", {**RESET, "duplicates": "never"})


def main() -> None:
    """Print the table."""
    print("| what the provider does | IMEIs | faulty calls | charged twice | lost | left in doubt |")
    print("|---|--:|--:|--:|--:|--:|")
    for row in [*ROWS, CONTROL]:
        found = run(row, ResendingClient if row is CONTROL else GSMFusionClient)
        cells = [found.imeis, found.faulty_calls, found.twice, found.lost, found.in_doubt]
        print(f"| {row.name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
