"""Files and pastes, before and after they became a batch: the bytes in a folder, the rest in the uploads table.

Beside each upload lies what was read from it, a file for each way of reading. This module knows no HTTP and does not
read the files.
"""

import hashlib
import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, and_, bindparam, delete, exists, insert, or_, select, update

from database import IMEIDatabase, utc_now
from orders import BatchNames
from schema import batches, items, uploads

logger = logging.getLogger(__name__)

#: Seconds after which a file that no row names is deleted: one that is new gets its row in a moment.
UNKNOWN = 86_400.0
#: How long an upload waits for its confirmation.
KEPT = timedelta(days=7)
#: Bytes that all uploads without a batch, and those of batches, may take with their intakes; beyond them the oldest are
#: deleted.
QUOTA, BATCH_QUOTA = 500 * 1024 * 1024, 1024 * 1024 * 1024


def _is_part(token: Any) -> ColumnElement[bool]:
    """Match batches of parts of an upload: their tokens begin with its own and a slash; "0" is the sign after that."""
    return and_(batches.c.confirm_token > token + "/", batches.c.confirm_token < token + "0")


#: Whether an upload became a batch, or several.
OF_BATCH = exists().where(or_(batches.c.confirm_token == uploads.c.token, _is_part(uploads.c.token)))
OF_TOKEN = select(uploads).where(uploads.c.token == bindparam("token"))
BATCH_OF_TOKEN = select(batches.c.id).where(batches.c.confirm_token == bindparam("token"))
#: Intakes that are kept beside one upload, the newest ones.
MOST_INTAKES = 5


@dataclass(frozen=True, slots=True)
class Upload:
    """One file or paste. Its token is also the confirm token of the batch that it becomes."""

    token: str
    label: str  #: the file's name, or a name that replaces it
    path: Path
    kind: str  #: "upload", "paste", "list", "draft" or "import"
    service_id: str
    choice: dict[str, Any]  #: what the user chose on the preview
    created_at: datetime
    customer: str = ""  #: of the batch that it becomes
    note: str = ""

    @property
    def names(self) -> BatchNames:
        """What the batch will be called."""
        return BatchNames(self.label, self.customer, self.note)


@dataclass(frozen=True, slots=True)
class SentParts:
    """What was made of an upload that is sent in parts."""

    batches: Mapping[str, int]  #: confirm token → batch, the oldest first
    imeis: frozenset[str]  #: in one of these batches


def store_upload(database: IMEIDatabase, folder: Path, data: bytes, *, label: str, kind: str, service_id: str) -> str:
    """Keep the bytes and return their token. Raises OSError.

    Deletes uploads without a batch that are older than KEPT or beyond QUOTA.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _delete_old(database, folder, ~OF_BATCH, utc_now() - KEPT)
    _make_room(database, folder, ~OF_BATCH, QUOTA - len(data))
    token = secrets.token_urlsafe(18)
    path = folder / token
    path.write_bytes(data)
    with database.write() as connection:
        connection.execute(
            insert(uploads).values(
                token=token,
                label=label,
                path=path.name,
                kind=kind,
                service_id=service_id,
                choice="{}",
                created_at=utc_now(),
            )
        )
    return token


def forget_batch_files(database: IMEIDatabase, folder: Path, retention: timedelta) -> None:
    """Delete the uploads of batches that are older than the retention or beyond BATCH_QUOTA."""
    folder.mkdir(parents=True, exist_ok=True)
    _delete_old(database, folder, OF_BATCH, utc_now() - retention)
    _make_room(database, folder, OF_BATCH, BATCH_QUOTA)


def find_upload(database: IMEIDatabase, folder: Path, token: str) -> Upload | None:
    """Return the upload with this token, or None when it is unknown or its file is gone."""
    with database.read() as connection:
        row = connection.execute(OF_TOKEN, {"token": token}).first()
    if row is None:
        return None
    if not (folder / row.path).is_file():
        if not database.is_file:
            logger.warning("An upload has no file here: web machines need one DATA_DIR, or each user the same machine")
        return None
    return Upload(
        token=row.token,
        label=row.label,
        path=folder / row.path,
        kind=row.kind,
        service_id=row.service_id,
        choice=json.loads(row.choice),
        created_at=row.created_at,
        customer=row.customer,
        note=row.note,
    )


def change_upload(database: IMEIDatabase, token: str, service_id: str, choice: Mapping[str, Any]) -> None:
    """Remember another service and other choices for an upload that is not a batch yet."""
    with database.write() as connection:
        connection.execute(
            update(uploads)
            .where(uploads.c.token == token, ~OF_BATCH)
            .values(service_id=service_id, choice=json.dumps(dict(choice)))
        )


def rename_upload(database: IMEIDatabase, token: str, names: BatchNames) -> None:
    """Store what the batch of an upload will be called."""
    _rename(database, update(uploads).where(uploads.c.token == token), names)


def rename_batch(database: IMEIDatabase, batch_id: int, names: BatchNames) -> None:
    """Store another name, customer and note of a batch. They change nothing that is ordered."""
    _rename(database, update(batches).where(batches.c.id == batch_id), names)


def _rename(database: IMEIDatabase, rows: Update, names: BatchNames) -> None:
    with database.write() as connection:
        connection.execute(rows.values(label=names.name, customer=names.customer, note=names.note))


def keep_intake(upload: Upload, reading: str, data: bytes) -> None:
    """Keep what was read from an upload, under the way of reading, in one atomic step. Raises OSError."""
    if not upload.path.is_file():
        return
    path = _intake_path(upload, reading)
    draft = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    for old in sorted(_intakes(upload.path), key=_written_at)[:-MOST_INTAKES]:
        old.unlink(missing_ok=True)


def kept_intake(upload: Upload, reading: str) -> bytes | None:
    """Return what keep_intake was given for this way of reading, or None where nothing can be read."""
    try:
        return _intake_path(upload, reading).read_bytes()
    except OSError:
        return None


def upload_of_batch(database: IMEIDatabase, folder: Path, batch_id: int) -> tuple[str, Upload | None]:
    """Return the source of a batch, such as "upload", and its upload; None where there was none or its file is gone."""
    wanted = select(batches.c.source, batches.c.confirm_token).where(batches.c.id == batch_id)
    with database.read() as connection:
        row = connection.execute(wanted).one()
    token = upload_token(row.confirm_token or "")
    return row.source, find_upload(database, folder, token) if token else None


def upload_token(confirm_token: str) -> str:
    """Return the token of the upload that a batch was made of, from the batch's own."""
    return confirm_token.partition("/")[0]


