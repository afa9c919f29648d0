"""The comparison of a copy with its source finds every kind of difference."""

import pytest
from moved_data import used_file_fixture, used_fixture
from sqlalchemy import text

from database import IMEIDatabase
from storage.copy_checks import check_copy
from storage.database_copy import CopyError, copy_tables

__all__ = ["used_file_fixture", "used_fixture"]


def test_an_equal_copy_is_counted(used: IMEIDatabase, server_database: IMEIDatabase) -> None:
    with server_database.write() as new, used.read() as old:
        copy_tables(old, new, lambda _: None)
        checked = check_copy(old, new)
    with used.read() as connection:
        count, cost = connection.exec_driver_sql("SELECT count(*), sum(coalesce(credits, 0)) FROM orders").one()
    assert (checked.orders, checked.audit_entries) == (count, 20)
    assert checked.cost == pytest.approx(cost)
    assert checked.rows == checked.compared > 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM status_changes WHERE id = 5", "the number of rows of status_changes"),
        ("UPDATE saved_searches SET id = 7", "the highest id of saved_searches"),
        ("UPDATE orders SET notes = 'other' WHERE id = 9", "a row of orders"),
        ("UPDATE items SET outcome = 'refused' WHERE id = 3", "a row of items"),
        ("UPDATE settings SET value = 'x' WHERE key = 'install_id'", "a row of settings"),
        ("UPDATE audit_entries SET detail = '{}' WHERE id = 4", "a row of audit_entries"),
    ],
)
def test_a_difference_is_named(used: IMEIDatabase, server_database: IMEIDatabase, change: str, words: str) -> None:
    used.install_id()
    with pytest.raises(CopyError, match=words), server_database.write() as new, used.read() as old:
        copy_tables(old, new, lambda _: None)
        new.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        new.execute(text(change))
        check_copy(old, new)


def test_a_price_outside_the_sample_is_found_by_the_sums(
    used: IMEIDatabase, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.copy_checks.SAMPLED", 1)
    words = "the cost of orders by status"
    with pytest.raises(CopyError, match=words), server_database.write() as new, used.read() as old:
        copy_tables(old, new, lambda _: None)
        new.execute(text("UPDATE orders SET credits = credits + 0.000001 WHERE id = 9"))
        check_copy(old, new)
