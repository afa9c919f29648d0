"""`flask move-to-postgres` as people run it: the question, refusals, what is printed, and kills in the middle."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from forked_command import run_forked
from moved_data import rows_of, stored, used_file_fixture

from database import IMEIDatabase
from results import moving
from settings import Settings, load_settings
from storage import database_copy, move_marks

__all__ = ["used_file_fixture"]
MOVE = "move-to-postgres"
#: Tables in which a move leaves something of its own.
OWN = ("settings", "leases", "audit_entries")


@pytest.fixture
def demo(data_dir: Path, used_file: Path) -> Settings:
    """The settings of the demo as a command reads them, with a file that was at work."""
    found = load_settings({"DATA_DIR": str(data_dir)})
    shutil.copyfile(used_file, found.database_path)
    return found


def die_at(point: str) -> None:
    """Kill this process there."""
    patch = pytest.MonkeyPatch()
    if point == "a table":
        patch.setattr(database_copy, "_set_sequence", die_on_second_call(database_copy._set_sequence))
    elif point == "the comparison":
        patch.setattr(moving, "check_copy", die)
    else:  # the file has committed, the server not
        leave = move_marks.leave

        def leave_and_die(*given: Any) -> None:
            leave(*given)
            patch.setattr(psycopg.Connection, "commit", die)

        patch.setattr(move_marks, "leave", leave_and_die)


def die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def die_on_second_call(real: Any) -> Any:
    calls: list[object] = []

    def dying(*given: Any) -> Any:
        calls.append(given)
        return die() if len(calls) > 1 else real(*given)

    return dying


def tables_of(address: str) -> list[str]:
    """The tables with rows, without those that an empty database has."""
    with IMEIDatabase(address) as database, database.read() as connection:
        return [*rows_of(connection, "rule_versions", "totals_mark", "audit_entries")]


def test_it_asks_moves_and_says_what_is_equal_and_the_file_is_used_no_more(
    data_dir: Path, demo: Settings, server_url: str
) -> None:
    there = stored(demo.database_path)
    assert (there.orders > 90, there.cost > 7, there.items) == (True, True, 120)
    code, output = run_forked(data_dir, MOVE, server_url, given="n\n")
    assert (code, tables_of(server_url)) == (1, [])
    assert "Move it?" in output
    assert "Nothing was moved. Both databases are as they were." in output
    code, output = run_forked(data_dir, MOVE, server_url, given="y\n")
    assert code == 0, output
    moved = f"Moved {there.orders} orders for ${there.cost:.2f}"
    for words in ("items 120", moved, "the audit log of 20 entries", "Set DATABASE_URL"):
        assert words in output
    code, output = run_forked(data_dir, "services")
    assert code == 1
    assert f"HAMMER-API cannot start. The database {demo.database_path} was moved to 127.0.0.1" in output
    code, output = run_forked(data_dir, MOVE, server_url)
    assert code == 0
    assert "Nothing is left to do." in output


@pytest.mark.parametrize("point", ["a table", "the comparison", "the two commits"])
def test_a_kill_leaves_nothing_on_the_server_and_the_next_run_moves_all(
    data_dir: Path, demo: Settings, server_url: str, point: str
) -> None:
    code, output = run_forked(data_dir, MOVE, server_url, "--yes", before=partial(die_at, point))
    assert code == -signal.SIGKILL, output
    assert tables_of(server_url) == []
    with IMEIDatabase(demo.database_path, even_if_moved=True) as database, database.read() as connection:
        assert (move_marks.read_move(connection) is not None) == (point == "the two commits")
        ours = rows_of(connection, *OWN)
    code, output = run_forked(data_dir, MOVE, server_url, "--yes")
    assert code == 0, output
    with IMEIDatabase(server_url) as database, database.read() as connection:
        assert rows_of(connection, *OWN) == ours


def test_a_move_that_cannot_be_noted_beside_the_file_is_not_said_to_be_none(
    data_dir: Path, demo: Settings, server_url: str
) -> None:
    mark = demo.database_path.parent / "checkpoints" / "moved"
    mark.parent.mkdir(exist_ok=True)
    mark.symlink_to(data_dir / "not there" / "moved")
    for _ in range(2):
        code, output = run_forked(data_dir, MOVE, server_url, "--yes")
        assert (code, "Nothing was moved" in output) == (1, False)
        assert "All was moved, but this cannot be noted beside the file: No such file or directory. Run the" in output
    with IMEIDatabase(demo.database_path, even_if_moved=True) as database, database.read() as connection:
        assert move_marks.was_completed(connection)
    mark.unlink()
    code, output = run_forked(data_dir, MOVE, server_url)
    assert (code, "Nothing is left to do." in output, mark.exists()) == (0, True, True)


def test_it_is_refused_while_a_process_has_the_file_open(data_dir: Path, demo: Settings, server_url: str) -> None:
    with IMEIDatabase(demo.database_path):
        code, output = run_forked(data_dir, MOVE, server_url, "--yes")
    assert (code, tables_of(server_url)) == (1, [])
    assert "Nothing was moved. The app, or a command, has the database open: stop it first." in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give the address of a database of PostgreSQL, or set DATABASE_URL."),
        (["imei_orders.db"], "must look like postgresql://user:password@host/name"),
        (["postgresql://hammer@127.0.0.1:1/none"], "The move did not end. The database server cannot be reached."),
    ],
)
def test_an_address_without_a_database_is_refused(
    data_dir: Path, demo: Settings, arguments: list[str], words: str
) -> None:
    code, output = run_forked(data_dir, MOVE, "--yes", *arguments)
    assert code == 1
    assert words in output
    assert "Traceback" not in output
    assert IMEIDatabase(demo.database_path).count_orders() == stored(demo.database_path).orders


def test_data_on_the_server_is_named_and_deleted_only_on_demand(
    data_dir: Path, demo: Settings, server_url: str
) -> None:
    with IMEIDatabase(server_url) as database:
        database.insert_order({"order_id": "x", "imei": "353000000000003"})
    code, output = run_forked(data_dir, MOVE, server_url, "--yes")
    assert code == 1
    assert "holds orders 1. Add --replace to delete them." in output
    code, output = run_forked(data_dir, MOVE, server_url, "--yes", "--replace")
    assert code == 0, output
    assert "will be deleted: orders 1." in output


def test_a_move_back_needs_a_rebuild_and_stops_the_server(data_dir: Path, demo: Settings, server_url: str) -> None:
    before = stored(demo.database_path)
    assert run_forked(data_dir, MOVE, server_url, "--yes")[0] == 0
    code, output = run_forked(data_dir, MOVE, server_url, "--undo", "--yes")
    assert code == 0, output
    assert "flask rebuild-from-provider" in output
    with IMEIDatabase(demo.database_path) as database:
        assert database.count_orders() == before.orders > 90
    code, output = run_forked(data_dir, MOVE, server_url, "--yes")
    assert code == 1
