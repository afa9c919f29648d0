"""Words of the command line that are no UTF-8: as a list of files of an old system has them."""

import os
from pathlib import Path

import click
import pytest
from flask import Flask
from web_client import Browser, answer_chunks

from commands.arguments import make_readable, readable
from database import IMEIDatabase
from imei import luhn_check_digit
from storage.batch_queries import progress

ODD = os.fsdecode(b"st\xfcck.csv")
IMEIS = [body + luhn_check_digit(body) for body in ("35337008000001", "35337008000002")]


def test_a_surrogate_is_replaced_and_every_other_sign_stays() -> None:
    assert readable(ODD) == "st\ufffdck.csv"
    assert readable("\ud800ü📱\0\n") == "\ufffdü📱\0\n"


def test_every_text_of_commands_and_of_groups_is_readable() -> None:
    seen = list[str]()

    @click.group()
    def group() -> None: ...

    @group.command()
    @click.argument("name")
    @click.option("--note", default="none")
    @click.option("--count", type=int, default=1)
    def inner(name: str, note: str, count: int) -> None:
        seen.extend([name, note, str(count)])

    make_readable(group)
    group.main(["inner", ODD, "--count", "2"], standalone_mode=False)
    assert seen == ["st\ufffdck.csv", "none", "2"]


@pytest.fixture(name="stock")
def stock_fixture(tmp_path: Path) -> Path:
    path = tmp_path / ODD
    path.write_text("\n".join(["IMEI", *IMEIS]), encoding="utf-8")
    return path


def test_a_file_is_imported_whatever_bytes_its_name_has(app: Flask, database: IMEIDatabase, tmp_path: Path) -> None:
    path = tmp_path / ODD
    path.write_text(f"Order ID,IMEI,Status,Service\n15000001,{IMEIS[0]},Pending,T-Mobile\n", encoding="utf-8")
    result = app.test_cli_runner().invoke(args=["import", str(path)])
    assert result.exit_code == 0, result.output
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT filename FROM import_history").scalar() == "st\ufffdck.csv"
        assert "st ck.csv" in str(connection.exec_driver_sql("SELECT detail FROM audit_entries").all())


def test_the_results_of_a_batch_are_found_by_such_a_name(
    app: Flask, browser: Browser, database: IMEIDatabase, tmp_path: Path, stock: Path
) -> None:
    browser.confirm(browser.upload(stock.read_bytes(), readable(ODD)).location)
    answer_chunks(database)
    found = progress(database, 1)
    assert found is not None and found.label == "st\ufffdck.csv"
    out = tmp_path / os.fsdecode(b"b\xe4ck.csv")
    result = app.test_cli_runner().invoke(args=["results", str(stock), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").startswith("IMEI,Verdict")


def test_a_backup_into_a_folder_that_sqlite_cannot_name_is_refused_in_a_sentence(app: Flask, tmp_path: Path) -> None:
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / os.fsdecode(b"b\xe4ckups"))])
    assert result.exit_code == 1
    assert result.stderr == "Error: No backup was written: the name of the folder is no UTF-8.\n"
