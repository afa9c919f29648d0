"""Read the provider's result text about a device: any markup in, one frozen report out.

Markup becomes clean lines, lines become pairs of label and value, pairs become fields. The first value of a
field wins; of two findings the worse, so that no later line turns bad into good. It must not know HTTP, SQL,
files or Flask.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from devices.label_table import KNOWN_NAMES, known_name, label_key, slug
from devices.markup import clean_lines, shown_line
from devices.pairs import IMEI, Pair, label_pairs, tidy
from devices.statements import stated
from devices.states import FINDING_FIELDS, STATE_OF, is_good, names_state
from devices.words import ANSWERS, plain_letters, tokens

#: Characters of a text that are read; real ones have under 10,000, and the raw text is kept elsewhere.
MAX_TEXT = 65_536
#: Bytes of a main field. Filters find it by an index, and PostgreSQL takes 2,700 bytes for all columns of one index.
MAX_VALUE = 350
#: The main fields that filters find orders by.
INDEXED_FINDINGS = ("imei2", "model", "carrier", "simlock", "fmi", "blacklist", "serial")
#: Sources of each main field: the first of these names that the text has.
MAIN_FIELDS = MappingProxyType(
    {
        "imei": ("imei",),
        "imei2": ("imei2",),
        "serial": ("serial",),
        "model": ("model", "model_description", "model_name", "device_name", "model_number"),
        "carrier": ("carrier", "network", "initial_carrier"),
        "simlock": ("simlock", "lock"),
        "fmi": ("fmi",),
        "blacklist": ("blacklist",),
        "warranty": ("warranty", "service_coverage"),
    }
)

#: Names that alone do not make a text a report about a device.
TALK = frozenset({
    "message", "result", "response", "success", "note", "notes", "comment", "remark", "status", "order", "reason",
    "error", "code", "description", "error_code", "ordered_imei", "search_term", "imei", "imei2",
})  # fmt: skip
REASON_NAMES = ("reason", "error", "message", "result", "comment", "status")
CODE_NAMES = frozenset({"unlock_code", "nck", "mck", "unfreeze", "spck", "spck_code", "cp_code", "sp_code"})

ERROR_PHRASES = (
    "already available", "already exist", "already in your", "already ordered",
    "pending in your account", "duplicate", "ya existe", "credit has been finished",
    "credits have been finished", "insufficient", "not enough credit", "no credit", "suficiente cr",
    "saldo", "low balance", "invalid api", "invalid user", "invalid ip", "api access", "access denied",
    "unauthorized", "user is not active", "maintenance", "timed out", "timeout", "server error",
    "internal error", "try again", "connection", "unavailable",
)  # fmt: skip
REJECT_PHRASES = (
    "reject", "not found", "no encontrado", "no encontrada", "invalid", "wrong imei", "incorrect imei",
    "bad imei", "not valid", "not supported", "unsupported", "cancel", "refused", "denied", "unable to",
    "cannot", "can't", "could not", "not available", "no data", "no record", "no result",
    "no information", "not eligible", "not exist", "not apple", "not an apple", "not a ", "unknown imei",
    "refund", "failed", "rechazad", "tidak ditemukan", "nicht gefunden", "introuvable", "non trouve",
    "nao encontrad", "no se encontr", "no existe", "non trovat", "ungultig", "invalide", "abgelehnt",
    "rejete", "rejeitad",
)  # fmt: skip

PLACEHOLDERS = frozenset({"", "na", "null", "undefined", "nil", "nan"})
#: Fields in which "None" is no value; elsewhere it is an answer ("Blacklist Records: None").
NEVER_NONE = frozenset(
    {"imei", "imei2", "serial", "model", "carrier", "network", "initial_carrier", "warranty", "device_name"}
)
RADIO = re.compile(
    r"(?:GSM|CDMA|LTE|WCDMA|UMTS|HSPA|HSDPA|EVDO|EDGE|GPRS|NR|TD-?SCDMA|TD-?LTE|VOLTE|[2345]G|[\s/,+&-])+",
    re.IGNORECASE,
)
#: An IMEI in a sentence, such as "Result for 353979105704801:" or "IMEI 353979105704801 is clean".
SAID_IMEI = re.compile(r"\b(?:imei|for|device)\b[^\w\n]{0,3}(\d{15})(?!\w)", re.IGNORECASE)
CODE = re.compile(r"(?=.*\d)[0-9A-Fa-f#*+-]{4,40}|\d[\d ,]{3,60}")
APPLE_PART = re.compile(r"[A-Z0-9]{4,6}[A-Z]{1,2}/[A-Z]")
STOCK_TEXT = re.compile(r",|//")
OTHER_MAKERS = ("xiaomi", "redmi", "samsung", "galaxy", "google", "pixel", "huawei", "oppo", "motorola")
#: Names whose meaning depends on the value: a network, a SIM lock or a blacklist.
LISTED_BY_VALUE = frozenset({"network", "carrier", "network_status", "esn", "imei_status", "status"})
#: Names of values that may tell of a SIM lock where nothing else does.
LOCK_PLACES = ("carrier", "network", "model", "next_tether_policy", "simlock_policy", "sim_policy", "lock_policy")
#: Names of labels that ask whether the state is good, with the words for both answers.
OPPOSITES = MappingProxyType({
    "unlocked": ("Unlocked", "Locked"), "clean": ("Clean", "Not clean"), "fmi_off": ("OFF", "ON"),
})  # fmt: skip
FMI_OFF = re.compile(
    r"(?:is)?(?:fmip?|findmy(?:iphone|ipad|device)?|icloud|icloudlock|activationlock)(?:is)?(?:off|disabled)"
)
SWITCH = frozenset({
    "on", "off", "enabled", "disabled", "locked", "unlocked", "yes", "no", "true", "false", "active", "inactive",
})  # fmt: skip
#: Words in a label that is about a state but does not have it as its value.
ASIDE = re.compile(
    r"record|reason|date|histor|count|_by$|operator|provider|carrier|polic|message|time|type|detail|url|eligib"
    r"|previous|former|checker|info|period|until|expir|start|note|source|_id$|_on$|(?:^|_)(?:if|when|unless|before|sure|must|please|should)_|knox|mdm|(?:^|_)mi_|xiaomi|samsung|google|frp"
    r"|(?:^|_)(?:not|non|no|un)_"
)


class ReportKind(StrEnum):
    """The kind of answer that a result text is."""

    COMPLETED = "completed"  #: it has a fact about a device
    FREE_TEXT = "free_text"  #: words without a fact about a device
    EMPTY = "empty"  #: no text, or a placeholder such as "-"
    UNLOCK_CODE = "unlock_code"  #: codes to unlock the device with
    REJECTED = "rejected"  #: the provider looked, and has no result for this IMEI
    ERROR = "error"  #: the order itself failed: credit, duplicate, access, outage


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A parsed result text. A field is None if the text does not have it. Escape all fields on output."""

    kind: ReportKind
    imei: str | None  #: 14 to 16 digits, or masked with x, X or *
    imei2: str | None
    serial: str | None
    model: str | None
    carrier: str | None
    simlock: str | None  #: the provider's words; sim_state() reads them
    fmi: str | None  #: the provider's words; fmi_state() reads them
    blacklist: str | None  #: the provider's words; blacklist_state() reads them
    warranty: str | None
    other: dict[str, str]  #: all other facts, by snake_case name; the first value of a name
    pairs: tuple[tuple[str, str], ...]  #: every label that has a value, in order
    display: str  #: the text without markup, line by line, to MAX_TEXT
    imeis: tuple[str, ...] = ()  #: every IMEI of the device, or that was looked up

    def second_of(self, ordered_imei: str) -> str | None:
        """Return the other IMEI of the phone: its first one where the second was ordered."""
        names_both = self.imei and self.imei2 and len(ordered_imei) >= 14
        return self.imei if names_both and _same_body(self.imei2 or "", ordered_imei) else self.imei2

    def is_about_another_device(self, ordered_imei: str) -> bool:
        """Return whether the text names IMEIs, but not the ordered one (compared without check digit)."""
        ordered = "".join(filter(str.isdigit, ordered_imei))
        if len(ordered) < 14 or not self.imeis:
            return False
        return not any(_same_body(imei, ordered) for imei in self.imeis)


