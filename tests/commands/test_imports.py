"""`flask import` and `flask undo-import`: what they say that they would do, and do."""

from datetime import datetime
from pathlib import Path

from command_line import imeis
from flask import Flask

from database import IMEIDatabase


def test_an_import_says_what_it_would_do_and_does_it(app: Flask, database: IMEIDatabase, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text(f"SERVICE,IMEI NO.,STATUS,ORDER DATE\nA,{imeis(1)[0]},Completed,2025-11-14 3:33:00\nA,x,Pending,\n")
    runner = app.test_cli_runner()
    dry = runner.invoke(args=["import", str(file), "--dry-run"])
    assert "row 3: 'x' is not an IMEI." in dry.output
    assert "Nothing was written: 1 new, 0 updated, 0 unchanged, 1 not understood." in dry.output
    assert database.count_orders() == 0
    assert "Import 1: 1 new" in runner.invoke(args=["import", str(file)]).output
    assert "1 order restored" in runner.invoke(args=["undo-import", "1"]).output
    assert runner.invoke(args=["undo-import", "1"]).exit_code == 2
    file.write_text("colour\nblack\n")
    assert runner.invoke(args=["import", str(file)]).exit_code == 2


def test_an_import_names_the_rows_that_it_could_not_match(app: Flask, database: IMEIDatabase, tmp_path: Path) -> None:
    [imei] = imeis(1)
    order = {"order_id": "1", "imei": imei, "service_name": "A", "order_date": datetime(2025, 11, 14, 8, 33)}
    database.insert_order({**order, "status": "Completed"})
    file = tmp_path / "export.csv"
    line = f"A,{imei},Completed,2025-11-14"
    file.write_text(f"SERVICE,IMEI NO.,STATUS,ORDER DATE\n{line} 3:33:00\n{line} 2:33:00\n")
    for args in (["--dry-run"], []):
        said = app.test_cli_runner().invoke(args=["import", str(file), *args]).output
        assert "row 3: not matched: Our orders of this IMEI and service" in said
        assert "0 new, 0 updated, 1 unchanged, 0 not understood, 1 not matched; 1 found by IMEI" in said
    assert database.count_orders() == 1
