"""Which addresses are of one kind, for walks that follow links: lists link hundreds of orders, filters and sorts."""

import re
from urllib.parse import parse_qsl, urlsplit

#: This many of a kind are visited.
OF_A_KIND = 4


def kind_of_address(address: str) -> str:
    """Return the path with any number in place of each, and the names of what is asked, without the values."""
    parts = urlsplit(address)
    names = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)})
    return f"{re.sub(r'[0-9]+', '1', parts.path)}?{'&'.join(names)}"
