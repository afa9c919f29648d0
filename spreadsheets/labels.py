"""Labels in front of numbers in a text, such as `IMEI1:`, `]C1`, `(8002)` or `ICCID`.

The digits of a label are not part of the number. This module must not know files; about IMEIs it knows only how they
begin.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imei import has_reporting_body


@dataclass(frozen=True, slots=True)
class Piece:
    """The text from one label to the next one."""

    body: str
    slot: int = 0  #: 1 or 2 where the label counts the IMEIs of a phone
    is_imei: bool = False  #: the label names an IMEI
    other: str = ""  #: the label where it names something else


_IMEI_NAME = r"IMEI(?:SV)?(?:[ /]{0,2}(?:MEID|ESN))?[ .]{0,2}(?:CODE|NUMBER|NUM|NO|NR)?"
_SLOT = r"[ .#_(-]{0,3}(?:(?:SIM)? ?(?:SLOT)?[ #._-]{0,2}(?P<slot>[12])(?![0-9])(?:st|nd)?)?"
_GLUE = r"(?P<glue>[^0-9A-Za-z]{0,6})(?=[0-9])"
_OTHER_NAME = r"(?P<other>IMSI|ICCID|EID|MSISDN|SIM|SERIAL|S/?N|PHONE|ORDER|TRACKING|GTIN|EAN|UPC|MEID)"
_OTHER = rf"(?<![A-Za-z]){_OTHER_NAME}(?:[ .]{{0,2}}(?:CODE|NUMBER|NUM|NO|NR|ID))?[^0-9A-Za-z]{{0,6}}(?=[0-9])"
#: A symbology identifier of a scanner (ISO/IEC 15424) and the GS1 prefix of a phone's IMEI or serial number.
_SCANNER = r"\][A-Za-z][0-9](?:8002(?=[0-9]{15})|21(?=[0-9]{15}(?![0-9])))?(?=[0-9(])"
#: A GS1 application identifier as it is printed.
_PRINTED = r"\((?P<ai>[0-9]{2,4})\) ?(?=[0-9])"
_LABEL = re.compile(rf"(?:{_IMEI_NAME}{_SLOT}{_GLUE})|{_OTHER}|{_SCANNER}|{_PRINTED}", re.IGNORECASE)
_MAY_HOLD_IMEI = frozenset({"8002", "21", "250"})
_GLUED_SLOT = re.compile(r"([12])(0?)([0-9]{13,15})(?![0-9])")


def split_at_labels(text: str) -> list[Piece]:
    """Return the pieces between the labels of a text, in order; a text without a label is one piece."""
    labels = list(_LABEL.finditer(text))
    if not labels:
        return [Piece(text)]
    return [piece for piece in _pieces(text, labels) if piece.body]


def _pieces(text: str, labels: list[re.Match[str]]) -> Iterator[Piece]:
    yield Piece(text[: labels[0].start()].strip())
    ends = [label.start() for label in labels[1:]] + [len(text)]
    for label, end in zip(labels, ends, strict=True):
        yield _piece(label, text[label.end() : end].strip(" ,;|/&"))


def _piece(label: re.Match[str], body: str) -> Piece:
    if label["glue"] is None:
        code = label["ai"]
        other = (label["other"] or "").upper() or (f"({code})" if code and code not in _MAY_HOLD_IMEI else "")
        return Piece(body, other=other)
    if label["slot"]:
        return Piece(body, int(label["slot"]), is_imei=True)
    glued = _GLUED_SLOT.match(body)
    if glued is None or ":" in label["glue"] or "=" in label["glue"]:
        return Piece(body, is_imei=True)
    if not has_reporting_body(glued[3]):
        return Piece(body, is_imei=True)
    return Piece(body[1:], int(glued[1]), is_imei=True)
