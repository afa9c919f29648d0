"""Turn the body of an answer into XML elements, and repair what is not quite XML where that needs no guess.

This module must not know the provider's fields, HTTP, or what an answer means. It raises
UnreadableError for what it cannot read.
"""

import json
import re
from collections.abc import Iterator
from html import escape
from html.entities import html5
from xml.etree import ElementTree as ET

PROLOG = re.compile(r"<\?(?:php)?xml\b[^<>]*\?>", re.IGNORECASE)
#: What may come before a root or a DOCTYPE.
MISC = re.compile(r"(?:\s+|<!--.*?-->|<\?.*?\?>)*", re.DOTALL)
KNOWN_ROOT = re.compile(
    r"<(result|response|error|packages|client|imeis|networks|mobiles|services)\b[^<>]*>", re.IGNORECASE
)
#: Tags that PHP, its debuggers and proxies print around an answer, with all that a script, style or comment holds.
JUNK = re.compile(
    r"</?(?:br|b|i|u|p|a|em|hr|strong|font|pre|span|div|code|table|tbody|thead|tr|th|td|img|link|meta)\b[^<>]*>"
    r"|(?P<open><!--|<(?P<name>script|style|noscript)\b[^<>]*>).*?(?P<end>-->|</(?P=name)\s*>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
#: Characters before or behind an answer that are searched for junk.
JUNK_REACH = 64 * 1024
#: A section without an end takes the rest: then a body with many beginnings is searched once, not once for each.
CDATA = re.compile(r"(<!\[CDATA\[.*?(?:\]\]>|\Z))", re.DOTALL)
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
VOID_CLOSE = re.compile(r"</(?:br|hr|img)\s*>", re.IGNORECASE)
VOID_OPEN = re.compile(r"<(br|hr|img)\b[^<>]*>", re.IGNORECASE)
AMPERSAND = re.compile(r"&(?:#(\d{1,7});|#[xX]([0-9a-fA-F]{1,6});|(\w{1,31};))?")
XML_ENTITIES = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})
#: Elements after which a reader sees a new line; a result text keeps them as <br>.
BREAKS = frozenset({"br", "p", "div", "li", "tr"})
MAX_DEPTH = 40  #: levels of elements; the deepest known answer has 5, and walks may be quadratic in it
#: Characters "<" in a document: an element takes up to 200 bytes of memory. A list part of 2 MB has under 200,000.
MAX_TAGS = 1_000_000

LIST_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\b[^<>]*\?>\s*)?<(result|response)>\s*(?=<imeis>\s*<(?!imeis>))"
)
LIST_PART = 2 * 1024 * 1024  #: bytes; its elements take some ten times as much

