"""Checkpoint files: the provider's answer is on disk before anything else happens to it.

checkpoints/<batch>/<chunk>-<attempt>.xml holds a line with length and SHA-256, then the raw answer;
progress.json beside them is for people. This module must not know XML, SQL or HTTP.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

from orders import Chunk

logger = logging.getLogger(__name__)

#: Bytes that must stay free before another paid call: one answer of each worker and their transaction.
LEAST_FREE = 32 * 1024 * 1024
#: Bytes given back when the disk is full, so that answers on their way can still be written.
BALLAST_SIZE = 8 * 1024 * 1024
MARK = b"hammer-checkpoint"


class Checkpoints:
    """The checkpoint folder of one data directory. Thread-safe: each call writes a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, chunk: Chunk, raw: bytes) -> None:
        """Write the raw answer of this chunk's newest attempt and fsync it. Raises OSError."""
        folder = self._batch_folder(chunk.batch_id)
        header = b"%s %d %s\n" % (MARK, len(raw), hashlib.sha256(raw).hexdigest().encode())
        _write_durably(self._path(chunk), header + raw)
        _sync_folder(folder)

    def answer_of(self, chunk: Chunk) -> bytes | None:
        """The kept answer of this chunk's newest attempt; None when there is none or it is damaged."""
        try:
            header, raw = self._path(chunk).read_bytes().split(b"\n", 1)
            mark, length, digest = header.split(b" ")
        except (OSError, ValueError):
            return None
        expected = hashlib.sha256(raw).hexdigest().encode()
        return raw if (mark, length, digest) == (MARK, str(len(raw)).encode(), expected) else None

    def write_progress(self, batch_id: int, completed: int, total: int, successful: int) -> None:
        """Write progress.json of a batch: chunks done, chunks in all, orders placed. Raises OSError."""
        path = self._batch_folder(batch_id) / "progress.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(
            json.dumps(
                {
                    "batch_id": batch_id,
                    "completed_batches": completed,
                    "total_batches": total,
                    "successful_orders": successful,
                }
            )
        )
        temporary.replace(path)

    def has_space(self) -> bool:
        """Whether the disk can take the answers of another round of calls; lays ballast while it can."""
        try:
            if shutil.disk_usage(self.folder).free < LEAST_FREE:
                return False
            if not self._ballast.exists():
                _write_durably(self._ballast, bytes(BALLAST_SIZE))
        except OSError as error:
            logger.error("The data folder cannot be written: %s", error.strerror)
            return False
        return True

    def drop_ballast(self) -> None:
        """Give the ballast's bytes back to the disk."""
        self._ballast.unlink(missing_ok=True)

    def _batch_folder(self, batch_id: int) -> Path:
        folder = self.folder / str(batch_id)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(self.folder)
        return folder

    def _path(self, chunk: Chunk) -> Path:
        return self.folder / str(chunk.batch_id) / f"{chunk.chunk_id}-{chunk.attempt}.xml"


def is_disk_full(error: OSError) -> bool:
    """Whether an error means that no bytes are left to write to."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
