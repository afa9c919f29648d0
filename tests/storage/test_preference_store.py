"""What people chose on pages is kept for each of them, on both databases."""

from database import IMEIDatabase
from storage.preference_store import prefer, preference


def test_a_preference_is_kept_for_one_person_and_replaced_and_forgotten(database: IMEIDatabase) -> None:
    prefer(database, "anna", "columns", ["imei", "verdict"])
    prefer(database, "anna", "columns", ["imei", "model"])
    prefer(database, "ben", "columns", ["imei"])
    assert preference(database, "anna", "columns") == ["imei", "model"]
    assert preference(database, "ben", "columns") == ["imei"]
    assert preference(database, "anna", "service") is None

    prefer(database, "anna", "columns", None)
    assert preference(database, "anna", "columns") is None
    assert preference(database, "ben", "columns") == ["imei"]
