"""What may become a batch: files, pastes and lists of known IMEIs, stored until they are confirmed.

A file is read once for each way of reading it; the intake is kept beside the upload, and the preview, its options,
the rejects and the confirmation use it. A kept intake that is missing or damaged is made again from the upload.
"""

import logging
from collections.abc import Iterable

from backend import backend
from spreadsheets import (
    Choice,
    DamagedParseError,
    Intake,
    Parsed,
    UnreadableFileError,
    parse_file,
    parse_text,
    parsed_list,
)
from storage.batch_uploads import Upload, change_upload, find_upload, keep_intake, kept_intake, store_upload

logger = logging.getLogger(__name__)

#: Kinds of uploads: the three that may become a batch, and the text of a form that was refused.
FILE, PASTE, LIST, FORM = "upload", "paste", "list", "draft"
SENDABLE = (FILE, PASTE, LIST)


def from_content(kind: str, content: bytes, label: str, service_id: str) -> str:
    """Read a file or a paste, store it and return its token. Raises UnreadableFileError."""
    choice = Choice()
    parsed = _parse(kind, content, choice)
    parsed.intake(choice, _limit())
    token = _store(kind, content, label, service_id)
    if upload := find(token):
        _keep(upload, choice, parsed)
    return token


def from_imeis(imeis: Iterable[str], label: str, service_id: str, ticks: Iterable[str] = ()) -> str:
    """Store a list of known IMEIs with the given options of the preview set; return its token."""
    token = _store(LIST, parsed_list(imeis).to_bytes(), label, service_id)
    change_upload(backend().database, token, service_id, dict.fromkeys(ticks, True))
    return token


def from_form(text: str, service_id: str) -> str | None:
    """Store the text of a refused form for the form that follows; return its token, or None for a blank text."""
    return _store(FORM, text.encode("utf-8", "replace"), "Draft", service_id) if text.strip() else None


def form_text(token: str) -> str:
    """Return the text that from_form stored, or ""."""
    found = find_upload(backend().database, backend().uploads, token) if token else None
    return found.path.read_bytes().decode("utf-8", "replace") if found and found.kind == FORM else ""


def find(token: str) -> Upload | None:
    """Return the upload with this token if it may become a batch."""
    found = find_upload(backend().database, backend().uploads, token)
    return found if found and found.kind in SENDABLE else None


def read(upload: Upload, choice: Choice) -> Intake:
    """Return what an upload holds, read as chosen. Raises UnreadableFileError."""
    return _parsed(upload, choice).intake(choice, _limit())


def _parsed(upload: Upload, choice: Choice) -> Parsed:
    """Return the kept reading of an upload, or read it and keep that."""
    if upload.kind == LIST:
        return _stored_list(upload)
    kept = kept_intake(upload, choice.reading)
    if kept is not None:
        try:
            return Parsed.from_bytes(kept)
        except DamagedParseError as error:
            logger.warning("The kept intake of upload %s was not usable: %s", upload.label, error)
    parsed = _parse(upload.kind, upload.path.read_bytes(), choice)
    _keep(upload, choice, parsed)
    return parsed


def _stored_list(upload: Upload) -> Parsed:
    try:
        return Parsed.from_bytes(upload.path.read_bytes())
    except DamagedParseError as error:
        raise UnreadableFileError("The stored list of IMEIs cannot be read: choose the IMEIs again.") from error


def _parse(kind: str, content: bytes, choice: Choice) -> Parsed:
    if kind == PASTE:
        return parse_text(content.decode("utf-8", "replace"), choice, _limit())
    return parse_file(content, choice, _limit())


def _keep(upload: Upload, choice: Choice, parsed: Parsed) -> None:
    """Keep a reading beside its upload; without room for it the file is read again the next time."""
    try:
        keep_intake(upload, choice.reading, parsed.to_bytes())
    except OSError as error:
        logger.warning("The intake of upload %s could not be kept: %s", upload.label, error)


def _store(kind: str, content: bytes, label: str, service_id: str) -> str:
    return store_upload(backend().database, backend().uploads, content, label=label, kind=kind, service_id=service_id)


def _limit() -> int:
    return backend().settings.max_batch_imeis
