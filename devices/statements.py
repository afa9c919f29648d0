"""Find what a text says about a finding outside of the label of the finding.

"This phone is BLACKLISTED", "Model: iPhone 12 FMI ON", "Blacklisted By: Vodafone": whoever reads the values of known
labels alone misses it, and the phone passes. Statements without a label count only where they are bad.
This module must not know markup.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from types import MappingProxyType

from devices.label_table import KNOWN_NAMES, is_label, known_name, label_key, name_of, slug
from devices.pairs import HARD, STRONG, Pair
from devices.states import FINDING_FIELDS, is_good
from devices.words import ANSWERS, FINDING_WORDS, LEXICONS, Mark, marked, plain_letters

#: Words before the state in a statement about the phone: "Warning: this device is reported stolen".
SUBJECTS = frozenset({
    "this", "the", "your", "device", "phone", "imei", "handset", "iphone", "ipad", "unit", "it", "is", "are", "was",
    "has", "have", "been", "sim", "carrier", "network", "operator", "currently", "now", "status", "warning", "alert",
    "attention", "important", "as", "este", "el", "dispositivo", "equipo", "telefono", "esta", "como", "dieses",
    "das", "gerat", "ist", "als", "cet", "appareil", "est", "declare", "comme", ":", "!", ",", "-", ".",
})  # fmt: skip
#: Words that say of which finding a bad state is.
TELLING = MappingProxyType({
    "blacklist": re.compile(
        r"blacklisted|blocklisted|denylisted|hotlisted|(?:black|block|deny) listed|stolen|robado|robada|roubado"
        r"|gestohlen|vole|volee|rubato|gestolen|skradziony|украден|calinti|reported (?:as )?(?:lost|stolen)"
    ),
    "simlock": re.compile(r"(?:sim|carrier|network|operator)[ -]?locked|\blocked to\b"),
})  # fmt: skip
#: Operators that keep a list of their own, as the whole of a label.
OPERATOR = re.compile(
    r"(?:at_t|att|t_mobile|verizon|sprint|tracfone|us_cellular|metro_?pcs|cricket)(?:_us)?(?:_status)?"
)
#: A statement with one of these is a condition or an advice.
NO_FACT = frozenset({Mark.AHEAD, Mark.CONDITION, Mark.NOT_YET, Mark.NO, Mark.NOT, Mark.NOR, Mark.VERIFIED})
#: Names of values that are words to the reader, and not facts with a name of their own.
VOICES = frozenset({"note", "notes", "comment", "remark", "message", "result", "description", "status", "response"})
PAST = re.compile(r"histor|record|previous|former|date|ever|until|faq|info|http")
PARTS = re.compile(r"\s*[|,;/·•]\s*|\s[-–—]\s")
#: Values that say that there is nothing, or that nothing is known.
NOTHING = frozenset(
    {"", "none", "never", "nobody", "unknown", "notfound", "error", "notavailable", "na", "failed", "nodata"}
)
#: A text in which a label of a finding may be hidden.
MAYBE_LABEL = re.compile(r"fmi|find\W?my|lock|blacklist|icloud", re.IGNORECASE)
MOST_WORDS, LABEL_WORDS, STATE_WORDS = 40, 4, 2
LONGEST_STATEMENT = 120  #: characters


def stated(pairs: Sequence[Pair], lines: Iterable[str]) -> Iterator[Pair]:
    """Yield the name and the words of each finding that is said outside of its own label."""
    for label, value in pairs:
        yield from _beside(label, value)
    loose = [(before, line) for before, line in pairwise(["", *lines]) if not (STRONG.search(line) or "\t" in line)]
    known = {label_key(label + value) for label, value in pairs} if loose else set()
    for before, line in loose:
        if label_key(line) not in known and not (before.endswith(":") or is_label(before)):
            for part in HARD.split(line):
                yield from _hidden(part)
                yield from _told(part)


def _beside(label: str, value: str) -> Iterator[Pair]:
    """Yield what the value of a pair, or a label beside the status, says about another finding."""
    name = known_name(label) or slug(label)
    if PAST.search(name):
        return
    if name.startswith("blacklisted_") and label_key(value) not in NOTHING | ANSWERS.keys():
        yield "blacklist", f"{label} {value}"
    elif name == "blacklist_reason":
        yield from _bad("blacklist", value)
    elif name in ("lost_mode", "icloud"):
        yield from (("fmi", "ON") for _ in _bad("fmi", value))
    elif OPERATOR.fullmatch(name):
        yield from _bad("blacklist", value)
    elif name in VOICES or name not in KNOWN_NAMES:
        yield from _told(value)
    elif name == "carrier" and label_key(label).startswith("lockedto") and is_good(value, "simlock") is None:
        yield "simlock", f"{label} {value}"
    elif name in ("simlock", "fmi", "model", "carrier"):
        for part in PARTS.split(value)[1:]:
            yield from _told(part)
        if name == "model":
            yield from _hidden(value)


def _bad(name: str, value: str) -> Iterator[Pair]:
    if is_good(value, name) is False:
        yield name, value


def _told(text: str) -> Iterator[Pair]:
    """Yield each bad state of a statement that says nothing else than that the phone has it."""
    words = plain_letters(text).strip(" .!*#-")
    for name, telling in TELLING.items() if len(words) <= LONGEST_STATEMENT else ():
        if telling.search(words) and is_good(text, name) is False and _is_statement(words, name):
            yield name, text.strip()


def _is_statement(words: str, name: str) -> bool:
    """Return whether words are "this phone is" or the like, and a bad state without a condition."""
    marks = list(marked(words, LEXICONS[name]))
    while marks and (marks[0][1] in SUBJECTS or marks[0][1].isdigit()):
        del marks[0]
    bad = bool(marks) and marks[0][0] in (Mark.BAD, Mark.REPORTED)
    return bad and NO_FACT.isdisjoint(mark for mark, _ in marks)


def _hidden(text: str) -> Iterator[Pair]:
    """Yield each label of a finding with its state in running words: "iPhone 12 FMI is ON SIM lock Unlocked"."""
    if not MAYBE_LABEL.search(text):
        return
    words = [word for word in re.split(r"[\s_/,|()\[\]-]+", text)[:MOST_WORDS] if word]
    at = 0
    while at < len(words):
        name, taken, value = _label_at(words, at)
        if value:
            yield name, value
        at += max(taken, 1)


def _label_at(words: Sequence[str], at: int) -> tuple[str, int, str]:
    """Return the finding whose label begins at a word, the words that both take, and the state behind it; or blanks."""
    for count in range(LABEL_WORDS, 0, -1):
        name = _finding(" ".join(words[at : at + count]))
        behind = at + count + (words[at + count : at + count + 1] == ["is"])
        for length in range(STATE_WORDS, 0, -1) if name else ():
            value = " ".join(words[behind : behind + length])
            if value and (plain_letters(value) in FINDING_WORDS[name] or label_key(value) in NOTHING):
                return name, behind + length - at, value
    return "", 0, ""


def _finding(label: str) -> str:
    """Return the finding that a label is about, "" for a word that is also a state and for any other label."""
    name = name_of(label_key(label)) if is_label(label) else ""
    return name if name in FINDING_FIELDS - {"lock"} else ""
