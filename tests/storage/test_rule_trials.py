"""Rules are tried on the newest results, and nothing is written."""

from graded_orders import STRICT, plant, verdicts
from sqlalchemy import update

from database import IMEIDatabase
from grading import DEFAULT_RULES, Verdict
from schema import orders
from storage import rule_trials


def test_rules_are_tried_on_the_newest_results_without_writing(database: IMEIDatabase) -> None:
    plant(database, 1100, simlock="Locked")
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.id > 1080).values(fmi="ON"))
    found = rule_trials.try_rules(database, STRICT)
    assert (found.tried, found.changed) == (1000, 980)
    assert found.moves == ((Verdict.REVIEW, Verdict.FAIL, 980),)
    assert len(found.sample) == rule_trials.SHOWN
    assert found.sample[0].why == "Fail if it is SIM locked"
    assert verdicts(database) == {None: 1100}
    assert rule_trials.try_rules(database, DEFAULT_RULES).changed == 0
