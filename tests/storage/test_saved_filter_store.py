"""Saved filters are a person's own or everybody's, one for each name of a person."""

import pytest

from database import IMEIDatabase
from storage import saved_filter_store
from storage.saved_filter_store import change_filter, delete_filter, filters_of, find_filter, save_filter


def seen(database: IMEIDatabase, person: str) -> list[tuple[str, str]]:
    return [(saved.name, saved.query) for saved in filters_of(database, person)]


def test_a_filter_is_saved_replaced_shared_renamed_and_deleted(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert save_filter(database, "anna", "Returns", "verdict=fail", is_shared=False)
    assert save_filter(database, "anna", "ATT", "carrier=AT%26T", is_shared=True)
    assert save_filter(database, "anna", "Returns", "verdict=fail&since=7d", is_shared=False)
    assert save_filter(database, "ben", "Returns", "status=Rejected", is_shared=False)
    assert seen(database, "anna") == [("ATT", "carrier=AT%26T"), ("Returns", "verdict=fail&since=7d")]
    assert seen(database, "ben") == [("ATT", "carrier=AT%26T"), ("Returns", "status=Rejected")]

    shared, own = filters_of(database, "anna")
    assert not change_filter(database, own.filter_id, "ATT", is_shared=True), "a name twice"
    assert change_filter(database, own.filter_id, "To return", is_shared=True)
    delete_filter(database, shared.filter_id)
    assert find_filter(database, shared.filter_id) is None
    assert seen(database, "ben") == [("Returns", "status=Rejected"), ("To return", "verdict=fail&since=7d")]

    monkeypatch.setattr(saved_filter_store, "MOST", 1)
    assert not save_filter(database, "ben", "One more", "fmi=ON", is_shared=False)
    assert save_filter(database, "ben", "Returns", "fmi=ON", is_shared=False), "its own place"
