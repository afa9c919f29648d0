"""Uploads that wait for a confirmation take a bounded part of the disk."""

import pytest

from database import IMEIDatabase
from settings import Settings
from storage import batch_uploads
from storage.batch_uploads import find_upload, store_upload


def test_beyond_the_quota_the_oldest_uploads_are_forgotten(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_uploads, "QUOTA", 1000)
    folder = settings.data_dir / "uploads"
    tokens = [
        store_upload(database, folder, bytes(size), label="a.csv", kind="upload", service_id="1")
        for size in (300, 300, 300, 300, 500)
    ]
    found = [find_upload(database, folder, token) is not None for token in tokens]
    assert found == [False, False, False, True, True]
    assert sum(path.stat().st_size for path in folder.iterdir()) == 800


def test_one_upload_larger_than_the_quota_is_taken_alone(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_uploads, "QUOTA", 100)
    folder = settings.data_dir / "uploads"
    first, second = (
        store_upload(database, folder, bytes(200), label="a.csv", kind="upload", service_id="1") for _ in range(2)
    )
    assert find_upload(database, folder, first) is None
    assert find_upload(database, folder, second) is not None