def read_report(text: str) -> DeviceReport:
    """Return the report in a provider's result text (HTML, JSON or plain text, or a mixture). Never raises."""
    lead, marked, lines = _leading_imei(clean_lines(text[:MAX_TEXT]))
    pairs, text = label_pairs(lines), "\n".join(lines)
    facts = _facts(pairs, text.casefold())
    found = _found(facts)
    for name, value in stated(pairs, lines):
        if name not in found or _rank(name, value) < _rank(name, found[name]):
            found[name] = value
    if lead:
        found.setdefault("ordered_imei" if marked or "imei" in found else "imei", lead)
    if "imei" not in found and (said := SAID_IMEI.search(text)):
        found["imei"] = said[1]
    display = "\n".join(filter(None, [lead, *map(shown_line, lines)]))
    kind, reason = _kind(found, display)
    if reason:
        found.setdefault("reason", reason)
    fields = {field: short_value(field, _main(found, field)) for field in MAIN_FIELDS}
    other = {name: value for name, value in found.items() if name not in MAIN_FIELDS and name != "lock"}
    imeis = _all_imeis(facts, found)
    return DeviceReport(kind=kind, other=other, pairs=tuple(pairs), display=display, imeis=imeis, **fields)


def _facts(pairs: Iterable[Pair], text: str) -> list[Pair]:
    """Return every name with each of its values that is not empty, in order."""
    return [
        (name, value)
        for label, raw in pairs
        if label_key(raw) not in PLACEHOLDERS
        for name, value in _named(label, raw, text)
        if name not in NEVER_NONE or label_key(value) != "none"
    ]


