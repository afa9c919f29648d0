"""Checkpoint files: the provider's answer is on disk before anything else happens to it.

checkpoints/<batch>/answers.log grows by one record an answer: a line with chunk, attempt, length and SHA-256, then the
raw answer. Answers that come together share one fsync. progress.json beside it is for people. This module must not
know XML, SQL or HTTP.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from orders import Chunk
from settings import MAIN_ACCOUNT

logger = logging.getLogger(__name__)

#: Bytes that must stay free before another paid call: one answer of each worker and their transaction.
LEAST_FREE = 32 * 1024 * 1024
#: Bytes given back when the disk is full, so that answers on their way can still be written.
BALLAST_SIZE = 8 * 1024 * 1024
#: Error numbers of file systems that cannot reserve bytes without writing them.
CANNOT_RESERVE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
#: Logs that stay open between two answers: a process may open about a thousand files, and lives for many batches.
MOST_OPEN = 32
#: Prefix of the folders of other accounts, which lie beside the folders of the main account's batches.
ACCOUNT_PREFIX = "account-"
MARK = b"hammer-checkpoint"
HEADER = re.compile(rb"\n%s (\d{1,18}) (\d{1,18}) (\d{1,18}) ([0-9a-f]{64})\n" % MARK)
DISK_FULL = f"Nothing is sent, because the disk is almost full: free at least {LEAST_FREE // 2**20} MB."
READ_ONLY = "Nothing is sent, because the data folder cannot be written: make its disk writable again."


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """One record of an answers.log."""

    chunk_id: int  #: 0 where the record's first line is damaged
    attempt: int
    raw: bytes | None  #: the answer's whole body; None where it is damaged


@dataclass(slots=True)
class _Log:
    """One open answers.log; appends are one write() each, and an fsync covers all that was appended before it."""

    descriptor: int
    appending: threading.Lock = field(default_factory=threading.Lock)
    syncing: threading.Lock = field(default_factory=threading.Lock)
    appended: int = 0
    synced: int = 0
    users: int = 0  #: answers that are being written to it; changed under the lock of all logs

    def add(self, record: bytes) -> None:
        """Append a record, and return when it is on disk. Raises OSError."""
        with self.appending:
            written = os.write(self.descriptor, record)
            while written < len(record):
                written += os.write(self.descriptor, record[written:])
            self.appended += 1
            mine = self.appended
        with self.syncing:
            if self.synced >= mine:
                return  # the fsync of another answer covered this record
            covered = self.appended
            os.fsync(self.descriptor)
            self.synced = covered


class Checkpoints:
    """The checkpoint folder of one data directory. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: There while the database beside it is one that was moved to a server, which keeps no answers here.
        self.moved = folder / "moved"
        self._ballast = folder / "ballast"
        self._newest_call = folder / "newest-call"
        self._noted = 0  #: the attempt in it, as this process knows
        self._logs: dict[int, _Log] = {}
        self._opening = threading.Lock()
        _make_folder(folder)

    def keep(self, chunk: Chunk, raw: bytes) -> None:
        """Put the raw answer of this chunk's newest attempt on disk. Raises OSError."""
        digest = hashlib.sha256(raw).hexdigest().encode()
        header = b"%s %d %d %d %s\n" % (MARK, chunk.chunk_id, chunk.attempt, len(raw), digest)
        log = self._borrow(chunk.batch_id)
        try:
            log.add(b"\n" + header + raw)
        finally:
            with self._opening:
                log.users -= 1

    def answer_of(self, chunk: Chunk) -> bytes | None:
        """Return the kept answer of this chunk's newest attempt; None when it is missing or damaged."""
        try:
            content = self._path(chunk.batch_id).read_bytes()
        except OSError:
            return None
        start = content.find(b"\n%s %d %d " % (MARK, chunk.chunk_id, chunk.attempt))
        if start < 0:
            return None
        header, _, rest = content[start + 1 :].partition(b"\n")
        try:
            _, _, _, length, digest = header.split(b" ")
            raw = rest[: int(length)]
        except ValueError:
            return None
        whole = len(raw) == int(length) and digest.decode("ascii", "replace") == hashlib.sha256(raw).hexdigest()
        return raw if whole else None

    def answers(self, batch_id: int) -> Iterator[KeptAnswer]:
        """Yield every record of a batch, oldest first; each damaged one once, without its answer. Raises OSError."""
        path = self._path(batch_id)
        if not path.is_file() or not path.stat().st_size:
            return
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            end, is_damaged = 0, False  # of the last record: bytes after a damaged one belong to it
            while (found := HEADER.search(content, end)) is not None:
                if found.start() > end and not is_damaged:
                    yield KeptAnswer(0, 0, None)
                raw = content[found.end() : found.end() + int(found[3])]
                is_damaged = hashlib.sha256(raw).hexdigest().encode() != found[4]
                yield KeptAnswer(int(found[1]), int(found[2]), None if is_damaged else raw)
                end = found.end() if is_damaged else found.end() + len(raw)
            if end < len(content) and not is_damaged:
                yield KeptAnswer(0, 0, None)

    def batches(self) -> list[int]:
        """Return the ids of the batches of which answers are kept."""
        return [int(path.parent.name) for path in self.folder.glob("*/answers.log") if path.parent.name.isdecimal()]

    def of_account(self, account: str) -> "Checkpoints":
        """Return the checkpoints of an account. These are those of the main account; their folder holds the others."""
        return self if account == MAIN_ACCOUNT else Checkpoints(self.folder / f"{ACCOUNT_PREFIX}{account}")

    def of_accounts(self) -> dict[str, "Checkpoints"]:
        """Return account → its checkpoints, for the other accounts of which answers are kept."""
        folders = [path for path in self.folder.glob(f"{ACCOUNT_PREFIX}*") if path.is_dir()]
        names = [path.name.removeprefix(ACCOUNT_PREFIX) for path in folders]
        return {name: self.of_account(name) for name in sorted(names)}

    def newest_attempts(self, batch_id: int) -> dict[int, int]:
        """Return chunk id → the newest attempt of which an answer is kept, of one batch."""
        try:
            with self._path(batch_id).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                kept = [(int(found[1]), int(found[2])) for found in HEADER.finditer(content)]
        except (OSError, ValueError):  # the file is missing or empty
            return {}
        return dict(sorted(kept))

    def note_call(self, attempt_id: int) -> None:
        """Note the newest attempt that is about to be sent: an older database shows by it, also without any answer.

        It is not forced to the disk: a database that is put back finds what the system keeps in memory, too. Raises
        OSError.
        """
        self._noted = self._noted or self.newest_call()
        if attempt_id <= self._noted:
            return
        descriptor = os.open(self._newest_call, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, b"%020d\n" % attempt_id, 0)  # of one length: no kill leaves half of a number
        finally:
            os.close(descriptor)
        self._noted = attempt_id

    def newest_call(self) -> int:
        """Return the newest attempt that was noted; 0 where there is none, or it cannot be read."""
        try:
            return int(self._newest_call.read_bytes())
        except (OSError, ValueError):
            return 0

    def close(self) -> None:
        """Close the files of this process; the next answer opens its own again."""
        with self._opening:
            for log in self._logs.values():
                os.close(log.descriptor)
            self._logs.clear()

    def write_progress(self, batch_id: int, completed: int, total: int, successful: int) -> None:
        """Write progress.json of a batch: chunks done, chunks in all, orders placed. Raises OSError."""
        path = self._batch_folder(batch_id) / "progress.json"
        temporary = path.with_suffix(".tmp")
        report = {
            "batch_id": batch_id,
            "completed_batches": completed,
            "total_batches": total,
            "successful_orders": successful,
        }
        text = json.dumps(report).encode()
        _write_durably(temporary, lambda file: file.write(text))  # a disk may keep the new name before the bytes
        temporary.replace(path)

    def has_space(self) -> bool:
        """Return whether the disk has room for another round of answers; write the ballast while it has."""
        try:
            if shutil.disk_usage(self.folder).free < LEAST_FREE:
                return False
            if not self._ballast.exists():
                _write_durably(self._ballast, _take_up)
        except OSError as error:
            logger.error("The data folder cannot be written: %s", error.strerror)
            return False
        return True

    def drop_ballast(self) -> None:
        """Remove the ballast, so that its bytes are free."""
        self._ballast.unlink(missing_ok=True)

    def _borrow(self, batch_id: int) -> _Log:
        """Return the log of a batch, opened if necessary; it stays open while it has users."""
        with self._opening:
            if batch_id not in self._logs:
                self._close_unused()
                folder = self._batch_folder(batch_id)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._logs[batch_id] = _Log(os.open(self._path(batch_id), flags, 0o600))
                _sync_folder(folder)
            log = self._logs[batch_id] = self._logs.pop(batch_id)  # to the end: used last
            log.users += 1
            return log

    def _close_unused(self) -> None:
        """Close logs without users until one more may be open, the least recently used first."""
        idle = [batch_id for batch_id, log in self._logs.items() if not log.users]
        for batch_id in idle[: max(0, len(self._logs) + 1 - MOST_OPEN)]:
            os.close(self._logs.pop(batch_id).descriptor)

    def _batch_folder(self, batch_id: int) -> Path:
        folder = self.folder / str(batch_id)
        _make_folder(folder)
        return folder

    def _path(self, batch_id: int) -> Path:
        return self.folder / str(batch_id) / "answers.log"


def disk_objection(folder: Path) -> str:
    """Return why nothing can be sent with this folder, in a sentence; "" when it can be used."""
    if not os.access(folder, os.W_OK):
        return READ_ONLY
    return DISK_FULL if shutil.disk_usage(folder).free < LEAST_FREE else ""


def is_disk_full(error: OSError) -> bool:
    """Return whether an error means that the disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write_durably(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    with path.open("wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


def _take_up(file: BinaryIO) -> None:
    """Reserve the ballast's bytes without writing them, which would delay the first calls."""
    try:
        os.posix_fallocate(file.fileno(), 0, BALLAST_SIZE)
    except OSError as error:
        if error.errno not in CANNOT_RESERVE:
            raise
        file.write(bytes(BALLAST_SIZE))


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, and return when their names are on disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
