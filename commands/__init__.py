"""The command line: `flask …`."""

from commands.backups import asks_for_restore, restore
from commands.submit import init_commands

__all__ = ["asks_for_restore", "init_commands", "restore"]