def _found(facts: Iterable[Pair]) -> dict[str, str]:
    """Return the first value of every name; of two states the worse, so that no later line turns bad into good.

    A second, different IMEI under the label of the first is the second IMEI of the phone.
    """
    found: dict[str, str] = {}
    for name, value in facts:
        if name not in found or _outweighs(name, value, found[name]):
            found[name] = value
        elif name == "imei" and "imei2" not in found and value[:14] != found["imei"][:14]:
            found["imei2"] = value
    return found


def _outweighs(name: str, value: str, first: str) -> bool:
    """Return whether a later value has more information than the first: a bad state, or details of a yes or no."""
    is_detail = label_key(first) in ANSWERS and label_key(value) not in ANSWERS
    if name == "warranty":
        return is_detail
    return _is_doubt(name, value, first) or (_is_bad(name, value) and (is_detail or not _is_bad(name, first)))


def _is_doubt(name: str, value: str, first: str) -> bool:
    """Return whether a later value takes a good state back: "Clean", then "Clean (not verified)"."""
    good_first = name in FINDING_FIELDS and is_good(first, name) is True
    return good_first and is_good(value, name) is None and names_state(value, name)


def _all_imeis(facts: Iterable[Pair], found: dict[str, str]) -> tuple[str, ...]:
    listed = [value for name, value in facts if name in ("imei", "imei2", "search_term") and IMEI.fullmatch(value)]
    return tuple(dict.fromkeys([found[name] for name in ("imei", "imei2") if name in found] + listed))


def _is_bad(name: str, value: str) -> bool:
    return name in FINDING_FIELDS and is_good(value, name) is False


def _rank(name: str, value: str) -> int:
    """Return 0 for a bad state, 1 for an unclear one, 2 for a good one."""
    good = is_good(value, name)
    return 1 if good is None else 2 * good


def _named(label: str, value: str, text: str) -> list[Pair]:
    """Return the names under which a pair is stored; the meaning of some labels depends on their value."""
    name = known_name(label) or _by_keyword(label)
    if name == "blacklist" and not known_name(label) and is_good(value, name) is None:
        name = slug(label)
    if name in ("imei", "imei2", "search_term"):
        return _named_imei(name, value)
    if name in FINDING_FIELDS or name in ("carrier", "lock"):
        value = _without_full_stop(value)
    return [(_by_value(name, label, value, text), _answer(value, *OPPOSITES[name]) if name in OPPOSITES else value)]


def _answer(value: str, good: str, bad: str) -> str:
    """Return the state for a label that asks for the good one: "Unlocked: Yes (T-Mobile)" is unlocked."""
    word, _, rest = value.partition(" ")
    rest = rest if rest.startswith("(") else ""
    negative = ANSWERS.get(label_key(word if rest else value))
    return value if negative is None else " ".join(filter(None, [bad if negative else good, rest]))


