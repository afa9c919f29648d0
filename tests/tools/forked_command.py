"""`flask …` in a process that is forked from one that has imported the program, which saves the second of a start."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import flask.cli
from gunicorn_server import environ_of
from planted_kills import context, start_fork_server

import settings

PATIENCE = 120.0  #: seconds; only a failure takes that long


def short_waits() -> None:
    """Allow short waits for the provider.

    From its environment the program takes a SETTLE_QUIET of half a minute at least, and a GSM_FUSION_TIMEOUT of a
    minute; tests of whole processes cannot wait that long.
    """
    settings.SHORTEST_QUIET = settings.SHORTEST_TIMEOUT = 0.0


class ForkedCommand:
    """A command under way. What it reads and writes is in files in folder.

    before: a function of a module that is called in the process first.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *arguments: str,
        given: str = "",
        before: Callable[[], None] | None = None,
    ) -> None:
        start_fork_server()
        self.files = [folder / name for name in ("given", "said", "complaint")]
        self.files[0].write_text(given)
        job = (arguments, dict(environ), self.files, before)
        self.process = context.Process(target=_work, args=job, daemon=True)
        self.process.start()

    def finish(self, patience: float = PATIENCE) -> tuple[int, str, str]:
        """Wait for its end; return its exit code, and what it wrote to standard output and to standard error."""
        self.process.join(patience)
        said, complaint = (path.read_text() for path in self.files[1:])
        assert self.process.exitcode is not None, complaint
        return self.process.exitcode, said, complaint


def run_forked(
    data_dir: Path, *arguments: str, given: str = "", before: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Run the command on the demo in this data folder with this input; return its exit code and all that it wrote."""
    command = ForkedCommand(data_dir.parent, environ_of(data_dir), *arguments, given=given, before=before)
    code, said, complaint = command.finish()
    return code, said + complaint


def _work(
    arguments: tuple[str, ...], environ: dict[str, str], files: list[Path], before: Callable[[], None] | None
) -> None:
    for number, path in enumerate(files[1:], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(environ, FLASK_APP="web_app")
    sys.argv = ["flask", *arguments]
    with files[0].open() as sys.stdin:
        if before:
            before()
        flask.cli.main()
