"""An upload is read once for each way of reading; a kept reading that is no longer usable is made again."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sample_files import imeis

from results import uploaded
from results.uploaded import CHOICES, FILE, LIST, PASTE, keep_reading, read_content, read_upload, reading_choice
from spreadsheets import Choice, Parsed, UnreadableFileError, parse_file, parsed_list
from storage.batch_uploads import Upload, kept_intake

FIVE = imeis(5)
TABLE = "\n".join(["A,B", *(f"{imei},{other}" for imei, other in zip(FIVE, imeis(5, 50), strict=True))]).encode()
FIRST, SECOND = Choice(column=0), Choice(column=1)


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return an_upload(tmp_path, FILE, TABLE)


def an_upload(folder: Path, kind: str, content: bytes) -> Upload:
    path = folder / "token"
    path.write_bytes(content)
    return Upload("token", "stock.csv", path, kind, "1739", {}, datetime(2026, 11, 3))


def imeis_of(parsed: Parsed) -> list[str]:
    return list(parsed.intake(Choice(), 100).ready.imeis())


def count_parses(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """Return a list that gets the choice of each parse from now on."""
    parsed = list[Choice]()

    def counted(content: bytes, choice: Choice, limit: int) -> Parsed:
        parsed.append(choice)
        return parse_file(content, choice, limit)

    monkeypatch.setattr(uploaded, "parse_file", counted)
    return parsed


def test_each_way_of_reading_is_parsed_once_and_kept(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    parses = count_parses(monkeypatch)
    for choice, numbers in ((FIRST, FIVE), (SECOND, imeis(5, 50)), (FIRST, FIVE), (SECOND, imeis(5, 50))):
        assert imeis_of(read_upload(upload, choice, 100)) == numbers
    assert parses == [FIRST, SECOND]
    # What is taken of the values is no other way of reading.
    assert imeis_of(read_upload(upload, Choice(column=0, hidden_rows=False, second_imeis=True), 100)) == FIVE
    assert len(parses) == 2


def test_a_damaged_reading_is_made_again_and_kept(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parses = count_parses(monkeypatch)
    whole = read_upload(upload, FIRST, 100)
    (kept,) = upload.path.parent.glob("token.*")
    kept.write_bytes(kept.read_bytes()[:-5])
    assert imeis_of(read_upload(upload, FIRST, 100)) == FIVE
    assert (len(parses), kept_intake(upload, FIRST.reading)) == (2, whole.to_bytes())
    assert "The kept reading of upload stock.csv cannot be used" in caplog.text


def test_a_reading_that_cannot_be_kept_is_made_each_time(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploaded, "keep_intake", full)
    parses = count_parses(monkeypatch)
    assert [imeis_of(read_upload(upload, FIRST, 100)) for _ in range(2)] == [FIVE, FIVE]
    assert len(parses) == 2
    assert "No space left on device" in caplog.text


def test_a_file_that_cannot_be_read_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    upload = an_upload(tmp_path, FILE, b"%PDF-1.7")
    with pytest.raises(UnreadableFileError, match="a PDF document"):
        read_upload(upload, Choice(), 100)
    assert list(tmp_path.iterdir()) == [upload.path]


def test_a_stored_list_is_a_reading_itself(tmp_path: Path) -> None:
    upload = an_upload(tmp_path, LIST, parsed_list(FIVE).to_bytes())
    assert imeis_of(read_upload(upload, Choice(), 100)) == FIVE
    assert list(tmp_path.iterdir()) == [upload.path]  # nothing is kept beside it
    upload.path.write_bytes(b"damaged")
    with pytest.raises(UnreadableFileError, match="choose the IMEIs again"):
        read_upload(upload, Choice(), 100)


def test_a_paste_is_read_as_text_whatever_its_bytes_look_like(tmp_path: Path) -> None:
    pasted = f"IMEI: {FIVE[0]}, {FIVE[1]}".encode() + b"\xff"
    assert imeis_of(read_content(PASTE, pasted, Choice(), 100)) == FIVE[:2]
    assert imeis_of(read_upload(an_upload(tmp_path, PASTE, pasted), Choice(), 100)) == FIVE[:2]
    with pytest.raises(UnreadableFileError, match="Nothing was pasted"):
        read_content(PASTE, b" \n", Choice(), 100)


def test_a_reading_can_be_kept_before_it_is_asked_for(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_reading(upload, FIRST, read_content(FILE, TABLE, FIRST, 100))
    parses = count_parses(monkeypatch)
    assert imeis_of(read_upload(upload, FIRST, 100)) == FIVE
    assert parses == []


def test_of_the_stored_choices_those_about_reading_are_taken() -> None:
    stored: dict[str, Any] = {"sheet": "Stock", "column": 2, "header_row": 0, "delimiter": ";", "encoding": "cp1252"}
    ticks: dict[str, Any] = {"hidden_rows": False, "second_imeis": True}
    assert reading_choice(stored | ticks | {"recheck": True}) == Choice(**stored, **ticks)
    assert reading_choice({"recheck": True}) == Choice()
    assert set(CHOICES) == set(Choice.__dataclass_fields__)
