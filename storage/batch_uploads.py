"""What people brought and have not confirmed yet: the bytes in a folder, the rest in the uploads table.

Knows no HTTP and does not read the files.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select, text, update

from database import IMEIDatabase, utc_now
from schema import batches, uploads

#: How long an upload waits for its confirmation.
KEPT = timedelta(days=7)
#: Bytes that all uploads together may take; beyond them the oldest are forgotten.
QUOTA = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """One file or paste. Its token is also the confirm token of the batch that it becomes."""

    token: str
    label: str  #: the file's name, or what stands for it
    path: Path
    kind: str  #: "upload" or "paste"
    service_id: str
    choice: dict[str, Any]  #: what the user chose on the preview
    created_at: datetime


def store_upload(database: IMEIDatabase, folder: Path, data: bytes, *, label: str, kind: str, service_id: str) -> str:
    """Keep the bytes and return their token. Forgets uploads older than KEPT or beyond QUOTA. Raises OSError."""
    _forget_old(database, utc_now() - KEPT)
    folder.mkdir(parents=True, exist_ok=True)
    _make_room(database, folder, QUOTA - len(data))
    token = secrets.token_urlsafe(18)
    path = folder / token
    path.write_bytes(data)
    with database.write() as connection:
        connection.execute(
            insert(uploads).values(
                token=token, label=label, path=path.name, kind=kind, service_id=service_id, choice="{}"
            )
        )
    return token


def find_upload(database: IMEIDatabase, folder: Path, token: str) -> Upload | None:
    """The upload with this token, or None when it is unknown or its file is gone."""
    with database.read() as connection:
        row = connection.execute(select(uploads).where(uploads.c.token == token)).first()
    if row is None or not (folder / row.path).is_file():
        return None
    return Upload(
        token=row.token,
        label=row.label,
        path=folder / row.path,
        kind=row.kind,
        service_id=row.service_id,
        choice=json.loads(row.choice),
        created_at=row.created_at,
    )


def change_upload(database: IMEIDatabase, token: str, service_id: str, choice: Mapping[str, Any]) -> None:
    """Remember another service and other choices for an upload."""
    with database.write() as connection:
        connection.execute(
            update(uploads)
            .where(uploads.c.token == token)
            .values(service_id=service_id, choice=json.dumps(dict(choice)))
        )


def batch_of_token(database: IMEIDatabase, token: str) -> int | None:
    """The batch that a confirm token became."""
    with database.read() as connection:
        return connection.execute(select(batches.c.id).where(batches.c.confirm_token == token)).scalar()


def _make_room(database: IMEIDatabase, folder: Path, room: int) -> None:
    """Forget the oldest uploads until all together take at most room bytes."""
    with database.write() as connection:
        newest_first = select(uploads.c.token, uploads.c.path).order_by(text("rowid DESC"))
        kept, dropped = 0, []
        for token, name in connection.execute(newest_first):
            kept += _size(folder / name)
            if kept > room:
                dropped.append((token, folder / name))
        connection.execute(delete(uploads).where(uploads.c.token.in_([token for token, _ in dropped])))
    for _, path in dropped:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _forget_old(database: IMEIDatabase, before: datetime) -> None:
    with database.write() as connection:
        old = select(uploads.c.path).where(uploads.c.created_at < before)
        paths = connection.execute(old).scalars().all()
        connection.execute(delete(uploads).where(uploads.c.created_at < before))
    folder = database.path.parent / "uploads"
    for name in paths:
        (folder / name).unlink(missing_ok=True)