def _named_imei(name: str, value: str) -> list[Pair]:
    """Return the IMEI, or both, in a value; anything else is stored under another name."""
    joined = re.sub(r"[ ./-]", "", value)
    run_on = re.match(r"\d{15}(?=[^\W\d])", value)  # what follows is a label that could not be told apart
    imeis = [joined] if IMEI.fullmatch(joined) else [run_on[0]] if run_on else IMEI.findall(value)
    if imeis:
        return list(zip((name, "imei2"), imeis[:2] if name == "imei" else imeis[:1], strict=False))
    if name != "search_term" and re.fullmatch(r"(?=.*[A-Z])(?=.*\d)[A-Z0-9]{8,14}", value):
        return [("serial", value)]
    if name == "imei" and is_good(value, "blacklist") is not None:
        return [("blacklist", value)]
    return [(name if name == "search_term" else f"{name}_text", value)]


def _by_keyword(label: str) -> str:
    """Return the name for a label that is not in the table, by the one word that decides its meaning."""
    name = slug(label)
    if ASIDE.search(name) or name.startswith("blacklisted_"):
        return name
    key = name.replace("_", "")
    if key == "clean":  # not in the table, because it is more often a value
        return key
    if "blacklist" in key or "blocklist" in key:
        return "blacklist"
    if "simlock" in key:
        return "simlock"
    if FMI_OFF.fullmatch(key):
        return "fmi_off"
    if "findmyi" in key or "icloudlock" in key or "activationlock" in key or "fmi" in name.split("_"):
        return "fmi"
    return name


def _by_value(name: str, label: str, value: str, text: str) -> str:
    """Return the name under which a pair is stored, if the value decides the meaning of the label."""
    if name in LISTED_BY_VALUE:
        return _by_list_state(name, label, value)
    match name:
        case "icloud":
            return "fmi" if _first_word(value) in SWITCH else "icloud_status"
        case "find_my_device":
            return name if any(maker in text for maker in OTHER_MAKERS) else "fmi"
        case "carrier_lock":
            return "simlock" if names_state(value, "simlock") else "carrier"
        case "unlocked":  # "Yes, eligible" answers another question
            words = tokens(value)
            return slug(label) if len(words) > 1 and words[0] in ANSWERS and words[1] == "," else "simlock"
        case "clean":
            return "blacklist" if ANSWERS.get(label_key(value)) is not None else slug(label)
        case "lost":  # bad news; that a phone is not lost does not make it clean
            return "blacklist" if is_good(value, "blacklist") is False else slug(label)
        case "fmi_off":
            return "fmi"
        case "sim":
            return name if is_good(value, "simlock") is None else "simlock"
        case "code" | "unlock_code":
            return "unlock_code" if CODE.fullmatch(value) else f"{name}_text"
        case "device_name" if not any(map(str.isalpha, value)):
            return slug(label)  # "Phone: +1 555 0100"
        case "order":
            return "part_number" if APPLE_PART.fullmatch(value) else "order"
    return name


def _by_list_state(name: str, label: str, value: str) -> str:
    """Return the name for a label that may be about a network, a SIM lock or a blacklist."""
    listed = is_good(value, "blacklist")
    locked = is_good(value, "simlock")
    switch = _first_word(value) in SWITCH
    match name:
        case "network" | "carrier" if RADIO.fullmatch(value):
            return "network_modes"
        case "network" if listed is not None and locked is None:
            return "network_status"
        case "network_status" if locked is not None:
            return "simlock"
        case "esn" | "imei_status":
            return "blacklist" if listed is not None and not switch else slug(label)
        case "status" if listed is False and not switch:
            return "blacklist"
    return name


def _first_word(value: str) -> str:
    return plain_letters(value[:40]).partition(" ")[0].strip(".,;()")


def _without_full_stop(value: str) -> str:
    """Remove the full stop of a sentence from a short value; that of an abbreviation ("Inc.") stays."""
    words = value.split()
    ends = value.endswith(".") and len(words) <= 4 and len(words[-1]) > 4 and value.count(".") == 1
    return value[:-1] if ends else value


