"""Every command is registered, under its name and with a line of help."""

import click
import pytest
from flask import Flask

from commands import init_commands

NAMES = {
    *("submit", "services", "sync", "reparse", "results", "import", "undo-import", "backup", "restore"),
    *("move-to-postgres", "audit", "rebuild-from-provider", "adopt-account", "users", "tokens", "audit-log", "worker"),
}


@pytest.fixture
def app() -> Flask:
    made = Flask("commands")
    init_commands(made)
    return made


def test_all_commands_are_registered(app: Flask) -> None:
    assert set(app.cli.commands) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_command_and_its_options_say_what_they_are_for(app: Flask, name: str) -> None:
    command = app.cli.commands[name]
    assert command.get_short_help_str(200)
    members = command.commands.values() if isinstance(command, click.Group) else [command]
    for member in members:
        assert member.help
        options = [param for param in member.params if isinstance(param, click.Option)]
        assert [option.name for option in options if not option.help and not option.required] == []
