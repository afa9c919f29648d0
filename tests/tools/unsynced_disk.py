"""A disk that loses, when the power fails, every byte and every name that was not synced before."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

Inode = tuple[int, int]
STEPS = ("mkdir", "open", "write", "fsync", "replace")


class PowerLossError(Exception):
    """The power failed before this call reached the disk."""


class UnsyncedDisk:
    """Records os.fsync below a folder while it is entered, and shows what a loss of power would leave.

    The folder itself is safe; of what is in it only the bytes that a file had, and the names that a folder had, at
    their last fsync. Of names a disk may keep more than that: whole=True shows all of them.
    """

    def __init__(self, root: Path, fails_at: int | None = None) -> None:
        """The power fails at the call of this number in STEPS; None: never."""
        self.root = root
        self.fails_at = fails_at
        self.steps: list[str] = []
        self._bytes: dict[Inode, bytes] = {}
        self._names: dict[Inode, dict[str, Inode]] = {}
        self._held: list[int] = []  #: so that no number of an inode is used twice
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in STEPS}

    def __enter__(self) -> "UnsyncedDisk":
        for name in STEPS:
            setattr(os, name, self._watched(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        for descriptor in self._held:
            os.close(descriptor)

    def _stop(self) -> None:
        for name, call in self._real.items():
            setattr(os, name, call)

    def _watched(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(self.steps) == self.fails_at:
                raise PowerLossError(name)
            self.steps.append(name)
            if name == "fsync":
                self._note(arguments[0])
            return self._real[name](*arguments, **options)

        return call

    def _note(self, descriptor: int) -> None:
        """Record the content of a file or folder when its sync begins."""
        self._held.append(os.dup(descriptor))
        status = os.fstat(descriptor)
        inode = (status.st_dev, status.st_ino)
        path = Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(status.st_mode):
            self._names[inode] = names_in(path)
        else:
            self._bytes[inode] = path.read_bytes()

    def leave(self, target: Path, whole: bool = False) -> Path:
        """Write to target what a loss of power would leave now, and stop recording. Return target."""
        self._stop()
        self._leave(self.root, target, whole)
        return target

    def _leave(self, folder: Path, target: Path, whole: bool) -> None:
        status = folder.stat()
        target.mkdir()
        now = names_in(folder)
        names = now if whole else self._names.get((status.st_dev, status.st_ino), {})
        for name, inode in names.items():
            if (folder / name).is_dir():
                self._leave(folder / name, target / name, whole)
            else:
                (target / name).write_bytes(self._bytes.get(inode, b""))


def names_in(folder: Path) -> dict[str, Inode]:
    """Return each name in a folder with its inode."""
    return {path.name: (path.stat().st_dev, path.stat().st_ino) for path in folder.iterdir()}