def part_batches(database: IMEIDatabase, token: str) -> dict[str, int]:
    """Return confirm token → batch of those that were made of parts of an upload."""
    with database.read() as connection:
        return _part_batches(connection, token)


def sent_parts(database: IMEIDatabase, token: str) -> SentParts:
    """Return what was made of an upload in parts, from one snapshot."""
    with database.read() as connection:
        made = _part_batches(connection, token)
        query = select(items.c.imei).where(items.c.batch_id.in_(list(made.values())))
        return SentParts(made, frozenset(connection.execute(query).scalars() if made else ()))


def _part_batches(connection: Connection, token: str) -> dict[str, int]:
    query = select(batches.c.confirm_token, batches.c.id).where(_is_part(token)).order_by(batches.c.id)
    return {row.confirm_token: row.id for row in connection.execute(query)}


def batches_beside(database: IMEIDatabase, batch_id: int) -> list[int]:
    """Return the batches that were made of other parts of the upload of a batch."""
    wanted = select(batches.c.confirm_token).where(batches.c.id == batch_id)
    with database.read() as connection:
        token = connection.execute(wanted).scalar() or ""
    found = part_batches(database, upload_token(token)) if token else {}
    return [other for other in found.values() if other != batch_id]


def batch_of_token(database: IMEIDatabase, token: str) -> int | None:
    """Return the batch that was made with a confirm token."""
    with database.read() as connection:
        return connection.execute(BATCH_OF_TOKEN, {"token": token}).scalar()


def _intake_path(upload: Upload, reading: str) -> Path:
    digest = hashlib.sha256(reading.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return upload.path.with_name(f"{upload.path.name}.{digest}")


def _intakes(path: Path) -> list[Path]:
    """Return the intakes beside the file of an upload; a token holds no sign that has a meaning for glob."""
    return list(path.parent.glob(f"{path.name}.*"))


def _make_room(database: IMEIDatabase, folder: Path, which: ColumnElement[bool], room: int) -> None:
    """Delete the oldest of these uploads until all of them together take at most room bytes."""
    sizes = _sizes(folder)
    with database.write() as connection:
        newest_first = select(uploads.c.token, uploads.c.path).where(which).order_by(uploads.c.created_at.desc())
        kept, dropped = 0, []
        for token, name in connection.execute(newest_first):
            kept += sizes[name]
            if kept > room:
                dropped.append((token, folder / name))
        if dropped:
            connection.execute(delete(uploads).where(uploads.c.token.in_([token for token, _ in dropped])))
    for _, path in dropped:
        _delete(path)


def _sizes(folder: Path) -> Counter[str]:
    """Return the bytes of each upload with its intakes, by the name of its file."""
    sizes: Counter[str] = Counter()
    for path in folder.iterdir():
        sizes[path.name.partition(".")[0]] += _size(path)
    return sizes


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _delete_old(database: IMEIDatabase, folder: Path, which: ColumnElement[bool], before: datetime) -> None:
    with database.write() as connection:
        old = select(uploads.c.path).where(which, uploads.c.created_at < before)
        paths = connection.execute(old).scalars().all()
        if paths:
            connection.execute(delete(uploads).where(which, uploads.c.created_at < before))
    for name in paths:
        _delete(folder / name)
    _delete_unknown(database, folder)
    for path in folder.glob("*.*"):  # an intake that was written while its upload was deleted
        if not path.with_name(path.name.partition(".")[0]).is_file():
            path.unlink(missing_ok=True)


def _delete_unknown(database: IMEIDatabase, folder: Path) -> None:
    """Delete old files that no row names: another machine, with a folder of its own, has deleted the row."""
    before = time.time() - UNKNOWN
    old = {path.name for path in folder.iterdir() if "." not in path.name and _written_at(path) < before}
    if old:
        with database.read() as connection:
            old -= set(connection.execute(select(uploads.c.path)).scalars())
    for name in old:
        _delete(folder / name)


def _delete(path: Path) -> None:
    """Delete the file of an upload with its intakes."""
    path.unlink(missing_ok=True)
    for intake in _intakes(path):
        intake.unlink(missing_ok=True)
