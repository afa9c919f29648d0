"""The list of all commands."""

from flask import Flask

from commands.account import adopt_account
from commands.arguments import make_readable
from commands.audit import audit, rebuild_from_provider
from commands.audit_log import audit_log
from commands.backups import backup, restore
from commands.imports import import_file, revert_import
from commands.moving import move_to_postgres
from commands.provider import services, sync
from commands.results import batch_results, reparse_results
from commands.submit import submit
from commands.tokens import tokens
from commands.users import users
from commands.worker import worker


def init_commands(app: Flask) -> None:
    """Register the commands of this program with `flask`. They use the app's backend."""
    orders = (submit, services, sync, reparse_results, batch_results, import_file, revert_import)
    records = (backup, restore, move_to_postgres, audit, rebuild_from_provider, adopt_account)
    for command in (*orders, *records, users, tokens, audit_log, worker):
        make_readable(command)
        app.cli.add_command(command)