def _main(found: dict[str, str], field: str) -> str | None:
    """Return the value of a main field, from the first of its names that the text has."""
    names = MAIN_FIELDS[field]
    if field == "warranty":  # the first that says more than yes or no
        names = tuple(sorted(names, key=lambda name: label_key(found.get(name, "no")) in ANSWERS))
    if field == "model" and "model_name" in found and STOCK_TEXT.search(found.get("model_description", "")):
        names = ("model", "model_name")
    return next((found[name] for name in names if name in found), None) or _implied(found, field)


def _implied(found: dict[str, str], field: str) -> str | None:
    """Return a finding that only other facts tell of: "Carrier: AT&T (Locked)", "Blacklist Records: 3"."""
    if field == "simlock":
        places = [found[name] for name in LOCK_PLACES if name in found]
        return next((value for value in places if is_good(value, "simlock") is False), None)
    if field == "blacklist":
        about = ((name, value) for name, value in found.items() if "blacklist" in name)
        return next((f"{name.replace('_', ' ')}: {value}" for name, value in about), None)
    return None


def short_value(field: str, value: str | None) -> str | None:
    """Return the beginning of a value that is longer than MAX_VALUE, or its state where the beginning has another."""
    if value is None or len(value.encode()) <= MAX_VALUE:
        return value
    cut = value.encode()[:MAX_VALUE].decode(errors="ignore")
    state_of = STATE_OF.get(field)
    return cut if state_of is None or state_of(cut) == state_of(value) else str(state_of(value))


def _leading_imei(lines: list[str]) -> tuple[str, bool, list[str]]:
    """Return an IMEI that starts the text without a label, whether "!" marks it as ordered, and the rest."""
    lead = re.match(r"(\d{14,16})(?:\s*([!:,|;-])\s*|\s+|$)", lines[0]) if lines else None
    if not lead or (len(lines) == 1 and lead.end() == len(lines[0])):
        return "", False, lines
    rest = lines[0][lead.end() :]
    return lead[1], lead[2] == "!", [rest, *lines[1:]] if rest else lines[1:]


def _kind(found: dict[str, str], display: str) -> tuple[ReportKind, str]:
    """Return the kind of answer, and for a rejection or an error the provider's reason."""
    if label_key(display) in PLACEHOLDERS:
        return ReportKind.EMPTY, ""
    if found.keys() & CODE_NAMES and not found.keys() & {*FINDING_FIELDS, "warranty"}:
        return ReportKind.UNLOCK_CODE, ""
    if re.fullmatch(r"\d{8}|\d{10}|\d{12}|\d{16}", display):
        return ReportKind.UNLOCK_CODE, ""
    facts = found.keys() - TALK
    if facts & KNOWN_NAMES or len(facts) > 1:
        return ReportKind.COMPLETED, ""
    return _kind_of_words(found, display)


def _kind_of_words(found: dict[str, str], display: str) -> tuple[ReportKind, str]:
    """Return the kind of a text without facts, by the phrases that providers use, and its reason."""
    error = label_key(found.get("error", "no")) not in ("no", "false", "none", "0")
    if error or _holds(display, ERROR_PHRASES):
        return ReportKind.ERROR, _reason(found, display)
    if _holds(display, REJECT_PHRASES):
        return ReportKind.REJECTED, _reason(found, display)
    if _holds(display, ("error",)):
        return ReportKind.ERROR, _reason(found, display) or tidy(display)
    return (ReportKind.COMPLETED if "imei" in found else ReportKind.FREE_TEXT), ""


def _reason(found: dict[str, str], display: str) -> str:
    """Return the provider's reason for having no result."""
    said = [found[name] for name in REASON_NAMES if name in found]
    lines = [tidy(line).lstrip(" ,;:-") for line in display.split("\n")]
    return next(iter([*said, *(line for line in lines if _holds(line, ERROR_PHRASES + REJECT_PHRASES))]), "")


def _holds(text: str, phrases: tuple[str, ...]) -> bool:
    words = plain_letters(text)
    return any(phrase in words for phrase in phrases)


def _same_body(imei: str, ordered: str) -> bool:
    """Return whether an IMEI, perhaps masked, equals the ordered one in each digit before the check digit."""
    return len(imei) >= 14 and all(
        ours == theirs or not theirs.isdigit() for ours, theirs in zip(ordered[:14], imei[:14], strict=True)
    )
