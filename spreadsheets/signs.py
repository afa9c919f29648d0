"""Fold the many signs that people and programs write for a digit, a dash, a blank or a line end into one each.

This module must not know what an IMEI is.
"""

import re
import unicodedata

_QUOTES = "'\"`"
_SIGNS = str.maketrans("−⁄∕·•٬٫´‘’‚‛“”„ʹʼ′", "-//..,.'''''\"\"\"'''")
_LINE_ENDS = re.compile("[\r\n\v\f\x1e\x85\u2028\u2029]+")


def fold(text: str) -> str:
    """Return the text with every digit, dash and line end in its ASCII form, without invisible signs and quotes."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _LINE_ENDS.sub("\n", text).translate(_SIGNS))
        text = "".join(map(_fold_sign, text))
    if not text.isprintable():
        text = _fold_lines(text)
    if "  " in text:
        text = re.sub("  +", " ", text)
    return text.strip().strip(_QUOTES).strip()


def _fold_sign(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Pd":
        return "-"
    if category == "Cf":
        return ""
    return " " if category[0] == "Z" else sign


def _fold_lines(text: str) -> str:
    """Return the lines with any content; NUL bytes are removed, other control characters become blanks."""
    lines = _LINE_ENDS.sub("\n", text.replace("\0", "")).split("\n")
    bare = ("".join(sign if sign.isprintable() else " " for sign in line).strip() for line in lines)
    return "\n".join(filter(None, bare))


def is_blank(text: str) -> bool:
    """Whether a text holds only blanks and invisible signs."""
    return not "".join(sign for sign in map(_fold_sign, text) if sign.isprintable()).strip()
