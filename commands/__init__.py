"""The command line: `flask --app web_app …`."""

from commands.submit import init_commands

__all__ = ["init_commands"]
