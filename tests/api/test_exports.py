"""Files of the history: begun, asked for, downloaded."""

import csv
import io
import time
from dataclasses import replace
from typing import Any

import openpyxl
import pytest
from api_client import ApiClient, problem
from flask import Flask
from web_scenes import ordered

from access import create_token
from api import exports
from database import IMEIDatabase
from people import Role, Scope
from storage.token_store import NewToken
from web import export_or_404


def finished(api: ApiClient, **form: Any) -> Any:
    """Begin a file and wait for it."""
    begun = api.post("/exports", form)
    assert (begun.status_code, begun.headers["Retry-After"]) == (202, "2")
    deadline = time.monotonic() + 30
    while (state := api.client.get(begun.location, headers=api.headers).json)["state"] == "building":  # type: ignore[index]
        assert time.monotonic() < deadline
    return state


@pytest.mark.parametrize("columns", ["provider", "extended"])
def test_a_csv_file_holds_what_the_filter_finds(api: ApiClient, database: IMEIDatabase, columns: str) -> None:
    numbers = ordered(database, 12)
    state = finished(api, fmi="ON", columns=columns)
    assert (state["state"], state["rows"]) == ("done", 6)
    answer = api.client.get(state["links"]["file"], headers=api.headers)
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert len(rows) == 7
    assert (len(rows[0]) > 15) == (columns == "extended")
    assert numbers[11] in rows[1]
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_workbook(api: ApiClient, database: IMEIDatabase) -> None:
    ordered(database, 3)
    state = finished(api, format="xlsx")
    answer = api.client.get(state["links"]["file"], headers=api.headers)
    assert openpyxl.load_workbook(io.BytesIO(answer.data)).active.max_row == 4  # type: ignore[union-attr]


def test_the_audit_log_does_not_name_the_id_that_gives_a_file(
    api: ApiClient, app: Flask, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 3)
    state, found = finished(api), export_or_404
    token = create_token(database, NewToken("reader", Role.VIEWER, frozenset({Scope.READ})))
    reader = ApiClient(app, token)
    assert reader.client.get(state["links"]["file"], headers=reader.headers).status_code == 403
    monkeypatch.setattr(exports, "export_or_404", lambda given: replace(found(given), state="building"))
    problem(api.client.get(state["links"]["file"], headers=api.headers), 404)
    with database.read() as connection:
        entries = connection.exec_driver_sql("SELECT subject, detail FROM audit_entries ORDER BY id").all()
    assert [entry.subject[:14] for entry in entries[-2:]] == ["", "export orders_"]
    assert state["id"] not in str(entries)


def test_an_invalid_filter_begins_nothing(api: ApiClient, database: IMEIDatabase) -> None:
    problem(api.post("/exports", {"fmi": "maybe"}), 422, "invalid-request")
    problem(api.get("/exports/nothing/file"), 404)
