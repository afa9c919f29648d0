"""A copy in the place of a database, and orders restored from the list."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from audited_orders import rebuilt
from batch_checks import (
    new_batch,
)
from planted_kills import CHUNK
from simulated_provider import Knobs, Simulator, system
from web_client import SERVICES, Browser, Provider, make_app

from database import IMEIDatabase
from gsm_fusion_client import GSMFusionClient, RefusalKind, RefusedError
from orders import IMEIOrder
from production_submission_system import ProductionSubmissionSystem
from settings import Settings
from submission import older_copy as batch_older_copy


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.25, duplicates="never")) as running:
        yield running


TOTAL, FEW = 12 * CHUNK, 3 * CHUNK


def put_in_place(copy: Path | None, path: Path) -> None:
    """What a person does who restores a backup: away with the old files, and the copy in their place."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    if copy is not None:
        shutil.copy(copy, path)


def restore_orders(running: ProductionSubmissionSystem, database: IMEIDatabase) -> bool:
    """What `rebuild-from-provider --yes` does. Returns whether orders are taken again."""
    assert isinstance(running.client, GSMFusionClient)
    report = rebuilt(database, running.client)
    if report.complete:
        batch_older_copy.accept_older_copy(database, batch_older_copy.newest_stop(database))
    return report.complete


def browser_on(database: IMEIDatabase, settings: Settings) -> Browser:
    return Browser(make_app(settings, database, Provider(list(SERVICES))))


MANY, CUT = 10 * CHUNK, 2 * CHUNK


class KnowsNothing(GSMFusionClient):
    """A provider that refuses every order id."""

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        raise RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID")


def order_all_and_put_back(simulator: Simulator, settings: Settings, planned: bool) -> None:
    """A copy from before the first call stands in the database's place: with the batch planned, or from before it."""
    simulator.set(latency=0.0)
    with IMEIDatabase(settings.database_path) as database:
        copy = None if planned else database.backup(settings.data_dir / "backups")
        batch_id = new_batch(database, MANY, CHUNK)
        copy = copy or database.backup(settings.data_dir / "backups")
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert running.run_batch(batch_id).successful == MANY
    put_in_place(copy, settings.database_path)
    simulator.set(listing_limit=CUT)
