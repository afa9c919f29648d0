"""Texts that PostgreSQL takes: it refuses the character NUL, also as an escape in JSON."""

import re

from psycopg.adapt import Buffer
from psycopg.types.string import StrDumperUnknown

NUL, ESCAPED_NUL = "\x00", "\\u0000"
#: What the character becomes: the one that Unicode has for what cannot be shown.
REPLACEMENT = "\ufffd"
#: How lists begin, the only JSON that the server reads. In any other text the six signs are what somebody typed.
LIST = "["
#: The escape, but not its last five signs behind an escaped backslash.
ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
ESCAPED_REPLACEMENT = r"\1\\ufffd"


class CleanTextDumper(StrDumperUnknown):
    """Sends texts with another character in the place of each NUL."""

    def dump(self, obj: str) -> Buffer | None:
        """Return a text in the encoding of the connection."""
        if NUL in obj:
            obj = obj.replace(NUL, REPLACEMENT)
        if ESCAPED_NUL in obj and obj.startswith(LIST):
            obj = ESCAPE.sub(ESCAPED_REPLACEMENT, obj)
        return super().dump(obj)
