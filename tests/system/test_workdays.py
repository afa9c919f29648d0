"""Days of work with limits, two accounts, automations and users who are thrown out, in any order, drawn with a seed.

Nobody is charged twice unseen, no limit is exceeded by the ledger's days, every IMEI has one outcome, and totals are
sums (tests/tools/workdays.py). WALKS=200 walks more.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from people_at_once import seeds
from workdays import Workdays, workdays

from database import IMEIDatabase
from settings import Settings

STEPS = 150


def actions_of(people: Workdays) -> list[Callable[[], None]]:
    often = [people.upload, people.confirm, people.confirm, people.work, people.work, people.work, people.results_come]
    often += [people.upload, people.move, people.midnight_comes, people.automate, people.request, people.request]
    seldom = [people.retry, people.open_form, people.send_form, people.scan, people.scan_again, people.look]
    seldom += [people.work_a_little, people.disturb, people.bring_file, people.decide, people.take_back]
    seldom += [people.time_passes, people.turn_on, people.turn_on, people.try_out, people.order_trial]
    seldom += [people.throw_out, people.revoke, people.rename, people.rename_service, people.set_stop_loss]
    seldom += [people.read_files, people.switch]
    return [*often, *often, *often, *seldom]


@pytest.mark.parametrize("seed", seeds(2, 3))
def test_no_day_brings_a_second_charge_unseen_or_more_than_a_limit_allows(
    settings: Settings, database: IMEIDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    with workdays(settings, database, tmp_path, monkeypatch, seed) as people:
        actions = actions_of(people)
        for _ in range(STEPS):
            people.draw.choice(actions)()
            people.check()
        people.check_pages()
