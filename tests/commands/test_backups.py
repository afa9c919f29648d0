"""`flask backup`: the path of the copy on standard output, in the program's folder or another one."""

from pathlib import Path

from flask import Flask

from database import IMEIDatabase
from storage.backups import backup_state


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
