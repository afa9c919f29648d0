"""What stored uploads hold: each is read once for each way of reading, and what was read is kept beside it.

A kept reading that is missing or damaged is made again from the upload.
"""

import logging
from collections.abc import Mapping
from typing import Any

from spreadsheets import Choice, DamagedParseError, Parsed, UnreadableFileError, parse_file, parse_text
from storage.batch_uploads import Upload, keep_intake, kept_intake

logger = logging.getLogger(__name__)

#: Kinds of uploads that may become a batch.
FILE, PASTE, LIST = "upload", "paste", "list"
#: What a user can choose about the reading of a file, by the names of the fields of Choice.
CHOICES = ("sheet", "column", "header_row", "delimiter", "encoding", "hidden_rows", "second_imeis")


def reading_choice(choice: Mapping[str, Any]) -> Choice:
    """Return how a file is read, of the stored choices about an upload."""
    return Choice(**{name: choice[name] for name in CHOICES if name in choice})


def read_upload(upload: Upload, choice: Choice, limit: int) -> Parsed:
    """Return the kept reading of an upload, or read it and keep that. Raises UnreadableFileError.

    limit: the most IMEIs.
    """
    if upload.kind == LIST:
        return _stored_list(upload)
    kept = kept_intake(upload, choice.reading)
    if kept is not None:
        try:
            return Parsed.from_bytes(kept)
        except DamagedParseError as error:
            logger.warning("The kept reading of upload %s cannot be used: %s", upload.label, error)
    parsed = read_content(upload.kind, upload.path.read_bytes(), choice, limit)
    keep_reading(upload, choice, parsed)
    return parsed


def read_content(kind: str, content: bytes, choice: Choice, limit: int) -> Parsed:
    """Return what a file or a paste holds. Raises UnreadableFileError."""
    if kind == PASTE:
        return parse_text(content.decode("utf-8", "replace"), choice, limit)
    return parse_file(content, choice, limit)


def keep_reading(upload: Upload, choice: Choice, parsed: Parsed) -> None:
    """Keep a reading beside its upload; without room for it the file is read again the next time."""
    try:
        keep_intake(upload, choice.reading, parsed.to_bytes())
    except OSError as error:
        logger.warning("The reading of upload %s could not be kept: %s", upload.label, error)


def _stored_list(upload: Upload) -> Parsed:
    try:
        return Parsed.from_bytes(upload.path.read_bytes())
    except DamagedParseError as error:
        raise UnreadableFileError("The stored list of IMEIs cannot be read: choose the IMEIs again.") from error
