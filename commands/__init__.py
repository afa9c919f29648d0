"""The command line: `flask …`."""

from commands.submit import init_commands

__all__ = ["init_commands"]
