"""What may become a batch: files, pastes and lists of known IMEIs, stored until they are confirmed.

A file is read once for each way of reading; the preview, its options, the rejects and the confirmation use the reading
that is kept beside the upload.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from flask import abort

from backend import backend
from results import FILE, LIST, PASTE, keep_reading, read_content, read_upload
from spreadsheets import Choice, Intake, parsed_list
from storage.batch_uploads import Upload, change_upload, find_upload, forget_batch_files, store_upload

#: Kinds of uploads: those that may become a batch, and the text of a form that was refused.
SENDABLE, FORM = (FILE, PASTE, LIST), "draft"


def read_and_keep(kind: str, content: bytes, label: str, service_id: str, choice: Choice) -> tuple[str, Intake]:
    """Read a file or a paste as chosen and store it; return its token and what it holds. Raises UnreadableFileError."""
    parsed = read_content(kind, content, choice, _limit())
    intake = parsed.intake(choice, _limit())
    token = _store(kind, content, label, service_id)
    chosen = {name: value for name, value in asdict(choice).items() if value != getattr(Choice(), name)}
    if chosen:
        change_upload(backend().database, token, service_id, chosen)
    if upload := find(token):
        keep_reading(upload, choice, parsed)
    return token, intake


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


def upload_or_404(token: str) -> Upload:
    """Return the upload with this token if it may become a batch; else answer with a page that says why not."""
    return find(token) or abort(404, "This upload no longer exists. Upload the file again.")


def read(upload: Upload, choice: Choice) -> Intake:
    """Return what an upload holds, read as chosen. Raises UnreadableFileError."""
    return read_upload(upload, choice, _limit()).intake(choice, _limit())


def _store(kind: str, content: bytes, label: str, service_id: str) -> str:
    database, folder = backend().database, backend().uploads
    forget_batch_files(database, folder, timedelta(days=backend().settings.upload_retention_days))
    return store_upload(database, folder, content, label=label, kind=kind, service_id=service_id)


def _limit() -> int:
    return backend().settings.max_batch_imeis
