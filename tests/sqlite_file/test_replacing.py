"""One database in the place of another: what was there is kept, and a kill at any moment leaves the old or the new."""

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sqlite_file import InUseError, replace
from sqlite_file.library import dbapi

NOW = datetime(2026, 3, 12, 9, 30)
ROOT = Path(__file__).parents[2]
#: What replace() does to files, each of which may be the last thing before a kill.
STEPS = ("os.fsync", "os.link", "os.chmod", "os.unlink", "os.replace")
KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from sqlite_file import replace

path, new, kept, step, number = *map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5])
name = step.removeprefix("os.")
real, left = getattr(os, name), [number]

def dying(*args, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)

setattr(os, name, dying)
replace(path, new, kept, datetime(2026, 3, 12, 9, 30))
"""


def make(path: Path, word: str) -> Path:
    """Write a database with one word, whose newest row is in the WAL only, as after a kill of the app."""
    with dbapi.connect(str(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.commit()
        connection.execute("INSERT INTO words VALUES (?)", (word,))
        connection.commit()
        for name in (path.name, f"{path.name}-wal"):
            (path.parent / f"{name}.left").write_bytes((path.parent / name).read_bytes())
    connection.close()
    for name in (path.name, f"{path.name}-wal"):
        (path.parent / f"{name}.left").replace(path.parent / name)
    return path


def make_new(path: Path, word: str) -> Path:
    with dbapi.connect(str(path)) as connection:
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.execute("INSERT INTO words VALUES (?)", (word,))
    connection.close()
    return path


def word_in(path: Path) -> str:
    connection: Any = dbapi.connect(str(path))
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return str(connection.execute("SELECT word FROM words").fetchone()[0])
    finally:
        connection.close()


def test_the_new_file_is_in_place_and_the_old_one_is_kept_with_all_its_rows(tmp_path: Path) -> None:
    path, new = make(tmp_path / "imei_orders.db", "old"), make_new(tmp_path / "new.db", "new")
    (aside,) = replace(path, new, tmp_path / "replaced", NOW)
    assert aside.name == "imei_orders-20260312T093000-000000Z.db"
    assert (word_in(path), word_in(aside)) == ("new", "old")
    assert not new.exists()
    assert oct(aside.stat().st_mode & 0o777) == "0o600"


def test_a_damaged_file_is_kept_with_its_journal_and_leaves_none_to_the_new_one(tmp_path: Path) -> None:
    path, new = make(tmp_path / "imei_orders.db", "old"), make_new(tmp_path / "new.db", "new")
    journal = path.with_name(f"{path.name}-wal")
    path.write_bytes(b"no database" * 1000)
    content = b"no journal" * 1000
    journal.write_bytes(content)
    aside = replace(path, new, tmp_path / "replaced", NOW)
    assert [one.read_bytes() for one in aside] == [b"no database" * 1000, content]
    assert word_in(path) == "new"


def test_where_nothing_is_left_the_new_file_is_put_there(tmp_path: Path) -> None:
    path = tmp_path / "imei_orders.db"
    assert replace(path, make_new(tmp_path / "new.db", "new"), tmp_path / "replaced", NOW) == []
    assert word_in(path) == "new"


def test_a_disk_without_hard_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    path, new = make(tmp_path / "imei_orders.db", "old"), make_new(tmp_path / "new.db", "new")
    (aside,) = replace(path, new, tmp_path / "replaced", NOW)
    assert (word_in(path), word_in(aside)) == ("new", "old")


def test_a_program_that_does_not_share_our_lock_is_found(tmp_path: Path) -> None:
    path, new = make(tmp_path / "imei_orders.db", "old"), make_new(tmp_path / "new.db", "new")
    shell = sqlite3.connect(path) if dbapi is sqlite3 else dbapi.connect(str(path))
    shell.execute("SELECT * FROM words").fetchall()
    with pytest.raises(InUseError):
        replace(path, new, tmp_path / "replaced", NOW)
    shell.close()
    assert word_in(path) == "old"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(3))
def test_a_kill_leaves_the_old_or_the_new_file_and_never_none(tmp_path: Path, step: str, number: int) -> None:
    path, new = make(tmp_path / "imei_orders.db", "old"), make_new(tmp_path / "new.db", "new")
    arguments = [str(path), str(new), str(tmp_path / "replaced"), step, str(number)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert word_in(path) == ("old" if new.exists() else "new")
    kept = list((tmp_path / "replaced").glob("*.db"))
    assert [word_in(one) for one in kept] in ([], ["old"])
    assert kept or new.exists()
