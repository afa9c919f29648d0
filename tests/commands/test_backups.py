"""`flask backup` and `flask restore` as people run them: what is printed and asked, and a kill in the middle."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from forked_command import run_forked
from gunicorn_server import ROOT, environ_of
from order_tables import ORDER

from commands.backups import works_on_the_file
from database import IMEIDatabase
from settings import Settings, load_settings
from storage.backups import backup_state


@pytest.fixture
def demo(data_dir: Path) -> Settings:
    """The settings of the demo as a command reads them."""
    return load_settings({"DATA_DIR": str(data_dir)})


@pytest.fixture
def backup(demo: Settings) -> Path:
    """A backup with one order, of a database that has two."""
    with IMEIDatabase(demo.database_path) as database:
        database.insert_order(ORDER)
        path = database.backup()
        database.insert_order({**ORDER, "order_id": "2"})
    return path


def run_started(data_dir: Path, *arguments: str, given: str = "") -> tuple[int, str]:
    """Run the command as people do; run_forked is quicker."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env=environ_of(data_dir) | {"FLASK_APP": "web_app"},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def die_in(function: str, number: int) -> None:
    """Kill this process when it calls a function of `os` after that number of other calls."""
    real, left = getattr(os, function), [number]

    def dying(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(os, function, dying)


def orders_in(demo: Settings) -> int:
    with IMEIDatabase(demo.database_path) as database:
        return database.count_orders()


def test_a_backup_is_written_and_its_path_is_printed(app: Flask, database: IMEIDatabase, tmp_path: Path) -> None:
    done = app.test_cli_runner().invoke(args=["backup"])
    (copy,) = database.backup_folder.glob("*.db")
    assert (done.exit_code, done.output) == (0, f"{copy}\n")
    assert backup_state(database).last is not None
    done = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "mine")])
    assert Path(done.output.strip()).parent == tmp_path / "mine"


def test_a_failure_ends_with_its_reason(app: Flask, database: IMEIDatabase) -> None:
    database.backup_folder.write_text("not a folder")
    done = app.test_cli_runner().invoke(args=["backup"])
    assert done.exit_code == 1
    assert "No backup was written: File exists." in done.output


def test_it_is_refused_while_a_process_has_the_database_open(data_dir: Path, demo: Settings, backup: Path) -> None:
    with IMEIDatabase(demo.database_path):
        code, output = run_forked(data_dir, "restore", str(backup), "--yes")
    assert code == 1
    assert "Nothing was restored. The app, or a command, has the database open: stop it first." in output
    assert orders_in(demo) == 2


def test_it_asks_says_what_it_did_and_keeps_what_it_replaced(data_dir: Path, demo: Settings, backup: Path) -> None:
    code, output = run_forked(data_dir, "restore", str(backup), given="n\n")
    assert (code, orders_in(demo)) == (1, 2)
    assert f"Put it in the place of {demo.database_path}?" in output
    code, output = run_started(data_dir, "restore", str(backup), given="y\n")
    assert code == 0, output
    (kept,) = (data_dir / "demo" / "replaced").glob("*.db")
    for words in ("Restored 1 order in 0 batches.", str(kept), "Every session is ended", "rebuild-from-provider"):
        assert words in output
    assert orders_in(demo) == 1


def test_a_damaged_database_is_named_by_every_command_and_can_be_restored(
    data_dir: Path, demo: Settings, backup: Path
) -> None:
    demo.database_path.write_bytes(b"damaged" * 1000)
    code, output = run_forked(data_dir, "services")
    assert code == 1
    assert "Put a backup in its place with `flask restore FILE`." in output
    assert "Traceback" not in output
    assert run_forked(data_dir, "--app", "web_app", "restore", str(backup), "--yes")[0] == 0
    assert orders_in(demo) == 1


@pytest.mark.parametrize(("function", "number"), [("link", 0), ("chmod", 1), ("replace", 0), ("rmdir", 0)])
def test_a_kill_leaves_the_old_or_the_new_database(
    data_dir: Path, demo: Settings, backup: Path, function: str, number: int
) -> None:
    before = partial(die_in, function, number)
    code, output = run_forked(data_dir, "restore", str(backup), "--yes", before=before)
    assert code == -signal.SIGKILL, output
    assert orders_in(demo) in (1, 2)
    assert run_forked(data_dir, "restore", str(backup), "--yes")[0] == 0
    assert orders_in(demo) == 1
    assert not (demo.data_dir / "restoring").exists()


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("/venv/bin/flask restore a.db", True),
        ("/lib/flask/__main__.py --app web_app -e .env restore a.db", True),
        ("/venv/bin/flask move-to-postgres --yes", True),
        ("/venv/bin/flask submit restore", False),
        ("/venv/bin/flask --app restore services", False),
        ("/venv/bin/gunicorn restore", False),
        ("/venv/bin/flask", False),
    ],
)
def test_a_command_line_asks_for_a_command_that_opens_the_database_or_not(line: str, asks: bool) -> None:
    assert works_on_the_file(line.split()) is asks
