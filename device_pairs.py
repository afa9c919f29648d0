"""Where labels and values stand in a result text: on one line or two, in cells, or many in a row.

This module must not know what a label means beyond that the table has it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

from device_labels import LABEL_REACH, is_label, label_key, name_of
from device_markup import SPACE_RUN
from device_states import STATE_WORDS, VERDICTS, plain_letters

LABEL_LENGTH, LABEL_WORDS = 48, 6
Pair = tuple[str, str]
STRONG = re.compile(r":(?:\s{0,2}:)*(?!//)(?:-(?=\s))?|=>|(?<![<>=!])=(?!=)")
HARD = re.compile(r"[|·•▪►●→⇒;‖¦»★]|(?<=\s)(?:->|=>)(?=\s)")
SOFT = re.compile(r"\s[-–—/~*]\s|,\s")
IMEI = re.compile(r"(?<![^\W_])\d[\dxX*]{13,15}(?![^\W_])")
TRAILING = re.compile(r"(?:\s?[|·•▪►●→⇒‖¦»★]|\s[-–—/~*_+])+$")
SOFT_LABEL = re.compile(r"([-–—/~*,])\s([^:=,]{1,40})[:=]")
WEAK = MappingProxyType({
    name: re.compile(pattern)
    for name, pattern in {
        "space": r" {2,}",
        ";": r";", "|": r"\|", "...": r"\s?(?:\.{3,}|_{3,})\s?",
        "→": r"\s?(?:→|⇒|->|»)\s?", "-": r"\s[-–—]\s", "~": r"~", ",": r",",
    }.items()
})  # fmt: skip
#: What parts the columns of a header row.
COLUMN_MARKS = ("\t", "|", ";", ",")
#: Weak separators that may also end an unknown label, once two known labels in the text are written so.
STYLES = frozenset({"space", ";", "|", "→", "..."})
CLOSED_VALUE = re.compile(
    r"\s*(?:\d{8,}|on|off|yes|no|clean|blacklisted|blocked|locked|unlocked|active|expired|n/a|[\d./-]{8,10})\s+(?=[A-Z])",
    re.IGNORECASE,
)
NOTE = re.compile(
    r"(notes?|notice|disclaimer|warning|attention|important|remarks?|nota|aviso|hinweis|remarque)\s?:\s*",
    re.IGNORECASE,
)
#: Words that make the label after them part of a sentence, as in "make sure FMI: OFF".
CONDITION = re.compile(r"\b(?:if|when|unless|until|before|sure|must|please|should)\b", re.IGNORECASE)
BOXED = re.compile(r"([^\[\]()]{2,40})[\[(]\s*([^\[\]()]{1,60}?)\s*[\])]")
BULLET = re.compile(r"\s*(?:[-–—*+>#•▪►●·✓✔★]+\s*|\(?\d{1,2}[.)]\s+)")
#: Symbols that decorate labels and values: arrows, dingbats, emoji.
DECORATION = "".join(map(chr, [*range(0x2190, 0x2C00), *range(0x1F000, 0x1FB00)])) + " \t"
NEAR_PREFIXES, NEAR_SUFFIXES = ("current", "estimated"), ("status", "state", "number", "no")


def label_pairs(lines: Sequence[str]) -> list[Pair]:
    """Every label with its value, in order, wherever they stand: on a line, in cells, or on two lines."""
    parsed = [_pairs_in(line) for line in lines]
    styles = frozenset(style for style, count in Counter(map(_style, lines)).items() if count > 1)
    pairs: list[Pair] = []
    at = 0
    while at < len(lines):
        here, taken = _pairs_at(lines, parsed, at, styles)
        pairs += here
        at += taken
    tidied = ((_tidy_label(label), tidy(value)) for label, value in pairs if value.strip())
    return [(label, value) for label, value in tidied if label]


def _pairs_at(
    lines: Sequence[str], parsed: Sequence[list[Pair]], at: int, styles: frozenset[str]
) -> tuple[list[Pair], int]:
    """The pairs that begin on a line, and how many lines they take."""
    below = lines[at + 1] if at + 1 < len(lines) else ""
    header = _under_header(lines[at], below)
    if header:
        return header, 2
    here = parsed[at] or _weak(lines[at], styles)
    if not below or parsed[at + 1] or is_label(below):
        return here, 1
    if here and not here[-1][1]:
        return [*here[:-1], (here[-1][0], below)], 2
    if not here and is_label(lines[at]):
        return [(lines[at], below)], 2
    return here, 1


def _style(line: str) -> str:
    """The weak separator after a known label at the start of a line, if it is one that sets a style."""
    for style in STYLES:
        head, _, tail = _parted(line, WEAK[style])
        if tail and name_of(label_key(head)):
            return style
    return ""


def _under_header(line: str, below: str) -> list[Pair]:
    """The pairs of a header row of labels and the row of values below it."""
    for mark in COLUMN_MARKS:
        labels, values = line.split(mark), below.split(mark)
        if len(labels) == len(values) > 1 and all(map(is_label, labels)) and not any(map(is_label, values)):
            return list(zip(labels, values, strict=True))
    return []


def _pairs_in(line: str) -> list[Pair]:
    """The pairs of one line by itself; a label at its end has an empty value."""
    bullet = BULLET.match(line)
    line = line[bullet.end() :] if bullet else line
    cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
    if len(cells) > 1:
        return _pairs_in_cells(cells)
    return _strong(line) or _weak(line) or _spoken(line)


def _pairs_in_cells(cells: Sequence[str]) -> list[Pair]:
    pairs: list[Pair] = []
    at = 0
    while at < len(cells):
        label, value = cells[at].rstrip(" :="), cells[at + 1] if at + 1 < len(cells) else ""
        if value and _plausible(label) and not _holds_known(cells[at]):
            pairs += _strong(value) if _holds_known(value) else [(label, value)]
            at += 1
        else:
            pairs += _strong(cells[at])
        at += 1
    return pairs


def _holds_known(cell: str) -> bool:
    """Whether a cell holds a pair with a known label by itself."""
    return any(value and name_of(label_key(label)) for label, value in _strong(cell))


def _strong(line: str) -> list[Pair]:
    """The pairs of a line by its colons and equals signs; what a note says is its value to the line's end."""
    note = NOTE.match(line)
    if note and not HARD.search(line):
        return [(note[1], line[note.end() :].strip())]
    labels: list[tuple[int, int, int]] = []
    value_at = 0
    separators = list(STRONG.finditer(line))
    style = _soft_style(line) if len(separators) > 1 else Counter[str]()
    for separator in separators:
        start = _label_start(line, value_at, separator.start(), style)
        if start >= 0:
            value_at = separator.end()
            labels.append((start, separator.start(), value_at))
    ends = [*(start for start, _, _ in labels), len(line)][1:]
    return [
        (line[start:stop], line[value:end].strip())
        for (start, stop, value), end in zip(labels, ends, strict=True)
    ]


