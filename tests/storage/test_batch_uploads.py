"""Uploads that wait for a confirmation take a bounded part of the disk, and so do their intakes."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sample_files import imei

from database import IMEIDatabase
from orders import BatchNames
from settings import Settings
from storage import batch_queries, batch_uploads
from storage.batch_creation import NewBatch, create_batch
from storage.batch_uploads import (
    Upload,
    batch_of_token,
    batches_beside,
    change_upload,
    find_upload,
    forget_batch_files,
    keep_intake,
    kept_intake,
    part_batches,
    rename_batch,
    rename_upload,
    sent_parts,
    store_upload,
    upload_of_batch,
)


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


def test_an_upload_of_another_machine_is_not_found_and_the_log_says_why(
    settings: Settings, database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    token = store_upload(database, settings.data_dir / "uploads", b"x", label="a.csv", kind="upload", service_id="1")
    assert find_upload(database, settings.data_dir / "elsewhere", token) is None
    assert ("web machines need one DATA_DIR" in caplog.text) is not database.is_file


def test_a_file_whose_row_another_machine_has_deleted_is_deleted_a_day_later(
    settings: Settings, database: IMEIDatabase
) -> None:
    """Each web machine has a folder of its own; a customer's list is kept on none for longer than on the others."""
    here, elsewhere = (settings.data_dir / name for name in ("here", "elsewhere"))
    upload = stored(database, here)
    keep_intake(upload, "column 1", b"one")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE uploads SET created_at = '2026-01-01 00:00:00'")
    stored(database, elsewhere)
    assert upload.path.is_file()
    stored(database, here)
    assert upload.path.is_file()  # it may get its row now
    os.utime(upload.path, (0, 0))
    kept = stored(database, here)
    os.utime(kept.path, (0, 0))
    stored(database, here)
    assert not upload.path.exists() and [path.name for path in here.glob(f"{upload.path.name}*")] == []
    assert kept.path.is_file()


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


def confirmed(database: IMEIDatabase, folder: Path, size: int = 10) -> Upload:
    """An upload that became a batch."""
    upload = stored(database, folder, size)
    new = NewBatch("a.csv", "upload", "1", "Service", 0.08, [(imei(1), 2)], confirm_token=upload.token)
    batch_id = create_batch(database, new)
    assert upload_of_batch(database, folder, batch_id) == ("upload", upload)
    return upload


def test_the_file_of_a_batch_outlives_uploads_without_one(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the age nor the quota of uploads that wait for their confirmation deletes it."""
    folder = settings.data_dir / "uploads"
    kept, dropped = confirmed(database, folder, 300), stored(database, folder, 300)
    monkeypatch.setattr(batch_uploads, "KEPT", timedelta(days=-1))
    monkeypatch.setattr(batch_uploads, "QUOTA", 100)
    stored(database, folder, 300)
    assert (kept.path.is_file(), dropped.path.is_file()) == (True, False)
    change_upload(database, kept.token, "2", {"column": 3})
    assert find_upload(database, folder, kept.token) == kept


def test_files_of_batches_go_after_the_retention_and_beyond_their_own_quota_oldest_first(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.data_dir / "uploads"
    monkeypatch.setattr(batch_uploads, "BATCH_QUOTA", 700)
    oldest, older, newest = (confirmed(database, folder, 300) for _ in range(3))
    waiting = stored(database, folder, 300)
    forget_batch_files(database, folder, timedelta(days=1))
    assert [upload.path.is_file() for upload in (oldest, older, newest, waiting)] == [False, True, True, True]
    forget_batch_files(database, folder, timedelta(days=-1))
    assert [upload.path.is_file() for upload in (older, newest, waiting)] == [False, False, True]


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


def test_an_upload_and_its_batch_are_renamed_one_by_one(settings: Settings, database: IMEIDatabase) -> None:
    """Another upload and another batch keep their names; a batch that does not exist changes nothing."""
    folder, names = settings.data_dir / "uploads", BatchNames("Berlin", "ACME", "Box 3")
    token, other = (
        store_upload(database, folder, b"x", label="a.csv", kind="upload", service_id="1") for _ in range(2)
    )
    batch_id, other_batch = (made(database, one) for one in (token, other))
    rename_upload(database, token, names)
    rename_batch(database, other_batch, BatchNames("Hamburg"))
    rename_batch(database, 99, BatchNames("nowhere"))
    uploads = [find_upload(database, folder, one) for one in (token, other)]
    assert [upload and upload.names for upload in uploads] == [names, BatchNames("a.csv")]
    batches = [batch_queries.progress(database, one) for one in (batch_id, other_batch)]
    assert [batch and batch.names for batch in batches] == [BatchNames("test"), BatchNames("Hamburg")]


def made(database: IMEIDatabase, token: str, *numbers: str) -> int:
    """Create a batch with a confirm token; return its id."""
    return create_batch(
        database, NewBatch("test", "upload", "1", "T", 0.1, [(one, None) for one in numbers], confirm_token=token)
    )


def test_the_parts_of_an_upload_are_the_batches_whose_tokens_begin_with_its_own_and_a_slash(
    database: IMEIDatabase,
) -> None:
    """Tokens that only begin alike, or sort right beside, are of other uploads."""
    numbers = [imei(n) for n in range(7)]
    tokens = ("abc/2", "abc/1", "abcd/1", "ab/1", "abc0", "abc.1", "def")
    ids = [made(database, token, number) for token, number in zip(tokens, numbers, strict=True)]
    assert list(part_batches(database, "abc").items()) == [("abc/2", ids[0]), ("abc/1", ids[1])]
    found = sent_parts(database, "abc")
    assert (found.batches, found.imeis) == ({"abc/2": ids[0], "abc/1": ids[1]}, frozenset(numbers[:2]))
    nothing = sent_parts(database, "x")
    assert (nothing.batches, nothing.imeis) == ({}, frozenset())
    assert [batches_beside(database, one) for one in (ids[0], ids[2])] == [[ids[1]], []]
    assert [batch_of_token(database, token) for token in ("abc/1", "def", "abc")] == [ids[1], ids[6], None]