OPAQUE_LIST = re.compile(r"(?:\s|<\?[^<>]*\?>)*+<(result|response)>(.*)</\1>\s*", re.DOTALL | re.IGNORECASE)
CODE_OPEN, CODE_CLOSE = "<code>", "</code>"
IMEI_LIKE = re.compile(r"(?<!\d)\d{14,16}(?!\d)")
HIDDEN_SECTION = re.compile(rb"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
ID_TAG = re.compile(rb"<(?:[\w.-]{1,40}:)?id\b", re.IGNORECASE)
#: An id, an IMEI or records. A notice of PHP or of a proxy holds none of these; what has one beside a refusal may be
#: the answer of a call that has placed something.
ORDER_LIKE = re.compile(r"\{|\d{5}|<(?:id|imei)\b", re.IGNORECASE)
#: Bytes of an answer in JSON; only refusals are read from it.
MAX_JSON = 64 * 1024
JSON_ERRORS, JSON_WORDS = ("error", "errors"), ("message", "msg", "text", "description", "error")

JSON_FAILURES = frozenset({"error", "fail", "failed", "failure"})


class UnreadableError(ValueError):
    """The body cannot be read without guessing; the message says why and quotes nothing of it."""


def read_root(raw: bytes) -> ET.Element:
    """Return the root of a body; every tag in it is lower case and without a namespace. Raises UnreadableError.

    Junk before and behind the root is cut. A refusal in JSON is returned as the <error> that it would be in XML.
    """
    text = _decode(raw)
    root = _parse(PROLOG.sub("", text, count=1) if PROLOG.match(text) else text)
    if root is None:
        root = _refusal_in_json(text)
    if root is None:
        answer = _without_junk(text)
        root = _parse(_repair(answer))
        if root is not None and root.tag.lower() == "error" and ORDER_LIKE.search(text.replace(answer, "", 1)):
            raise UnreadableError("what stands beside its error may name an order")
    if root is None:
        raise UnreadableError("it is not XML, or it is cut off")
    _normalise(root)
    if root.tag == "html":
        raise UnreadableError("it is a web page")
    return root


def is_answer(raw: bytes) -> bool:
    """Return whether a body, readable or not, comes from the provider's API and not from a proxy."""
    return KNOWN_ROOT.search(raw[:JUNK_REACH].decode("latin-1")) is not None


def _decode(raw: bytes) -> str:
    """Return the text of a body that is neither empty nor too large for elements."""
    if raw.count(b"<") > MAX_TAGS:
        raise UnreadableError(f"it has more than {MAX_TAGS} tags")
    body = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    text = text.strip("\ufeff \t\r\n")
    if not text:
        raise UnreadableError("it is empty")
    return text


def _parse(text: str) -> ET.Element | None:
    misc = MISC.match(text)
    if misc and text.startswith("<!", misc.end()):
        raise UnreadableError("it carries a DOCTYPE")
    try:
        return ET.fromstring(text)  # noqa: S314  # without a DOCTYPE there is no entity to expand
    except ET.ParseError:
        return None


def _normalise(root: ET.Element) -> None:
    level, names = [root], dict[str, str]()  # a long list has many elements with few names
    for _ in range(MAX_DEPTH):
        for element in level:
            tag = names.get(element.tag)
            if tag is None:
                tag = names[element.tag] = element.tag.rpartition("}")[2].lower()
            element.tag = tag
            if tag in BREAKS:
                element.tail = "<br>" + (element.tail or "")
        level = [child for element in level if len(element) for child in element]
    if level:
        raise UnreadableError("it is nested too deeply")


def _repair(text: str) -> str:
    pieces = CDATA.split(CONTROL.sub(" ", text))
    return "".join(piece if index % 2 else _mend(piece) for index, piece in enumerate(pieces))


def _without_junk(text: str) -> str:
    """Return the text without prolog, and without what PHP or a proxy has printed before and behind its root."""
    root = KNOWN_ROOT.search(text)
    before = text[: root.start()] if root else ""
    if root and root.start() <= JUNK_REACH and _is_junk(PROLOG.sub("", before, count=1)):
        text = text[root.start() :]
    elif prolog := PROLOG.match(text):
        text = text[prolog.end() :].strip()
    return text[: len(text) - _junk_behind(text[-JUNK_REACH:], root[1])] if root else text


def _junk_behind(tail: str, tag: str) -> int:
    """Return the number of characters behind the last end of the root that are junk; 0 where anything else is there."""
    ends = list(re.finditer(rf"</{tag}\s*>", tail, re.IGNORECASE))
    behind = tail[ends[-1].end() :] if ends else ""
    return len(behind) if _is_junk(behind, is_end=True) else 0


def _is_junk(text: str, *, is_end: bool = False) -> bool:
    """Return whether a text is words and junk only. A script or comment without an end is junk at a body's end only."""

    def left_of(tag: re.Match[str]) -> str:
        return "<" if tag["open"] and not tag["end"] and not is_end else ""

    return "<" not in JUNK.sub(left_of, text)


def _mend(text: str) -> str:
    text = VOID_OPEN.sub(r"<\1/>", VOID_CLOSE.sub("", text))
    return AMPERSAND.sub(_mend_ampersand, text)


def _mend_ampersand(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name in XML_ENTITIES:
        return match[0]
    if name:
        return escape(html5[name]) if name in html5 else f"&amp;{name}"
    if decimal or hexadecimal:
        return match[0] if _is_xml_char(int(decimal) if decimal else int(hexadecimal, 16)) else " "
    return "&amp;"


def _is_xml_char(code: int) -> bool:
    if code < 0x20:
        return code in (9, 10, 13)
    return code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000


def _refusal_in_json(text: str) -> ET.Element | None:
    """Return the <error> that {"ERROR": [{"MESSAGE": …}]} would be in XML; None where the text is anything else.

    Where another member holds records, the answer may name what was placed, and is not read.
    """
    start = text.find("{", 0, JUNK_REACH)
    if start < 0 or len(text) > MAX_JSON + JUNK_REACH or not _is_junk(text[:start]):
        return None
    try:
        data, end = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not _is_junk(text[end:], is_end=True):
        return None
    members = {str(name).casefold(): value for name, value in data.items()}
    errors = [members.pop(name) for name in JSON_ERRORS if name in members]
    if str(members.get("status")).casefold() in JSON_FAILURES or members.get("success") is False:
        errors = errors or [members.get("message")]
    if any(isinstance(value, dict | list) for value in members.values()):
        return None
    scalars = " ".join(f"{name} {value}" for name, value in members.items())
    if ORDER_LIKE.search(text[:start] + scalars + text[end:]):
        return None
    words = " ".join(" ".join(_json_words(errors)).split())
    if not words:
        return None
    root = ET.Element("error")
    root.text = CONTROL.sub(" ", words)
    return root


def _json_words(value: object) -> Iterator[str]:
    """Yield the words of an error: a text, or the first of JSON_WORDS of each record."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _json_words(part)
    elif isinstance(value, dict):
        members = {str(name).casefold(): part for name, part in value.items()}
        yield from _json_words(next((members[name] for name in JSON_WORDS if members.get(name)), None))


def list_parts(raw: bytes, length: int = LIST_PART) -> Iterator[bytes]:
    """Yield a long list of <imeis> records as several short documents, so that only one is parsed at a time.

    A body of any other shape is one part. What is cut off or not XML stays so in its part.
    """
    start = None
    if len(raw) > length:
        start = LIST_START.match(raw) or LIST_START.match(raw := _from_root(raw))
    if start is None:
        yield raw
        return
    root, record_end, begin = start[1], b"</imeis>", start.end()
    while (last := raw.find(record_end, begin + length)) >= 0:
        end = last + len(record_end)
        yield b"<%b>%b</%b>" % (root, raw[begin:end], root)
        begin = end
    yield b"<%b>%b" % (root, raw[begin:])


def hides_ids(raw: bytes) -> bool:
    """Return whether a comment, CDATA section or instruction holds an <id>: texts may have put it around a record."""
    return any(ID_TAG.search(section) for section in HIDDEN_SECTION.findall(raw))


def _from_root(raw: bytes) -> bytes:
    """Return a body without the junk before its root."""
    head = raw[:JUNK_REACH].decode("latin-1")
    root = KNOWN_ROOT.search(head)
    return raw[root.start() :] if root and _is_junk(PROLOG.sub("", head[: root.start()], count=1)) else raw


def read_opaque_list(raw: bytes) -> ET.Element:
    """Return the root of a list whose texts are not XML, taking each <code> as plain text. Raises UnreadableError.

    Only records side by side are read, and only those with at most one <code> and one </code>: a text with such tags
    could forge an order. Of any other record only the IMEIs are kept.
    """
    text = _without_junk(_decode(raw))
    whole = OPAQUE_LIST.fullmatch(text)
    if not whole or text.count(CODE_OPEN) == 0:
        raise UnreadableError("it is not XML, or it is cut off")
    root = ET.Element("result")
    records = whole[2].split("</imeis>")
    if records.pop().strip() or any(not record.lstrip().startswith("<imeis>") for record in records):
        raise UnreadableError("its records cannot be separated")
    root.extend(_opaque_record(record.strip() + "</imeis>") for record in records)
    _normalise(root)
    return root


def _opaque_record(record: str) -> ET.Element:
    """Return one record with its <code> as plain text; of a doubtful record only the IMEIs."""
    before, opened, rest = record.partition(CODE_OPEN)
    code, closed, after = rest.partition(CODE_CLOSE)
    element = None
    if not opened:
        element = _parse(_repair(record))
    elif closed and "<code" not in rest and CODE_CLOSE not in after:
        element = _parse(_repair(before) + CODE_OPEN + escape(CONTROL.sub(" ", code)) + CODE_CLOSE + _repair(after))
    if element is not None and _names_fields_once(element):
        return element
    doubtful = ET.Element("imeis")
    for imei in sorted(set(IMEI_LIKE.findall(record))):
        ET.SubElement(doubtful, "imei").text = imei
    return doubtful


def _names_fields_once(record: ET.Element) -> bool:
    tags = [child.tag.lower() for child in record]
    return len(set(tags)) == len(tags) and not any(len(child) for child in record)