def _label_start(line: str, value_at: int, at: int, style: Counter[str]) -> int:
    """Where the label that ends at `at` begins, or -1; the value before it begins at value_at (or 0)."""
    floor = max(value_at, at - LABEL_REACH)
    hard = max((mark.end() for mark in HARD.finditer(line, floor, at)), default=floor)
    soft = max((mark.end() for mark in SOFT.finditer(line, hard, at)), default=hard)
    opens = hard > floor or floor == 0
    if opens and name_of(label_key(line[hard:at])):
        return hard
    mark = line[soft - 2] if soft > hard else ""
    if mark and _is_after_mark(line[floor : soft - 2], line[soft:at], style[mark]):
        return soft
    number = _inside_number(line, at)
    if style[mark] > 1 and not number and _plausible(line[soft:at]):
        return soft
    near = _near_label(line[hard:at], owes_value=hard == value_at > 0)
    if hard == value_at > 0:
        near = _glued_label(line[hard:at], near) or near
    if near and CONDITION.search(line, hard, at - len(near)):
        near = ""
    if opens and not number and _plausible(line[hard:at]) and not (near and _runs_on(line[hard:at], near)):
        return hard
    if near or number:
        return at - len(near) if near else -1
    if (mark == "," or style[mark]) and _plausible(line[soft:at]):
        return soft
    closed = CLOSED_VALUE.match(line, floor, at) if floor == value_at else None
    return closed.end() if closed and _plausible(line[closed.end() : at]) else -1


def _runs_on(gap: str, near: str) -> bool:
    """Whether the words before a known label are a text of their own, such as an IMEI."""
    before = gap[: len(gap) - len(near)].rstrip()
    return bool(before) and (before[-1] in ".!,)" or before[-1].isdigit() or len(gap.split()) > LABEL_WORDS)


def _soft_style(line: str) -> Counter[str]:
    """How often each soft separator stands before a known label in a line, and so may before unknown ones."""
    return Counter(mark[1] for mark in SOFT_LABEL.finditer(line) if name_of(label_key(mark[2])))


def _is_after_mark(value: str, label: str, seen: int) -> bool:
    """Whether a soft separator ends a value before a known label, and is not inside it ("T-Mobile - USA")."""
    key = label_key(label)
    if name_of(key, NEAR_PREFIXES, NEAR_SUFFIXES):
        return True
    closed = label_key(value) in STATE_WORDS or label_key(value).isdigit()
    return bool(name_of(key)) and (seen > 1 or closed)


