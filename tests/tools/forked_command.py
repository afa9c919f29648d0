"""`flask …` in a process that is forked from one that has imported the program, which saves the second of a start."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import flask.cli
from gunicorn_server import environ_of
from planted_kills import context, start_fork_server

PATIENCE = 60.0  #: seconds; only a failure takes that long


def run_forked(
    data_dir: Path, *arguments: str, given: str = "", before: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Run the command on this data folder with this input; return its exit code and all that it printed.

    before: a function of a module that is called in the process first.
    """
    start_fork_server()
    asked, said = data_dir.with_name("given"), data_dir.with_name("said")
    asked.write_text(given)
    process = context.Process(target=_work, args=(arguments, environ_of(data_dir), asked, said, before), daemon=True)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None, said.read_text()
    return process.exitcode, said.read_text()


def _work(
    arguments: tuple[str, ...], environ: dict[str, str], asked: Path, said: Path, before: Callable[[], None] | None
) -> None:
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    os.environ.clear()
    os.environ.update(environ, FLASK_APP="web_app")
    sys.argv = ["flask", *arguments]
    with asked.open() as sys.stdin:
        if before:
            before()
        flask.cli.main()
