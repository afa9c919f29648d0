"""Remove secrets from text: the provider's key, passwords, keys of cookies, tokens, secrets of webhooks.

A known secret is found in any case, as URLs, pages, JSON, base64 and hex write it, and by each part of PART characters.
Tokens that this process does not know are found by their prefix.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from html import escape
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
#: Characters of a secret that count as a part of it, and the shortest secret of which parts are hidden.
PART = 8
#: Characters of a secret that may be removed from an answer of the provider: a shorter one may be an order id.
LEAST_IN_ANSWER = 16
#: What follows one of these prefixes is a secret, whoever made it.
TOKENS = re.compile(
    r"((?<![a-z0-9])(?:hmr_|hrl_|whsec_)|\bbearer\s+|\b(?:hammer_(?:session|form)|__host-[\w-]+|session_id)=)[\w+/=.~-]{4,}",
    re.IGNORECASE,
)
LETTER = re.compile(r"[a-z]")
SCHEME = re.compile(r"^[\w+.-]+://")


class Redactor:
    """Hides known secrets in text. `names`, such as a user name, are hidden as whole words only."""

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        known = [SCHEME.sub("", secret) for secret in secrets if secret]
        whole = sorted({form for secret in known for form in _forms(secret)}, key=len, reverse=True)
        words = sorted({form for name in names if name for form in _forms(name)}, key=len, reverse=True)
        found = [re.escape(form) for form in whole]
        found += [rf"(?<!\w){re.escape(form)}(?!\w)" for form in words]
        self._whole = re.compile("|".join(found) or r"(?!)", re.IGNORECASE)
        self._parts = frozenset(part for form in whole for part in _parts(form.lower()))
        distinct = [text for text in (*known, *names) if _is_distinct(text)]
        forms = {form.encode().lower() for text in distinct for form in _forms(text)}
        self._in_answers = tuple(sorted(forms, key=len, reverse=True))
        parts = {part for text in distinct if text in known for part in _parts(text.lower()) if LETTER.search(part)}
        self._parts_in_answers = frozenset(part.encode().decode("latin-1") for part in parts)
        # Each half, and every part of 11 characters or more, has one of these: each answer is searched for them.
        marks = {text.lower()[at : at + PART] for text in distinct for at in _steps(text)} & parts
        self._marks = (*self._in_answers, *(mark.encode() for mark in marks))

    def hide(self, text: str) -> str:
        """Return text without whole secrets and names."""
        return self._whole.sub(HIDDEN, text)

    def clean(self, text: str) -> str:
        """Return text without secrets, names, parts of secrets and tokens."""
        return self._hide_parts(self.hide(TOKENS.sub(rf"\1{HIDDEN}", text)))

    def clean_answer(self, raw: bytes) -> bytes:
        """Return an answer of the provider without secrets and their parts, unless those look like a number.

        An order id, an IMEI and a price are never changed.
        """
        lowered = raw.lower()
        if not any(mark in lowered for mark in self._marks):
            return raw
        if self._in_answers:
            raw = re.sub(b"|".join(map(re.escape, self._in_answers)), HIDDEN.encode(), raw, flags=re.IGNORECASE)
        return _without_parts(raw.decode("latin-1"), self._parts_in_answers).encode("latin-1")

    def _hide_parts(self, text: str) -> str:
        return _without_parts(text, self._parts)


def _without_parts(text: str, parts: frozenset[str]) -> str:
    """Return text without each stretch that windows among `parts`, of PART characters in lower case, cover."""
    lowered = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    starts = [at for at in range(len(lowered) - PART + 1) if lowered[at : at + PART] in parts]
    for first, end in reversed(_merged(starts)):
        text = text[:first] + HIDDEN + text[end:]
    return text


def _merged(starts: Iterable[int]) -> list[tuple[int, int]]:
    """Return the stretches that windows of PART characters cover, from their starts in rising order."""
    found: list[tuple[int, int]] = []
    for start in starts:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], start + PART)
        else:
            found.append((start, start + PART))
    return found


def _is_distinct(secret: str) -> bool:
    """Return whether a secret cannot be taken for a number or a word of an answer."""
    return len(secret) >= LEAST_IN_ANSWER and not secret.isdecimal()


def _parts(form: str) -> set[str]:
    return {form[at : at + PART] for at in range(len(form) - PART + 1)}


def _steps(secret: str) -> set[int]:
    """Return every fourth place where a part begins, and the last one."""
    last = len(secret) - PART
    return {*range(0, last, PART // 2), last}


def _forms(secret: str) -> set[str]:
    """Return a secret as URLs, pages, JSON, Python, base64 (at any offset) and hex write it."""
    plain = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        escape(secret),
        json.dumps(secret)[1:-1],
    }
    plain |= {repr(secret)[1:-1], secret.encode().hex()}
    if len(secret) < PART:
        return plain  # three characters of base64 are in every text
    return plain | {form for case in {secret, secret.lower(), secret.upper()} for form in _base64_forms(case.encode())}


def _base64_forms(secret: bytes) -> set[str]:
    """Return the characters of base64 that only the secret decides, wherever it begins in what is encoded."""
    found = set()
    for offset in range(3):
        first, end = (0, 2, 3)[offset], (offset + len(secret)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(b"\0" * offset + secret).decode()[first:end])
    return found
