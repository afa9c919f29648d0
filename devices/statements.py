"""Find what a text says about a finding outside of the label of the finding.

"This phone is BLACKLISTED", "Model: iPhone 12 FMI ON", "Blacklisted By: Vodafone": whoever reads the values of known
labels alone misses it, and the phone passes. Statements without a label count only where they are bad, or where they
take a good state back ("Blacklist not checked"). This module must not know markup.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise, takewhile
from types import MappingProxyType

from devices.label_table import KNOWN_NAMES, LABEL_REACH, is_label, known_name, label_key, name_of, slug
from devices.pairs import HARD, IMEI, STRONG, Pair
from devices.states import FINDING_FIELDS, is_good
from devices.words import ANSWERS, FINDING_WORDS, LEXICONS, Mark, marked, plain_letters

#: Words before the state in a statement about the phone: "Warning: this device is reported stolen".
SUBJECTS = frozenset({
    "this", "the", "your", "device", "phone", "imei", "handset", "iphone", "ipad", "unit", "it", "is", "are", "was",
    "has", "have", "been", "sim", "carrier", "network", "operator", "currently", "now", "status", "warning", "alert",
    "attention", "important", "as", "este", "el", "dispositivo", "equipo", "telefono", "esta", "como", "dieses",
    "das", "gerat", "ist", "als", "cet", "appareil", "est", "declare", "comme", "l", "aparelho", "celular", "foi", "o",
    "телефон", "устроиство", "в", "sorry", "unfortunately", "owner", "imei1", "imei2", "1st", "2nd", "first", "second",
    "one", "wurde", "steht", "tiene", "se", "encuentra", "linea", "a", "ete", "telefon", "urzadzenie", "已", "该", "设",
    "备", "手", "机", "(", ")", "esn", "both", "imeis", ":", "!", ",", "-", ".",
})  # fmt: skip
#: Words between the subject and the name of a list: "found in the GSMA blacklist".
PLACES = frozenset({
    "in", "on", "found", "listed", "the", "gsma", "global", "auf", "der", "en", "la", "na", "в", "sur", "列", "入",
})  # fmt: skip
#: Words that say of which finding a bad state is.
TELLING = MappingProxyType({
    "blacklist": re.compile(
        r"blacklisted|blocklisted|denylisted|hotlisted|(?:black|block|deny)[ -]listed|stolen|robado|robada|roubado"
        r"|gestohlen|vole|volee|rubato|gestolen|skradzion|украден|розыск|calinti|reported (?:as )?(?:lost|stolen)"
        r"|reportad[oa](?: por|$)|\b(?:con|tiene) reporte de robo|\bnot clean\b|\b(?:bad esn|esn bad)\b"
        r"|报失|被盗|丢失|列入黑名单"
        r"|\b(?:in|on|auf der|en|na|в|sur) (?:the )?(?:gsma |global )?"
        r"(?:black ?list|sperrliste|lista negra|liste noire|черном списке)\b"
    ),
    "simlock": re.compile(r"(?:sim|carrier|network|operator)[ -]?locked|\blocked to\b|\bnot unlocked\b"),
})  # fmt: skip
#: Words that tell it only where the text speaks about the phone, and not behind any unknown label.
TELLING_OF_PHONE = MappingProxyType(
    {
        "blacklist": re.compile(
            r"\b(?:blocked|barred|banned|bloquead[oa]|gesperrt|bloquee?|bloccat[oa]|заблокирован[ао]?)\b"
            r"|\b(?:device|phone|iphone|handset) (?:(?:is|was|has been) )?lost\b"
        ),
        "simlock": re.compile(r"\b(?:device|phone|iphone|handset) (?:is )?locked\b|^locked(?: - |$)"),
    }
)
#: "In lost mode", "iCloud is ON", in words that do not deny it.
APPLE_LOCK = re.compile(
    r"(?!.*\b(?:not|never|no|if|when|put)\b)(?:.*\bin lost mode"
    r"|.*\blost mode(?: is| has been)?(?: turned| now)? (?:on|enabled|active|activated)"
    r"|(?:(?:this|the|your|device|phone|iphone|is|has) )*(?:icloud|activation|apple id)(?: lock)?(?: status)?(?: is)?"
    r" (?:on|locked|enabled|lost))"
)
#: Words that speak of phones in general or of the past, and the last words of a title.
NO_STATEMENT = re.compile(
    r"\b(?:phones|devices|iphones|handsets|units|equipos|gerate|appareils|aparelhos|any)\b|="
    r"|(?<!not )(?<!be )\b(?:removed|delisted|recovered)\b|\bno longer\b|\bwas locked\b"
    r"|\b(?:previously|formerly) (?:black|block|stolen|lost|reported)|\b(?:checker|check|report|database|lookup)$"
)
#: A bad state at the end of the name of a phone.
MODEL_END = re.compile(r"(?<!not )(?<!never )(?<!non )(?<!non-)\b(blacklisted|stolen|lost mode)\W*$")
MODEL_START = re.compile(r"(?:apple|iphone|ipad|samsung|galaxy|google|pixel)\b")
#: "Could not check", "check failed" and the like, and the findings that they may be about.
NOT_READ = re.compile(
    r"\b(?:not (?:yet )?(?:been )?(?:checked|verified|available|confirmed|determined)"
    r"|(?:could ?n[o']?t|can ?not|unable to|failed to) (?:be )?(?:check|verif|determin|read|get|confirm)\w*"
    r"|(?:check|lookup|status) (?:has )?(?:failed|error|unavailable)"
    r"|server (?:is )?(?:down|busy|offline|error)|data is outdated)\b"
)
ASIDE = re.compile(r"\b(?:history|reason|date|country|type|other|records?)\b")
ABOUT = MappingProxyType(
    {
        "blacklist": re.compile(r"\b(?:black ?list|gsma)\b"),
        "fmi": re.compile(r"\b(?:fmi|find my|icloud lock|activation lock)\b"),
        "simlock": re.compile(r"\bsim[ -]?lock\b"),
    }
)
#: Operators and countries as the whole of a label: the state is that of their own list.
OPERATOR = re.compile(
    r"(?:at_t|att|t_mobile|verizon|sprint|tracfone|us_cellular|metro_?pcs|cricket|anatel|brazil|brasil|mexico|canada"
    r"|australia|usa|uk|europe|worldwide)(?:_(?:us|usa|wireless|anatel|status))*"
)
#: Labels that tell what is the matter with a phone.
MATTERS = frozenset({
    "blacklist_reason", "device_status", "phone_status", "event_type", "record_type", "finance_status",
    "financial_status", "contract_status", "blacklist_type",
})  # fmt: skip
#: A statement with one of these is a condition or an advice.
NO_FACT = frozenset({Mark.AHEAD, Mark.CONDITION, Mark.NOT_YET, Mark.NO, Mark.NOT, Mark.NOR, Mark.VERIFIED})
#: Names of who has put the phone on a list.
REPORTERS = frozenset({
    "reported_by", "reporting_operator", "reporting_carrier", "reported_carrier", "reported_operator", "blocked_by",
})  # fmt: skip
RECORDS = re.compile(r"(?:gsma_)?black_?list(?:ed)?_records?(?:_found)?")
#: Labels of what was ordered or looked up.
TITLES = frozenset({"service", "service_name", "service_type", "check", "check_type", "source", "package", "database"})
#: Names of values that are sentences to the reader, and not facts with a name of their own.
VOICES = frozenset({
    "note", "notes", "comment", "remark", "message", "result", "description", "status", "response", "reason",
    "device_name",
})  # fmt: skip
PAST = re.compile(r"histor|record|previous|former|date|ever|until|faq|info|http")
DASH = re.compile(r"\s[-–—]\s")
PARTS = re.compile(r"\s*[|,;/·•]\s*|\s[-–—]\s")
#: Values that say that there is nothing, or that nothing is known.
NOTHING = frozenset(
    {"", "none", "never", "nobody", "unknown", "notfound", "error", "notavailable", "na", "failed", "nodata"}
)
#: First words of such a value.
NOBODY = frozenset({"no", "not", "none", "nil", "never", "any", "without", "0"})
#: Words between a label and its state: "Find My iPhone is turned on".
LINKS = frozenset({"is", "has", "been", "turned", "now", "still", "currently"})
#: Words of an advice or a condition. What follows them is no fact.
ADVICE = re.compile(
    r"\b(?:if|when|unless|until|before|once|sure|please|must|should|wenn|falls|cuando)\b", re.IGNORECASE
)
LINK_TO_REASON = re.compile(r"(?<=ed) (?:to|for)\b|\bdue to\b")
COUNT = re.compile(r"\b[1-9]")
#: A text in which a label of a finding may be hidden.
MAYBE_LABEL = re.compile(r"fmi|find\W?my|lock|blacklist|icloud", re.IGNORECASE)
MOST_WORDS, LABEL_WORDS, STATE_WORDS, MOST_LINKS = 40, 4, 2, 3
LONGEST_STATEMENT, LONGEST_NOTE = 120, 1000  #: characters
MOST_LOOSE = 1000  #: parts without a label that are read; real texts have under 50
SENTENCE = re.compile(r"(?<=[.!])\s+")


def stated(pairs: Sequence[Pair], lines: Sequence[str]) -> Iterator[Pair]:
    """Yield the name and the words of each finding that is said outside of its own label."""
    for label, value in pairs:
        yield from _beside(label, value)
    for part in _loose(pairs, lines):
        yield from _hidden(part)
        yield from _told_in(part, of_phone=True)
        yield from _at_dash(part)
        yield from _not_read(part)
    for line in dict.fromkeys(filter(IMEI.match, lines)):
        yield from _of_imei(line)
    yield from _in_footnotes(lines)


def _loose(pairs: Sequence[Pair], lines: Sequence[str]) -> Iterator[str]:
    """Yield the parts of each line that has no label, each wording once."""
    loose = [(before, line) for before, line in pairwise(["", *lines]) if not (STRONG.search(line) or "\t" in line)]
    known = {label_key(label + value) for label, value in pairs} if loose else set()
    alone = (line for before, line in loose if not (before.endswith(":") or is_label(before)))
    told = (line for line in dict.fromkeys(alone) if label_key(line) not in known)
    yield from islice((part for line in told for part in HARD.split(line)), MOST_LOOSE)


def _in_footnotes(lines: Sequence[str]) -> Iterator[Pair]:
    """Yield each finding whose line ends with the mark of a footnote that takes it back: "Clean*", "*Not verified"."""
    if any(line.startswith("*") and NOT_READ.search(plain_letters(line[:LONGEST_STATEMENT])) for line in lines):
        for line in lines:
            label, _, value = line.partition(":")
            name = known_name(label) if value.endswith("*") else ""
            if name in FINDING_FIELDS:
                yield name, f"{value.strip(' *')} (not verified)"


def _beside(label: str, value: str) -> Iterable[Pair]:
    """Return what the value of a pair, or a label beside the status, says about another finding."""
    name = known_name(label) or slug(label)
    if name in TITLES:
        return ()
    if name in MATTERS or slug(label) in MATTERS or OPERATOR.fullmatch(name):
        return () if NO_STATEMENT.search(plain_letters(value)) else _bad("blacklist", value)
    if PAST.search(name):
        return [("blacklist", f"Blacklist records: {value}")] if RECORDS.fullmatch(name) and _counts(value) else ()
    if name.startswith("blacklisted_"):
        return _unless_nothing("blacklist", label, value)
    if name in ("lost_mode", "icloud"):
        return (("fmi", "ON") for _ in _bad("fmi", value))
    if name.startswith("imei"):
        return _of_imei(value)
    if name in REPORTERS:
        return _unless_nothing("blacklist", "Reporting operator:", value)
    if name in VOICES or name not in KNOWN_NAMES:
        return _told_in(value, of_phone=name in VOICES)
    if name == "carrier" and label_key(label).startswith("lockedto"):
        return _unless_nothing("simlock", label, value) if is_good(value, "simlock") is None else ()
    return _in_value(name, value) if name in ("simlock", "fmi", "model", "carrier") else ()


def _in_value(name: str, value: str) -> Iterator[Pair]:
    """Yield what the value of a known label says about another finding."""
    for part in PARTS.split(value)[1:]:
        yield from _told(part)
    if name == "model":
        yield from _hidden(value)
        yield from _at_end(value)


def _of_imei(text: str) -> Iterator[Pair]:
    """Yield the bad state beside an IMEI: "IMEI2: 353370080000029 - Blacklisted"."""
    rest = IMEI.sub("", text[:LONGEST_STATEMENT]).strip(" -–—()[],;:=*")
    if len(rest) <= LABEL_REACH // 2 and ":" not in rest:
        yield from _bad("blacklist", rest)


def _at_end(model: str) -> Iterator[Pair]:
    """Yield the bad state at the end of a model: "iPhone 12 64GB [BLACKLISTED]"."""
    ending = MODEL_END.search(plain_letters(model[-LABEL_REACH:]))
    if ending:
        yield ("fmi", "ON") if ending[1] == "lost mode" else ("blacklist", ending[1])


def _unless_nothing(name: str, words: str, value: str) -> Iterator[Pair]:
    """Yield a finding of these words and a value, unless the value says that there is nothing."""
    if not _is_nothing(value):
        yield name, f"{words} {value}"


def _is_nothing(value: str) -> bool:
    """Return whether a value says that there is nobody, nothing or no date."""
    first = plain_letters(value[:LABEL_REACH]).split()[:1]
    said = any(map(str.isalpha, value)) or COUNT.search(value) is not None
    key = label_key(value)
    plain = key in NOTHING or ANSWERS.get(key) or not NOBODY.isdisjoint(first)
    return bool(plain) or not said or is_good(value, "blacklist") is True


def _counts(value: str) -> bool:
    """Return whether the value of "Blacklist Records" says that there are some."""
    return ANSWERS.get(label_key(value)) is False or bool(COUNT.match(value))


def _bad(name: str, value: str) -> Iterator[Pair]:
    if is_good(value, name) is False:
        yield name, value


def _told_in(text: str, *, of_phone: bool) -> Iterator[Pair]:
    """Yield each bad state that a sentence of a text states."""
    for sentence in SENTENCE.split(text[:LONGEST_NOTE]):
        yield from _told(sentence, of_phone=of_phone)


def _told(text: str, *, of_phone: bool = False) -> Iterator[Pair]:
    """Yield each bad state of a statement that says nothing else than that the phone has it."""
    if len(text) > LONGEST_STATEMENT:
        return
    words = plain_letters(text).strip(" .!*#-")
    if NO_STATEMENT.search(words) or _is_question(words):
        return
    for name, telling in TELLING.items():
        tells = telling.search(words) or (of_phone and TELLING_OF_PHONE[name].search(words))
        if tells and is_good(text, name) is False and _is_statement(words, name):
            yield name, text.strip()
    if APPLE_LOCK.fullmatch(words):
        yield "fmi", "ON"
    if of_phone and MODEL_START.match(words):
        yield from _at_end(words)


def _at_dash(text: str) -> Iterator[Pair]:
    """Yield the bad state behind the last dash of a short text: "Not eligible - blacklisted"."""
    before, last = DASH.split(text)[0], DASH.split(text)[-1]
    if before != last and len(text) <= LONGEST_STATEMENT and not ADVICE.search(before):
        yield from _told(last)


def _is_question(words: str) -> bool:
    """Return whether words are a question without a "yes" behind it."""
    _, mark, answer = words.rpartition("?")
    return bool(mark) and ANSWERS.get(label_key(answer)) is not False


def _is_statement(words: str, name: str) -> bool:
    """Return whether words are "this phone is" or the like, and a bad state without a condition."""
    reason = LINK_TO_REASON.sub("", words)  # "locked to AT&T" is a fact, "to be locked" is none
    marks = list(marked(reason, LEXICONS[name]))
    if _is_on_list(marks):
        return True
    while marks and (marks[0][1] in SUBJECTS or marks[0][1].isdigit()):
        del marks[0]
    if [mark for mark, _ in marks] == [Mark.NOT, Mark.GOOD]:
        return True
    bad = bool(marks) and marks[0][0] in (Mark.BAD, Mark.REPORTED)
    return bad and NO_FACT.isdisjoint(mark for mark, _ in marks)


def _is_on_list(marks: Sequence[tuple[Mark, str]]) -> bool:
    """Return whether words are "the phone is in the" or the like, and the name of a list."""
    before = list(takewhile(lambda mark: mark[1] in SUBJECTS | PLACES, marks))
    is_place = bool(before) and before[-1][1] in PLACES
    return is_place and [mark for mark, _ in marks[len(before) :]] == [Mark.BAD_NOUN]


def _not_read(text: str) -> Iterator[Pair]:
    """Yield each finding that a short line says was not checked."""
    words = plain_letters(text) if len(text) <= LABEL_REACH else ""
    if NOT_READ.search(words) and not any(aside.search(words) for aside in (ADVICE, NO_STATEMENT, ASIDE)):
        yield from ((name, about.sub("", words).strip()) for name, about in ABOUT.items() if about.search(words))


def _hidden(text: str) -> Iterator[Pair]:
    """Yield each label of a finding with its state in running words: "iPhone 12 FMI is ON SIM lock Unlocked"."""
    if not MAYBE_LABEL.search(text) or ADVICE.search(text) or text.endswith("?"):
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
        behind = at + count + sum(1 for _ in takewhile(LINKS.__contains__, words[at + count : at + count + MOST_LINKS]))
        for length in range(STATE_WORDS, 0, -1) if name else ():
            value = " ".join(words[behind : behind + length])
            ends = behind + length == len(words) and label_key(value) == "on"
            if value and (ends or plain_letters(value) in FINDING_WORDS[name] or label_key(value) in NOTHING):
                return name, behind + length - at, value
    return "", 0, ""


def _finding(label: str) -> str:
    """Return the finding that a label is about, "" for a word that is also a state and for any other label."""
    name = name_of(label_key(label)) if is_label(label) else ""
    return name if name in FINDING_FIELDS - {"lock"} else ""
