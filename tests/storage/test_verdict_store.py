"""Each result is graded in the transaction that stores it, by the rules in force."""

import pytest
from graded_orders import STRICT, listed, ordered_batch, result_text, verdicts
from sqlalchemy import select, update

from database import IMEIDatabase
from grading import DEFAULT_RULES, VerdictCounts, rules_to_json
from results.importing import import_orders, undo_import
from results.order_values import reparse
from schema import orders, rule_versions
from spreadsheets.order_rows import read_orders
from storage import kept_sums, order_filters, order_queries, regrading, verdict_store
from storage.order_terms import OrderFilter

NUMBER = "353370080089458"


@pytest.fixture
def batch(database: IMEIDatabase) -> int:
    return ordered_batch(database)


def test_a_new_database_begins_with_the_default_rules(database: IMEIDatabase) -> None:
    with database.read() as connection:
        in_force = verdict_store.rules_in_force(connection)
        assert connection.execute(select(rule_versions.c.rules)).scalar_one() == rules_to_json(DEFAULT_RULES)
    assert (in_force.version, in_force.rules) == (1, DEFAULT_RULES)


def test_a_result_is_graded_in_the_transaction_that_stores_it(database: IMEIDatabase, batch: int) -> None:
    assert verdicts(database) == {None: 60}
    listed(database, result_text("ON"), last=10)
    listed(database, result_text(), first=10, last=30)
    listed(database, "Not found", "Rejected", first=30, last=33)
    with database.read() as connection:
        counts = kept_sums.order_sums(connection, [batch, 77])
    assert counts[batch].verdicts == VerdictCounts(passed=0, review=23, failed=10, pending=27)
    assert counts[77].verdicts == VerdictCounts()
    oldest = order_filters.page(database, OrderFilter(batch=batch), None, 60)[-1]
    order = order_queries.find_order(database, oldest.order_id or "")
    assert order
    decision = verdict_store.decision(database, order)
    assert decision
    assert decision.words == "Fail if Find My iPhone is ON"


def test_an_import_its_undoing_and_a_new_parser_grade_too(database: IMEIDatabase) -> None:
    titles = "SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE"
    line = f"Old,{NUMBER},$0.08,Completed,Model: X,,A,Unlocked,X,OFF,2025-11-14 3:33:00"
    import_orders(database, list(read_orders(f"{titles}\r\n{line}".encode())), "old.csv")
    assert verdicts(database) == {"pass": 1}
    worse = line.replace("OFF", "ON")
    import_id, _ = import_orders(database, list(read_orders(f"{titles}\r\n{worse}".encode())), "new.csv")
    assert verdicts(database) == {"fail": 1}
    undo_import(database, import_id)
    assert verdicts(database) == {"pass": 1}
    with database.write() as connection:
        connection.execute(update(orders).values(result_code=result_text("ON")))
    reparse(database)
    assert verdicts(database) == {"fail": 1}
    with database.write() as connection:
        connection.execute(update(orders).values(order_id="77"))
    assert database.update_order_status("77", "Completed", {"fmi": "OFF"})
    assert verdicts(database) == {None: 1}
    regrading.regrade(database)
    assert verdicts(database) == {"review": 1}  # the SIM lock of the text that was read again


def test_the_same_rules_again_make_no_version(database: IMEIDatabase) -> None:
    assert verdict_store.save_rules(database, DEFAULT_RULES, "admin") is None
    saved = verdict_store.save_rules(database, STRICT, "admin")
    assert saved
    assert (saved.version, saved.author) == (2, "admin")
    assert verdict_store.save_rules(database, STRICT, "admin") is None
    assert [one.version for one in verdict_store.rule_history(database, 9)] == [2, 1]
