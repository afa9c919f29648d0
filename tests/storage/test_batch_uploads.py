"""Uploads that wait for a confirmation take a bounded part of the disk, and so do their intakes."""

from datetime import timedelta
from pathlib import Path

import pytest

from database import IMEIDatabase
from settings import Settings
from storage import batch_uploads
from storage.batch_uploads import Upload, find_upload, keep_intake, kept_intake, store_upload


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


def stored(database: IMEIDatabase, folder: Path, size: int = 10) -> Upload:
    token = store_upload(database, folder, bytes(size), label="a.csv", kind="upload", service_id="1")
    found = find_upload(database, folder, token)
    assert found
    return found


def test_an_intake_is_kept_for_each_way_of_reading(settings: Settings, database: IMEIDatabase) -> None:
    upload = stored(database, settings.data_dir / "uploads")
    keep_intake(upload, "column 1", b"one")
    keep_intake(upload, "column 2", b"two")
    keep_intake(upload, "column 2", b"new")
    assert [kept_intake(upload, f"column {number}") for number in (1, 2, 3)] == [b"one", b"new", None]


def test_only_the_newest_intakes_of_an_upload_are_kept(settings: Settings, database: IMEIDatabase) -> None:
    folder = settings.data_dir / "uploads"
    upload = stored(database, folder)
    for number in range(30):
        keep_intake(upload, f"column {number}", b"x")
    assert len(list(folder.iterdir())) == 1 + batch_uploads.MOST_INTAKES
    assert kept_intake(upload, "column 29") == b"x"


def test_intakes_count_in_the_quota_and_go_with_their_upload(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_uploads, "QUOTA", 1000)
    folder = settings.data_dir / "uploads"
    old = stored(database, folder, 300)
    keep_intake(old, "column 1", bytes(500))
    new = stored(database, folder, 300)
    assert kept_intake(old, "column 1") is None
    assert [path.name for path in folder.iterdir()] == [new.path.name]


def test_an_old_upload_goes_with_its_intakes_and_leaves_none_behind(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intake that was written while its upload was deleted is deleted later."""
    folder = settings.data_dir / "uploads"
    old = stored(database, folder)
    keep_intake(old, "column 1", b"x")
    monkeypatch.setattr(batch_uploads, "KEPT", timedelta(days=-1))
    left = stored(database, folder)
    assert not old.path.exists()
    keep_intake(old, "column 1", b"late")
    assert kept_intake(old, "column 1") is None
    (folder / f"{old.token}.0123456789abcdef").write_bytes(b"late")
    new = stored(database, folder)
    assert [path.name for path in folder.iterdir()] == [new.path.name]
    assert left.token != new.token


def test_an_intake_that_cannot_be_written_leaves_nothing(settings: Settings, database: IMEIDatabase) -> None:
    folder = settings.data_dir / "uploads"
    upload = stored(database, folder)
    with pytest.raises(TypeError):
        keep_intake(upload, "column 1", "no bytes")  # type: ignore[arg-type]
    assert [path.name for path in folder.iterdir()] == [upload.path.name]
