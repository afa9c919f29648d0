"""Find services by words: tolerant of case, accents, punctuation, word order and typing errors; knows synonyms.

static/services.js has the same rules for the picker, with the synonyms of this module. Pure; knows no request.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from orders import ServiceInfo

#: Names for the same thing, as this trade writes them; the first one stands for all. A name may have several words.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("fmi", "find my", "find my iphone", "findmy", "icloud", "activation lock", "fmip"),
    ("simlock", "sim lock", "sim lock status", "carrier lock", "network lock", "lock status", "locked"),
    ("blacklist", "black list", "blocklist", "block list", "gsma", "lost stolen", "checkmend"),
    ("warranty", "coverage", "applecare", "apple care"),
    ("carrier", "operator", "sold by"),
    ("tmobile", "t mobile", "tmo"),
    ("verizon", "vzw"),
    ("att", "at t"),
)
#: Characters of a word that may hold one typing error, and of one that may hold two, at least.
ONE_ERROR, TWO_ERRORS = 4, 8

_PHRASES = {tuple(name.split()): group[0] for group in SYNONYMS for name in group}
_LONGEST = max(map(len, _PHRASES))
_WORD = re.compile(r"[^\W_]+")


def folded_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall("".join(sign for sign in plain if not unicodedata.combining(sign)))


def query_words(query: str) -> list[str]:
    """Return the words of a query, with the first synonym in place of any name that has one."""
    words, found = folded_words(query), list[str]()
    while words:
        length = next((n for n in range(_LONGEST, 0, -1) if tuple(words[:n]) in _PHRASES and len(words) >= n), 0)
        found.append(_PHRASES[tuple(words[:length])] if length else words[0])
        del words[: length or 1]
    return found


@lru_cache(maxsize=4096)
def terms_of(text: str) -> frozenset[str]:
    """Return what a query word may match: the words, two neighbours written as one, and synonyms."""
    words = folded_words(text)
    pairs = {first + second for first, second in pairwise(words)}
    parts = (tuple(words[at : at + n]) for n in range(1, _LONGEST + 1) for at in range(len(words)))
    return frozenset(words) | pairs | {_PHRASES[part] for part in parts if part in _PHRASES}


def find_services(services: Sequence[ServiceInfo], query: str) -> list[ServiceInfo]:
    """Return the services that hold every word of a query in id, title, category or delivery time, in their order.

    Typing errors are looked for only where nothing is written like the word.
    """
    terms = [terms_of(f"{one.package_id} {one.title} {one.category} {one.delivery_time}") for one in services]
    vocabulary, wanted = frozenset[str]().union(*terms), list[set[str]]()
    for word in query_words(query):
        like = {term for term in vocabulary if (word in term if len(word) > 2 else term.startswith(word))}
        if not like and not word.isdecimal():
            like = {term for term in vocabulary if _is_mistyped(word, term)}
        wanted.append(like)
    return [one for one, held in zip(services, terms, strict=True) if not any(map(held.isdisjoint, wanted))]


def _is_mistyped(word: str, term: str) -> bool:
    """Return whether a word is a term, or its beginning, with typing errors."""
    errors = (len(word) >= ONE_ERROR) + (len(word) >= TWO_ERRORS)
    lengths = {min(len(term), len(word) + errors), len(word), len(word) + 1}
    may_be = errors > 0 and len(term) >= len(word) - errors
    return may_be and any(_distance(word, term[:length]) <= errors for length in lengths)


def _distance(one: str, other: str) -> int:
    """Return the edit distance of two words, where two swapped neighbours are one error."""
    before, row = list[int](), list(range(len(other) + 1))
    for i, sign in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, other_sign in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (sign != other_sign))
            if i > 1 < j and sign == other[j - 2] and one[i - 2] == other_sign:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
