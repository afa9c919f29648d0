"""People, programs and files that order the same IMEIs in any order, on the real pages, while the real loop sends.

All is drawn with a seed; after each action ledger, tables and pages must say the same (tests/tools/people_at_once.py).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from people_at_once import POOL, People, seeds
from provider_model import ModelClient
from stepped_loop import started
from web_client import Provider, make_app

from database import IMEIDatabase
from settings import Settings

STEPS = 150


def actions_of(people: People) -> list[Callable[[], None]]:
    often = [people.upload, people.confirm, people.confirm, people.work, people.work, people.results_come]
    often += [people.move, people.scan_again, people.send_form, people.undo_file]
    seldom = [people.retry, people.open_form, people.scan, people.look, people.request, people.work_a_little]
    seldom += [people.disturb]
    seldom += [people.bring_file, people.decide, people.take_back, people.time_passes]
    return [*often, *often, *seldom]


#: With each, a preview that does not name what is paid again is caught.
USUAL = (1, 14)


@pytest.mark.parametrize("seed", seeds(*USUAL))
def test_whoever_orders_in_whatever_order_pages_tables_and_ledger_agree(
    settings: Settings, database: IMEIDatabase, provider: Provider, tmp_path: Path, seed: int
) -> None:
    with started(database, tmp_path / "kept") as loop:
        provider.services = ModelClient(loop.model, lambda _: None).get_imei_services()
        app = make_app(settings, database, provider)
        people = People(app, database, loop, seed)
        actions = actions_of(people)
        for _ in range(STEPS):
            people.draw.choice(actions)()
            people.check()
        people.check_pages()
        assert len(loop.model.charges) > (len(POOL) // 2 if seed in USUAL else 0)
        app.extensions["stopping"].set()
