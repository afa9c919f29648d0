"""The command line: `flask …`."""

from commands.backups import restore, works_on_the_file
from commands.moving import move_to_postgres
from commands.registry import init_commands
