"""The provider's ledger: automations pay for no phone twice and never beyond their limit, whoever dies when."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from automation_processes import AutomationJob, start
from automation_scene import make_scene
from simulated_provider import Knobs, Simulator, imeis, put_in_use, settings_at
from stored_people import add_user

from database import IMEIDatabase, utc_now
from orders import AutomationKind
from settings import Settings
from storage.batch_creation import NewBatch, create_batch
from storage.list_limits import write_list_limit

FIRST, SECOND, PRICE = "1739", "269", 0.08
STOCK, NEW = imeis(20, 9000), imeis(80)
FIT = 45
LIMIT = FIT * PRICE


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A provider that takes every order again and charges it."""
    with Simulator(Knobs(history=1, latency=0.05, jitter=0.05, duplicates="never")) as running:
        yield running


def order(database: IMEIDatabase, numbers: list[str]) -> None:
    listed = [(imei, None) for imei in numbers]
    create_batch(database, NewBatch("first stage", "command", FIRST, "Carrier", 0.08, listed), 5)


def wait_for(true: Callable[[], bool], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_at_any_moment_and_beside_a_second_leader_each_phone_is_paid_for_once_within_the_limit(
    simulator: Simulator, settings: Settings, data_dir: Path, file_database: IMEIDatabase
) -> None:
    """Two processes that may lead, and one that only runs automations as if it led; each is killed again and again."""
    database = file_database
    put_in_use(simulator, database)
    for service_id in (FIRST, SECOND):
        with database.write() as connection:
            write_list_limit(connection, service_id, 100)
    scene = make_scene(settings_at(simulator, settings, data_dir=data_dir), database)
    anna = add_user(database, "anna")
    rule = scene.add(actor=anna, filter=f"service={FIRST}", service_id=SECOND, max_price=1.0, daily_limit=LIMIT)
    jobs = [AutomationJob(data_dir, simulator.base_url, leads) for leads in (True, True, False)]
    moments, living, waiting = random.Random(5), [start(job) for job in jobs], list(NEW)
    order(database, STOCK)

    def paid(service_id: str) -> Counter[str]:
        return Counter(charge.imei for charge in simulator.charges() if charge.service_id == service_id)

    wait_for(lambda: len(scene.sent(rule)) == len(STOCK))
    watch = scene.add(AutomationKind.RECHECK, anna, filter=f"service={FIRST}&until={utc_now():%Y-%m-%d}",
                      service_id=FIRST, max_price=1.0, daily_limit=len(STOCK) * 0.08)  # fmt: skip
    scene.turn_on(watch, anna, due_at=utc_now() - timedelta(hours=1))
    while waiting:
        order(database, waiting[:10])
        del waiting[:10]
        time.sleep(moments.uniform(0.05, 0.4))
        place = moments.randrange(len(jobs))
        living[place].kill()
        living[place].join(10)
        living[place] = start(jobs[place])
        assert paid(SECOND).total() * PRICE <= LIMIT + 0.001
    wait_for(lambda: len(paid(FIRST)) == len(STOCK) + len(NEW) and len(scene.sent(rule)) == FIT)
    assert paid(SECOND).total() <= FIT
    scene.run("UPDATE automations SET daily_limit = 1000, revision = revision + 1 WHERE id = ?", rule)
    try:
        wait_for(lambda: len(paid(SECOND)) == len(STOCK) + len(NEW))
    finally:
        for process in living:
            process.kill()
            process.join(10)
    assert set(paid(SECOND).values()) == {1}
    assert sorted(scene.sent(rule)) == sorted([*STOCK, *NEW])
    checked_again = {imei for imei, times in paid(FIRST).items() if times == 2}
    assert set(paid(FIRST).values()) <= {1, 2}
    assert (len(checked_again), sorted(checked_again)) == (20, sorted(scene.sent(watch)))
    assert len([run for run in scene.log(watch) if run.batch_id]) == 1
