"""Find labels and values in a result text: on one line or two, in cells, or many in a row.

This module must not know what a label means beyond that the table has it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from devices.label_table import LABEL_REACH, PREFIXES, is_label, known_name, label_key, name_of
from devices.markup import SPACE_RUN
from devices.words import ANSWERS, FINDING_WORDS, STATE_WORDS, plain_letters

LABEL_LENGTH, LABEL_WORDS = 48, 6
#: Most separators that are read in one line; real texts have under a hundred.
MOST_IN_A_LINE = 1000
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
#: Separates the columns of a header row.
COLUMN_MARKS = ("\t", "|", ";", ",")
#: Weak separators. They end an unknown label too, if two known labels in the text are written with them.
STYLES = frozenset({"space", ";", "|", "→", "..."})
#: Capitals up to the word that begins with the last of them: "UNLOCKED" of "UNLOCKEDNetwork".
CAPITALS = re.compile(r"[A-Z]+(?![a-z])")
FIRST_WORD = re.compile(r"\s*(\S{1,40})\s+")
FIRST_WORDS = re.compile(r"\s*(?:not|no|non|nicht)\s+(\S{1,40})\s+", re.IGNORECASE)
TITLED = re.compile(r"(?<!\S)([^\W\d_a-z][\w&-]*\s)?([^\W\d_a-z](?:[^\W\d_]|[-&]){2,})$")
#: Digits of a number that is a value by itself, such as a date.
CLOSED_NUMBER = 6
#: Labels whose value is one word with a digit in it, and labels whose value may begin with "Locked" and go on.
TOKEN_OWNERS = frozenset({"imei", "imei2", "serial", "meid"})
WORDY_OWNERS = frozenset({"carrier", "network", "initial_carrier", "warranty", "model", "description", ""})
#: Words that may begin with a small letter in a label, and words that say nothing as a label by themselves.
SMALL_WORDS = frozenset({"of", "by", "de", "du", "en", "for", "to", "my", "and", "bis"})
VAGUE_WORDS = frozenset({"lock", "locked", "code", "status", "sim", "unlocked", "blocked", "device", "product"})
NOTE = re.compile(
    r"(notes?|notice|disclaimer|warning|attention|important|remarks?|nota|aviso|hinweis|remarque)\s?:\s*",
    re.IGNORECASE,
)
#: Words that make the label after them part of a sentence, as in "make sure FMI: OFF".
CONDITION = re.compile(r"\b(?:if|when|unless|sure)\b", re.IGNORECASE)
BOXED = re.compile(r"([^\[\]()]{2,40})[\[(]\s*([^\[\]()]{1,60}?)\s*[\])]")
BULLET = re.compile(r"\s*(?:[-–—*+>#•▪►●·✓✔★]+\s*|\(?\d{1,2}[.)]\s+)")
#: Symbols that decorate labels and values: arrows, dingbats, emoji.
DECORATION = "".join(map(chr, [*range(0x2190, 0x2C00), *range(0x1F000, 0x1FB00)])) + " \t"
NEAR_PREFIXES, NEAR_SUFFIXES = ("current", "estimated"), ("status", "state", "number", "no")


def label_pairs(lines: Sequence[str]) -> list[Pair]:
    """Return every label with its value, in order: from one line, from cells, or from two lines."""
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
    """Return the pairs that begin on a line, and the number of lines that they take."""
    below = lines[at + 1] if at + 1 < len(lines) else ""
    header = _under_header(lines[at], below)
    if header:
        return header, 2
    here = parsed[at] or _weak(lines[at], styles)
    if here and not here[-1][1] and below and not _strong(below):
        return [*here[:-1], (here[-1][0], below)], 2
    if not below or parsed[at + 1] or is_label(below):
        return here, 1
    if not here and is_label(lines[at]):
        return [(lines[at], below)], 2
    return here, 1


def _style(line: str) -> str:
    """Return the weak separator after a known label at the start of a line, if it can be a style."""
    for style in STYLES:
        head, _, tail = _parted(line, WEAK[style])
        if tail and known_name(head):
            return style
    return ""


def _under_header(line: str, below: str) -> list[Pair]:
    """Return the pairs of a header row of labels and the row of values below it."""
    for mark in COLUMN_MARKS:
        labels, values = line.split(mark), below.split(mark)
        if len(labels) == len(values) > 1 and all(map(is_label, labels)) and not any(map(is_label, values)):
            return list(zip(labels, values, strict=True))
    return []


def _pairs_in(line: str) -> list[Pair]:
    """Return the pairs of one line alone; a label at its end has an empty value."""
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
        if value and (_plausible(label) or known_name(label)) and not _holds_known(cells[at]):
            pairs += _strong(value) if _holds_known(value) else [(label, value)]
            at += 1
        else:
            pairs += _strong(cells[at])
        at += 1
    return pairs


def _holds_known(cell: str) -> bool:
    """Return whether a cell alone holds a pair with a known label."""
    return any(value and name_of(label_key(label)) for label, value in _strong(cell))


def _strong(line: str) -> list[Pair]:
    """Return the pairs of a line by its colons and equals signs; the value of a note reaches to the end of the line."""
    separators = list(islice(STRONG.finditer(line), MOST_IN_A_LINE))
    style = _soft_style(line) if len(separators) > 1 else {}
    note = NOTE.match(line)
    if note and not style and not HARD.search(line):
        return [(note[1], line[note.end() :].strip())]
    labels: list[tuple[int, int, int]] = []
    value_at, owner = 0, ""
    for separator in separators:
        at = separator.start()
        start = _label_start(_Place(line, value_at, at, owner, len(labels)), style)
        if start >= 0:
            value_at, owner = separator.end(), known_name(line[start:at])
            labels.append((start, at, value_at))
    ends = [*(start for start, _, _ in labels), len(line)][1:]
    return [(line[start:stop], line[value:end].strip()) for (start, stop, value), end in zip(labels, ends, strict=True)]


class _Place(NamedTuple):
    """A separator in a line, and the state of the line before it."""

    line: str
    value_at: int  #: where the value before it begins, 0 at the line's start
    at: int
    owner: str  #: the name of the label that has that value
    labels: int  #: how many labels the line has had


def _label_start(place: _Place, style: Mapping[str, int]) -> int:
    """Return where the label that ends at a separator begins, or -1."""
    line, value_at, at = place.line, place.value_at, place.at
    floor = max(value_at, at - LABEL_REACH)
    hard = max((mark.end() for mark in HARD.finditer(line, floor, at)), default=floor)
    soft = max((mark.end() for mark in SOFT.finditer(line, hard, at)), default=hard)
    opens = hard > floor or floor == 0
    if opens and known_name(line[hard:at]):
        return hard
    mark = line[soft - 2] if soft > hard else ""
    if mark and _is_after_mark(line[floor : soft - 2], line[soft:at], style.get(mark, 0)):
        return soft
    number = _inside_number(line, at)
    if style.get(mark, 0) > bool(known_name(line[soft:at])) and not number and _plausible(line[soft:at]):
        return soft
    owes_value = hard == value_at > 0
    near = _near_label(line[hard:at], owes_value=owes_value)
    if owes_value and (glued := _glued_label(line[hard:at], near)):
        return at - len(glued)
    if owes_value and (closed := _after_closed_value(place)) > 0:
        return closed
    if near and CONDITION.search(line, hard, at - len(near)):
        near = ""
    if opens and not number and _plausible(line[hard:at]) and not (near and _runs_on(line[hard:at], near)):
        return hard
    if near or number:
        return at - len(near) if near else -1
    if mark == "," and _plausible(line[soft:at]) and not CONDITION.search(line, soft, at):
        return soft
    return _last_words(place) if owes_value else -1


def _after_closed_value(place: _Place) -> int:
    """Return where a value of one word ends ("OFF", a date, a serial number) if a label follows, or -1."""
    for pattern in FIRST_WORD, FIRST_WORDS:
        first = pattern.match(place.line, place.value_at, place.at)
        if first and _is_closed(label_key(first[1]), place.owner):
            short = place.at - first.end() <= LABEL_LENGTH
            return first.end() if short and _reads_like_label(place.line[first.end() : place.at]) else -1
    return -1


def _is_closed(word: str, owner: str) -> bool:
    """Return whether one word is a complete value for a label of this name."""
    if word in ANSWERS or word == "na" or (word.isdecimal() and len(word) >= CLOSED_NUMBER):
        return True
    if owner in TOKEN_OWNERS:
        return any(map(str.isdigit, word))
    return word in STATE_WORDS and owner not in WORDY_OWNERS


def _reads_like_label(text: str) -> bool:
    """Return whether each word is written as in a title."""
    words = text.split()
    titled = all(word[0].isupper() or word[:2] in ("iC", "iO", "iP") or word in SMALL_WORDS for word in words)
    if not 0 < len(words) < LABEL_WORDS or words[0] in SMALL_WORDS:
        return False
    return titled and text.strip()[-1] not in ".,!?" and _plausible(text)


def _last_words(place: _Place) -> int:
    """Return where an unknown label begins in a line without separators that has had two labels: its last word.

    The last two, where the last one means nothing by itself ("Lock", "Status").
    """
    line, at = place.line, place.at
    value_at = max(place.value_at, at - LABEL_REACH)
    words = TITLED.search(line, value_at, at)
    if place.labels < 2 or not words or line[at + 1 : at + 2] != " " or CONDITION.search(line, value_at, at):
        return -1
    last, before = label_key(words[2]), line[value_at : words.start()].strip()
    if last in VAGUE_WORDS and words[1] and before:
        return words.start()
    alone = last not in VAGUE_WORDS or last in ("sim", "unlocked")
    return words.start(2) if alone and line[value_at : words.start(2)].strip() else -1


def _runs_on(gap: str, near: str) -> bool:
    """Return whether the words before a known label are a text of their own, such as an IMEI."""
    before = gap[: len(gap) - len(near)].rstrip()
    return bool(before) and (before[-1] in ".!,)" or before[-1].isdigit() or len(gap.split()) > LABEL_WORDS)


def _soft_style(line: str) -> Mapping[str, int]:
    """Count how often each soft separator precedes a known label in a line; it may then precede unknown ones."""
    marks = [mark[1] for mark in SOFT_LABEL.finditer(line) if name_of(label_key(mark[2]))]
    return Counter(marks) if marks else {}


def _is_after_mark(value: str, label: str, seen: int) -> bool:
    """Return whether a soft separator ends a value before a known label, and is not part of it ("T-Mobile - USA")."""
    if name_of(label_key(label), NEAR_PREFIXES, NEAR_SUFFIXES):
        return True
    closed = label_key(value) in STATE_WORDS or label_key(value).isdigit()
    return bool(known_name(label)) and (seen > 1 or closed)


def _near_label(gap: str, *, owes_value: bool) -> str:
    """Return the longest known label at the end of the text, from the edge of a word; empty if there is none.

    Where a value is owed to the label before, "Locked Carrier" is the value "Locked" and the label "Carrier".
    """
    words = list(re.finditer(r"[^\s,;|]+", gap))
    tails = [gap[word.start() :] for word in words[-LABEL_WORDS:]]
    known = [tail for tail in tails if tail[0].isalnum() and _is_near(tail, whole=len(tail) == len(gap.strip()))]
    if owes_value and len(known) > 1 and known[0] == tails[0] and label_key(words[0][0]) in STATE_WORDS:
        return known[1]
    return known[0] if known else ""


def _is_near(label: str, *, whole: bool) -> bool:
    """Return whether the words at the end of a text are a known label, not the end of another ("Account Lock")."""
    key = label_key(label)
    return bool(name_of(key, NEAR_PREFIXES, NEAR_SUFFIXES)) and (whole or key not in VAGUE_WORDS)


def _glued_label(gap: str, near: str) -> str:
    """Return a known label that a lost line break has joined to the value before it ("OFFSimLock").

    Empty unless it explains more of the text than the label that is a word by itself.
    """
    for at in range(max(1, len(gap) - LABEL_LENGTH), len(gap)):
        begins = gap[at].isupper() or gap.startswith("iCloud", at)
        if not begins or not (gap[at - 1].isalnum() or gap[at - 1] in ")].!"):
            continue
        label = gap[at:]
        prefixes = NEAR_PREFIXES if gap[at - 1].isupper() else PREFIXES
        if name_of(label_key(label), prefixes, NEAR_SUFFIXES) and label_key(label) not in VAGUE_WORDS:
            alone = near == gap.strip() and label_key(gap[:at]) in STATE_WORDS
            if not _is_one_word(gap, at):
                return label if alone or len(label) > len(near) else ""
    return ""


def _is_one_word(gap: str, at: int) -> bool:
    """Return whether the whole word around a place has a meaning: "UNLOCKED" does not contain the label "LOCKED"."""
    start = gap.rfind(" ", 0, at) + 1
    capitals = CAPITALS.match(gap, start)
    words = {gap[start:].partition(" ")[0], capitals[0] if capitals and capitals.end() > at else ""}
    return any(label_key(word) in STATE_WORDS for word in words)


def _inside_number(line: str, at: int) -> bool:
    """Return whether the separator is between digits, as in a time of day."""
    word = line[max(0, at - 12) : at].rpartition(" ")[2]
    return word.isdigit() and line[at + 1 : at + 2].isdigit()


def _plausible(label: str) -> bool:
    """Return whether an unknown label looks like a label: a few words, no sentence, no address."""
    label = label.strip()
    if not 0 < len(label) <= LABEL_LENGTH or len(label.split()) > LABEL_WORDS:
        return False
    if SOFT.search(label) or label[-1] in ".!?," or ". " in label or "?" in label or "//" in label:
        return False
    return any(map(str.isalpha, label))


def _weak(line: str, styles: frozenset[str] = frozenset()) -> list[Pair]:
    """Return the pairs by separators that also occur in values: after a known label, or if they are the style."""
    for name, pattern in WEAK.items():
        head, _, tail = _parted(line, pattern)
        if head and tail and (known_name(head) or (name in styles and _plausible(head))):
            first, *rest = HARD.split(tail, maxsplit=20) if name not in STYLES else [tail]
            more = [pair for piece in rest for pair in _weak(piece.strip())]
            return [(head, first), *more] if more else [(head, tail)]
    return []


def _parted(line: str, pattern: re.Pattern[str]) -> tuple[str, str, str]:
    found = pattern.search(line, 0, LABEL_REACH)
    return (line[: found.start()].strip(), found[0], line[found.end() :].strip()) if found else ("", "", "")


def _spoken(line: str) -> list[Pair]:
    """Return the pair of a short line without separator: "FMI OFF", "iCloud [Clean]", "IMEI 353979105704801"."""
    boxed = BOXED.fullmatch(line)
    if boxed and is_label(boxed[1]) and not name_of(label_key(boxed[2])):
        return [(boxed[1], boxed[2])]
    words = line.split() if len(line) <= LABEL_REACH else []
    for count in range(min(LABEL_WORDS, len(words) - 1), 0, -1):
        label, value = " ".join(words[:count]), " ".join(words[count:]).strip("[]()")
        name = name_of(label_key(label))
        states = FINDING_WORDS.get(name, frozenset())
        if plain_letters(value) in states or (name in ("imei", "imei2") and IMEI.fullmatch(value)):
            return [(label, value)]
    return []


def _tidy_label(label: str) -> str:
    bare = _undecorated(label).strip(" \"'`*_[]{},;|.-–—#>")
    return SPACE_RUN.sub(" ", _undecorated(bare.removeprefix("(")))


def tidy(value: str) -> str:
    """Strip separators and decoration from a value, unless nothing else is left."""
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
