"""Links to reports on disk: by their hash, revoked once, and by the batch that they are of."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from handmade_calls import planned

from database import IMEIDatabase
from storage import link_store
from storage.link_store import NewLink, ReportLink

NOW, SECOND = datetime(2026, 3, 1, 12), timedelta(seconds=1)


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


@pytest.fixture(name="new")
def new_fixture(database: IMEIDatabase) -> NewLink:
    """A link to be made to the report of the first of two batches."""
    batch_id, _ = planned(database, 1)
    planned(database, 1, first=1)
    return NewLink(batch_id, "anna", NOW, has_prices=True, has_imeis=False, has_csv=True)


def stored(database: IMEIDatabase, token_hash: str = "digest") -> ReportLink:
    found = link_store.find(database, token_hash)
    assert found
    return found


def test_a_link_is_found_by_its_hash_with_the_name_of_its_batch(database: IMEIDatabase, new: NewLink) -> None:
    link_id = link_store.add(database, new, "digest")
    found = stored(database)
    assert (found.id, found.batch_id, found.label, found.created_by) == (link_id, new.batch_id, "test", "anna")
    assert (found.has_prices, found.has_imeis, found.has_csv) == (True, False, True)
    assert (found.revoked_at, found.opened_at, found.opens) == (None, None, 0)
    assert link_store.find(database, "DIGEST") is None


def test_a_link_shows_the_report_before_its_end_and_until_it_is_revoked(database: IMEIDatabase, new: NewLink) -> None:
    link_id = link_store.add(database, new, "digest")
    assert [stored(database).is_active(NOW + one) for one in (-SECOND, timedelta(0))] == [True, False]
    assert not link_store.revoke(database, new.batch_id + 1, link_id)
    assert not link_store.revoke(database, new.batch_id, link_id + 1)
    assert link_store.revoke(database, new.batch_id, link_id)
    revoked_at = stored(database).revoked_at
    assert revoked_at
    assert not link_store.revoke(database, new.batch_id, link_id)
    assert stored(database).revoked_at == revoked_at
    assert not stored(database).is_active(NOW - SECOND)


def test_each_time_that_a_link_is_opened_is_counted(database: IMEIDatabase, new: NewLink) -> None:
    link_id = link_store.add(database, new, "digest")
    link_store.add(database, new, "other")
    for times in (1, 2):
        link_store.note_open(database, link_id, NOW + times * SECOND)
        assert (stored(database).opens, stored(database).opened_at) == (times, NOW + times * SECOND)
    assert stored(database, "other").opens == 0


def test_links_are_listed_newest_first_and_revoked_ones_last(
    database: IMEIDatabase, new: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (link_store.add(database, new, token_hash) for token_hash in "abc")
    other = link_store.add(database, replace(new, batch_id=new.batch_id + 1), "d")
    link_store.revoke(database, new.batch_id, third)
    assert [link.id for link in link_store.listed(database, new.batch_id)] == [second, first, third]
    assert [link.id for link in link_store.listed(database)] == [other, second, first, third]
    monkeypatch.setattr(link_store, "MOST_LISTED", 2)
    assert [link.id for link in link_store.listed(database)] == [other, second]