def _near_label(gap: str, *, owes_value: bool) -> str:
    """The longest known label that the text ends with, at a word's edge; empty where there is none.

    Where a value is owed to the label before, "Locked Carrier" is the value "Locked" and the label "Carrier".
    """
    words = list(re.finditer(r"[^\s,;|]+", gap))
    tails = [gap[word.start() :] for word in words[-LABEL_WORDS:]]
    known = [
        tail for tail in tails if tail[0].isalnum() and name_of(label_key(tail), NEAR_PREFIXES, NEAR_SUFFIXES)
    ]
    if owes_value and len(known) > 1 and known[0] == tails[0] and label_key(words[0][0]) in STATE_WORDS:
        return known[1]
    return known[0] if known else ""


def _glued_label(gap: str, near: str) -> str:
    """A known label that a lost line break has glued to the value before it ("OFFSimLock"), if it explains more
    than the label that stands by itself."""
    for at in range(max(1, len(gap) - LABEL_LENGTH), len(gap)):
        if gap[at].isupper() and gap[at - 1].isalnum():
            label = gap[at:]
            if name_of(label_key(label), NEAR_PREFIXES, NEAR_SUFFIXES):
                alone = near == gap.strip() and label_key(gap[:at]) in STATE_WORDS
                return label if alone or len(label) > len(near) else ""
    return ""


def _inside_number(line: str, at: int) -> bool:
    """Whether the separator stands between digits, as in a time of day."""
    word = line[max(0, at - 12) : at].rpartition(" ")[2]
    return word.isdigit() and line[at + 1 : at + 2].isdigit()


def _plausible(label: str) -> bool:
    """Whether an unknown label looks like one: a few words, no sentence, no address."""
    label = label.strip()
    if not 0 < len(label) <= LABEL_LENGTH or len(label.split()) > LABEL_WORDS:
        return False
    if SOFT.search(label) or label[-1] in ".!?," or ". " in label or "?" in label or "//" in label:
        return False
    return any(map(str.isalpha, label))


def _weak(line: str, styles: frozenset[str] = frozenset()) -> list[Pair]:
    """The pairs of a line by separators that values hold too: after a known label, or where they are
    the style."""
    for name, pattern in WEAK.items():
        head, _, tail = _parted(line, pattern)
        if head and tail and (name_of(label_key(head)) or (name in styles and _plausible(head))):
            first, *rest = HARD.split(tail, maxsplit=20) if name not in STYLES else [tail]
            more = [pair for piece in rest for pair in _weak(piece.strip())]
            return [(head, first), *more] if more else [(head, tail)]
    return []


def _parted(line: str, pattern: re.Pattern[str]) -> tuple[str, str, str]:
    found = pattern.search(line, 0, LABEL_REACH)
    return (line[: found.start()].strip(), found[0], line[found.end() :].strip()) if found else ("", "", "")


def _spoken(line: str) -> list[Pair]:
    """The pair of a short line without separator, such as "FMI OFF", "iCloud [Clean]" or "IMEI 353979105704801"."""
    boxed = BOXED.fullmatch(line)
    if boxed and is_label(boxed[1]) and not name_of(label_key(boxed[2])):
        return [(boxed[1], boxed[2])]
    words = line.split() if len(line) <= LABEL_REACH else []
    for count in range(min(LABEL_WORDS, len(words) - 1), 0, -1):
        label, value = " ".join(words[:count]), " ".join(words[count:]).strip("[]()")
        name = name_of(label_key(label))
        states = VERDICTS.get(name, frozenset())
        if plain_letters(value) in states or (name in ("imei", "imei2") and IMEI.fullmatch(value)):
            return [(label, value)]
    return []


def _tidy_label(label: str) -> str:
    bare = _undecorated(label).strip(" \"'`*_[]{},;|.-–—#>")
    return SPACE_RUN.sub(" ", _undecorated(bare.removeprefix("(")))


def tidy(value: str) -> str:
    """A value without the separators and decoration around it; a value of nothing else stays."""
    text = " ".join(value.split())
    bare = _undecorated(TRAILING.sub("", _undecorated(text)).rstrip(" ,;|"))
    if len(bare) > 1 and bare[0] in "\"'`*":
        bare = bare.strip("\"'`* ")
    if bare.endswith("'}") and bare.count("'") % 2:
        bare = bare[:-2]
    inches = bare[-2:-1].isdigit()
    return bare.rstrip("*` " if inches or bare.count('"') != 1 else '*`}" ') or text


def _undecorated(text: str) -> str:
    return text.strip() if text.isascii() else text.strip(DECORATION)
