"""Which addresses are like others, for walks that follow links: lists link hundreds of orders, filters and sorts."""

import re
from collections import Counter
from itertools import combinations
from urllib.parse import parse_qsl, urlsplit

#: This many of the addresses that differ in numbers only are visited.
OF_A_KIND = 4


class Kinds:
    """What the addresses of a walk have shown so far."""

    def __init__(self) -> None:
        self._plain = Counter[str]()
        self._seen = set[tuple[str, ...]]()

    def is_like_others(self, address: str) -> bool:
        """Whether a visit shows nothing more: a few differ in numbers only, or others ask what this one asks.

        Others ask the same when each value that it gives, and each pair of names, was in an address of this path.
        """
        parts = urlsplit(address)
        path, query = _without_numbers(parts.path), sorted(parse_qsl(parts.query, keep_blank_values=True))
        self._plain[_without_numbers(address)] += 1
        asked = {(path, name, _without_numbers(value)) for name, value in query}
        asked |= {(path, *pair) for pair in combinations(sorted({f"{name}=" for name, _ in query}), 2)}
        is_known = bool(query) and asked <= self._seen
        self._seen |= asked
        return is_known or self._plain[_without_numbers(address)] > OF_A_KIND


def _without_numbers(text: str) -> str:
    return re.sub(r"[0-9]+", "1", text)
