"""A result text as clean lines: HTML, escaped HTML, JSON, BBCode and base64 in, plain text out.

The text is hostile: each step is linear in its length, scripts and styles are dropped, and what remains is
plain text that must be escaped on output. This module must not know what the lines mean beyond that the table has a
label.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from types import MappingProxyType

from devices.label_table import is_label

JSON_DEPTH = 8
FOLDED = MappingProxyType({
    **dict.fromkeys([*range(9), *range(0x0E, 0x20), *range(0x7F, 0xA0), 0xAD, 0xFEFF, 0xFE0E, 0xFE0F]),
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]),
    **dict.fromkeys(range(0xD800, 0xE000)),
    **dict.fromkeys([0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], "\n"),
    **dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "),
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
})  # fmt: skip
ROW, CELL = "\x1e", "\x1f"
#: Tags are found here and not by html.parser, which takes 20 s for 66 KB of "<a '" (Python 3.11.7): it is quadratic.
#: An attribute value ends at the next "<" at the latest, which keeps the search linear on unclosed quotes.
TAG = re.compile(
    r"""<!--|<!\[CDATA\[|\]\]>|<[!?][^<>]*>|<(/?)([A-Za-z][\w:.-]*+)((?:[^<>"']++|"[^"<]*"|'[^'<]*')*+|[^<>]*)>"""
)
LABEL_ELEMENT = re.compile(
    r"([:=]\s{0,3})?<(b|strong|span|font|em|i|u|label)\b[^<>]*>([^<>:=]{1,48})</\2>(?!\s{0,3}(?:[:=\n]|$|</?(?:br|p|div|ul|ol|li|t[rdh]|table|h\d)\b))",
    re.IGNORECASE,
)
VALUE_ELEMENT = re.compile(
    r"(^|[>\n])([^<>:=\n]{1,48})(<(b|strong|span|font|em|i|u)\b[^<>]*>[^<>]{1,80}</\4>)(?!\s{0,3}[:=])",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});|&(?:nbsp|lt|gt|amp|quot)\b")
ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|([nrt/\"']))")
ESCAPED = MappingProxyType({"n": "\n", "r": "\n", "t": "\t"})
BBCODE = re.compile(
    r"\[/?(?:b|i|u|s|color|size|font|center|quote|url|list|li|\*)(?:=[^\[\]\n]{0,100})?\]", re.IGNORECASE
)
SPACE_RUN = re.compile(r" {2,}")
#: A text that is only base64, perhaps after a label or inside an element.
BASE64 = re.compile(
    r"\s*+(?:<[^<>]*>\s*+)*+(?:data:[\w/+.-]*;base64,|[A-Za-z]{1,20}:)?+([A-Za-z0-9+/_\-\s]{16,}+)={0,2}\s*+(?:<[^<>]*>\s*+)*+"
)
#: A decoded text that was really base64: it has a separator or markup, and printable characters only.
TEXT_SIGNS, UNPRINTED = re.compile(r"[:：=<{\t]"), re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


#: JSON keys that hold the device, that hold the value of the key around them, and that hold records of events.
WRAPPERS = _tags("result results response data device devices object report info details order items")
VALUE_KEYS = _tags("status state value result text")
RECORDS = re.compile(r"record|histor|event|entries", re.IGNORECASE)
DROPPED_TAGS = _tags("script style template noscript iframe object svg math head title")
BREAK_TAGS = _tags(
    "br p div li ul ol dl hr h1 h2 h3 h4 h5 h6 caption section article "
    "header footer main aside nav center blockquote pre form fieldset figure figcaption address "
    "option select legend details summary body html"
)
ROW_TAGS, CELL_TAGS, LIST_TAGS = _tags("tr table tbody thead tfoot"), _tags("td th"), _tags("dt dd")
INLINE_TAGS = _tags(
    "a abbr acronym area audio b base bdi bdo big button canvas cite code col colgroup data "
    "datalist del dfn dialog em embed font frame frameset i img input ins kbd label link map "
    "mark marquee meta meter nobr output param picture progress q rp rt ruby s samp slot small "
    "source span strike strong sub sup textarea time track tt u var video wbr"
)
HTML_TAGS = DROPPED_TAGS | BREAK_TAGS | ROW_TAGS | CELL_TAGS | LIST_TAGS | INLINE_TAGS


def clean_lines(text: str) -> list[str]:
    """Return the text as lines without markup, no line blank; tabs separate the cells of a table row.

    Tags with the name of a fact, as in <model>iPhone 15</model>, become rows of two cells.
    """
    text = _from_base64(text)
    text = _from_json(text) or ESCAPE.sub(_unescaped, text)
    text = LABEL_ELEMENT.sub(_with_colon, text.translate(FOLDED))
    text = _without_tags(VALUE_ELEMENT.sub(_before_value, text), _row_for)
    for _ in range(2):
        decoded = ENTITY.sub(_decoded, text) if "&" in text else text
        if decoded == text:
            break
        text = _without_tags(decoded, lambda tag: tag[0])
    if "[/" in text:
        text = BBCODE.sub(lambda tag: "\n" if tag[0] == "[*]" else "", text)
    lines = "\n".join(map(_joined_cells, text.split(ROW))).split("\n")
    return [line for line in map(str.strip, lines) if line]


def _from_base64(text: str) -> str:
    """Return the text that is encoded as base64, with either alphabet; any other text as it is."""
    found = BASE64.fullmatch(text)
    if not found:
        return text
    body = "".join(found[1].split()).translate({ord("-"): "+", ord("_"): "/"})
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("utf-8")
    except ValueError:
        return text
    return decoded if TEXT_SIGNS.search(decoded) and not UNPRINTED.search(decoded) else text


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else ESCAPED.get(escape[2], escape[2])


def _with_colon(element: re.Match[str]) -> str:
    """Write a colon for an element that alone separates a label from its value: <b>Model</b> iPhone 15."""
    return element[0] if element[1] or not is_label(element[3]) else f"{element[3]}: "


def _before_value(element: re.Match[str]) -> str:
    """Write a colon after a label that only the element of its value separates: Model <b>iPhone 15</b>."""
    label, value = element[2].strip(), element[3].partition(">")[2].partition("<")[0]
    apart = label[-1:].isalnum() and is_label(label) and not is_label(value)
    return f"{element[1]}{element[2]}: {element[3]}" if apart else element[0]


def _decoded(entity: re.Match[str]) -> str:
    return html.unescape(entity[0]).translate(FOLDED)


def _joined_cells(row: str) -> str:
    if CELL not in row:
        return row
    before, _, opening = row.partition(CELL)[0].rpartition("\n")
    parts = [opening, *row.split(CELL)[1:]]
    cells = [cell for cell in map(str.strip, parts) if cell]
    # The only cell of a row is layout, and keeps its lines.
    joined = "".join(cells) if len(cells) < 2 else "\t".join(" ".join(cell.split()) for cell in cells)
    return f"{before}\n{joined}"


def _row_for(tag: re.Match[str]) -> str:
    if not is_label(tag[2]):
        return ""
    return ROW if tag[1] else f"{ROW}{tag[2]}{CELL}"


def _without_tags(text: str, unknown: Callable[[re.Match[str]], str]) -> str:
    """Replace the tags of HTML by line breaks or nothing, and each other tag by the result of `unknown`."""
    if "<" not in text:
        return text
    kept: list[str] = []
    at, closed = 0, False
    while tag := TAG.search(text, at):
        kept.append(text[at : tag.start()])
        closing = bool(tag[1])
        if closed and tag.start() == at and not closing:
            kept.append(" ")
        kept.append(_instead_of(tag, unknown))
        if closing and kept[-1] == "" and _joins_words(text, tag):
            kept.append(" ")
        at, closed = _end_of(tag), closing
    return "".join([*kept, text[at:]])


def _joins_words(text: str, tag: re.Match[str]) -> bool:
    """Return whether a value and the label after it would run together without the tag between them."""
    return text[tag.end() : tag.end() + 1].isupper() and text[tag.start() - 1].isalnum()


def _end_of(tag: re.Match[str]) -> int:
    """Return where reading continues: after the tag, or after the whole comment, script or style."""
    text, name = tag.string, (tag[2] or "").lower()
    if tag[0] == "<!--":
        end = text.find("-->", tag.end())
        return end + 3 if end >= 0 else len(text)
    if name in DROPPED_TAGS and not tag[1]:
        found = re.compile(rf"</{name}", re.IGNORECASE).search(text, tag.end())
        return found.start() if found else len(text)
    return tag.end()


def _instead_of(tag: re.Match[str], unknown: Callable[[re.Match[str]], str]) -> str:
    name = (tag[2] or "").lower()
    if name in BREAK_TAGS:
        return "\n"
    if name in ROW_TAGS:
        return ROW
    if name in CELL_TAGS:
        return "" if tag[1] else CELL
    if name in LIST_TAGS:
        return (CELL, ROW, ROW, "")[2 * (name == "dt") + bool(tag[1])]
    return unknown(tag) if name and name not in HTML_TAGS else ""


def _from_json(text: str) -> str:
    """Return the members of a JSON object or list as "key TAB value" lines; empty if the text is not JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return ""
    try:
        # Objects become tuples of pairs, so that a repeated key is not lost.
        data = json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return ""
    return "\n".join(_json_lines("", data, JSON_DEPTH)) if isinstance(data, tuple | list) else ""


def _json_lines(key: str, data: object, depth: int) -> Iterator[str]:
    """Yield the members below a key, to a depth; a tuple is an object, and {"label": l, "value": v} one member.

    In {"fmi": {"status": "ON"}} the outer key names the fact; what is a record's own keeps the record's name.
    """
    match data:
        case tuple() if depth:
            yield from _object_lines(key, data, depth)
        case list() if depth:
            for value in data:
                yield from _json_lines(key, value, depth - 1)
        case bool():
            yield f"{key}\t{'Yes' if data else 'No'}"
        case str():
            text = _from_base64(data)
            yield f"{key}\t{text}" if key else text


def _object_lines(key: str, members: tuple[tuple[str, object], ...], depth: int) -> Iterator[str]:
    texts = [value for _, value in members if isinstance(value, str)]
    if len(texts) == len(members) == 2 and members[0][0] in ("label", "name", "key", "title", "field"):
        yield "\t".join(texts)
        return
    for name, value in members:
        yield from _json_lines(_member(key, name), value, depth - 1)


def _member(key: str, name: str) -> str:
    """Return the label of a member of an object that is itself the value of a key."""
    if not key or key.casefold() in WRAPPERS:
        return name
    if name.casefold() in VALUE_KEYS:
        return key
    return f"{key} {name}" if RECORDS.search(key) else name


def shown_line(line: str) -> str:
    cells = [SPACE_RUN.sub(" ", cell.strip()) for cell in line.split("\t") if cell.strip()]
    if len(cells) == 2:
        return f"{cells[0].rstrip(' :')}: {cells[1]}"
    return " | ".join(cells)
