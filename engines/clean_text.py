"""Texts that PostgreSQL takes: it refuses the character NUL, also as an escape in JSON."""

from psycopg.adapt import Buffer
from psycopg.types.string import StrDumperUnknown

NUL, ESCAPED_NUL = "\x00", "\\u0000"
#: What the character becomes: the one that Unicode has for what cannot be shown.
REPLACEMENT, ESCAPED_REPLACEMENT = "\ufffd", "\\ufffd"


class CleanTextDumper(StrDumperUnknown):
    """Sends texts with another character in the place of each NUL."""

    def dump(self, obj: str) -> Buffer | None:
        """Return a text in the encoding of the connection."""
        if NUL in obj or ESCAPED_NUL in obj:
            obj = obj.replace(NUL, REPLACEMENT).replace(ESCAPED_NUL, ESCAPED_REPLACEMENT)
        return super().dump(obj)
