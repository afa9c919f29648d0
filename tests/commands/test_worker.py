"""`flask worker` needs a database server, logs as a server does, and ends with a sentence where it must not work."""

from types import SimpleNamespace

import pytest
from flask import Flask
from web_client import SERVICES, Provider, make_app

from database import IMEIDatabase
from settings import Settings
from simulator import DemoError
from submission import OtherAccountError

SERVER = SimpleNamespace(is_file=False)


def test_a_worker_needs_a_server(settings: Settings, file_database: IMEIDatabase) -> None:
    app = make_app(settings, file_database, Provider(SERVICES))
    result = app.test_cli_runner().invoke(args=["worker"])
    assert (result.exit_code, "set DATABASE_URL" in result.output) == (1, True)


@pytest.mark.parametrize("error", [DemoError("The demo did not start."), OtherAccountError("It is another account's.")])
def test_a_worker_logs_as_a_server_and_ends_with_the_sentence_of_an_error(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    done = list[object]()

    def fail(*given: object) -> None:
        done.extend(given)
        raise error

    monkeypatch.setattr("commands.worker.backend", lambda: SimpleNamespace(settings=settings, database=SERVER))
    monkeypatch.setattr("commands.worker.log_server", done.append)
    monkeypatch.setattr("commands.worker.run_worker", fail)
    result = app.test_cli_runner().invoke(args=["worker"])
    assert (result.exit_code, result.output) == (1, f"Error: {error}\n")
    assert done == [settings, settings, SERVER]
