"""Whether words mean locked or unlocked, on or off, blacklisted or clean.

"Not Blacklisted" is clean and "Unlocked" holds no "locked"; "Not found" is neither good nor bad.
This module must not know labels or markup: it reads one value at a time.
"""

import re
import unicodedata
from enum import StrEnum
from types import MappingProxyType


class SimState(StrEnum):
    """Whether a device takes any carrier's SIM."""

    LOCKED = "Locked"
    UNLOCKED = "Unlocked"
    UNKNOWN = "Unknown"  #: not said, or not clearly


class FmiState(StrEnum):
    """Whether Find My iPhone (the activation lock) is on."""

    ON = "ON"
    OFF = "OFF"
    UNKNOWN = "Unknown"  #: not said, or not clearly


class BlacklistState(StrEnum):
    """Whether networks block a device as lost, stolen or unpaid."""

    CLEAN = "Clean"
    BLACKLISTED = "Blacklisted"
    UNKNOWN = "Unknown"  #: not said, or not clearly; "Not found" is this


def sim_state(simlock: str | None) -> SimState:
    """The verdict in a SIM lock value; any word for locked outweighs one for unlocked."""
    good = verdict(simlock, SIM_GOOD, SIM_BAD)
    return SimState.UNKNOWN if good is None else SimState.UNLOCKED if good else SimState.LOCKED


def fmi_state(fmi: str | None) -> FmiState:
    """The verdict in a Find My iPhone value; any word for on outweighs one for off."""
    good = verdict(fmi, FMI_GOOD, FMI_BAD)
    return FmiState.UNKNOWN if good is None else FmiState.OFF if good else FmiState.ON


def blacklist_state(blacklist: str | None) -> BlacklistState:
    """The verdict in a blacklist value; any word for blacklisted outweighs one for clean."""
    good = verdict(blacklist, LIST_GOOD, LIST_BAD)
    if good is None:
        return BlacklistState.UNKNOWN
    return BlacklistState.CLEAN if good else BlacklistState.BLACKLISTED


VERDICT_FIELDS = frozenset({"simlock", "lock", "fmi", "blacklist"})


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


NEGATIONS = word_set("no not non never without un isnt isn ohne nicht kein keine sin nao pas sem sans aucune ninguna")
CLAUSE_ENDS = frozenset({",", ";", ".", "(", ")", "|", "-", "–", "—", "but", "pero", "aber", "mas"})
SIM_GOOD = word_set(
    "unlocked unlock open free simfree liberado libre livre desbloqueado desbloqueada entsperrt "
    "deverrouille 已解锁 无锁 liberada debloque sbloccato sbloccata freigeschaltet simlockfrei"
)
SIM_BAD = word_set(
    "locked lock relocked bloqueado bloqueada gesperrt verrouille bloque 有锁 已锁 已锁定 bloquee verrouillee "
    "bloccato bloccata restricted restriction restrictions"
)
FMI_GOOD = word_set(
    "off disabled disable unlocked inactive deactivated desactivado desactivada desativado aus unlock 关闭 "
    "已关闭 desactive desactivee inactif inactivo inativo apagado desligado deaktiviert ausgeschaltet "
    "disattivato"
)
FMI_BAD = word_set(
    "on enabled enable locked active activated lost activado activada ativado ein lock 开启 已开启 activee "
    "actif activo ativo ativada encendido ligado aktiviert eingeschaltet attivo attivato"
)
LIST_GOOD = word_set(
    "clean good clear cleared limpio limpia limpo propre sauber 正常 limpa saine pulito pulita"
)
LIST_BAD = word_set(
    "blacklisted blocklisted blocked block barred banned stolen theft lost reported flagged fraud unpaid "
    "listed bad dirty robado robada roubado bloqueado bloqueada gesperrt gestohlen vole perdu 黑名单 robo "
    "hurto hurtado reportado reportada perdido extravio roubo roubada denunciado bloquee verloren rubato "
    "restriccion restricao restricted restriction restrictions"
)
#: Whole values that answer the question in the label: "SIM Lock: Yes" is locked, "Blacklist: No" is clean.
ANSWERS = MappingProxyType({
    **dict.fromkeys(("yes", "true", "on", "y", "si", "sim", "oui", "ja", "positive"), False),
    **dict.fromkeys(("no", "false", "off", "n", "nao", "non", "nein", "negative"), True),
})  # fmt: skip
#: The good and the bad words of each verdict.
VERDICT_WORDS_OF = MappingProxyType({
    "simlock": (SIM_GOOD, SIM_BAD), "lock": (SIM_GOOD, SIM_BAD),
    "fmi": (FMI_GOOD, FMI_BAD), "blacklist": (LIST_GOOD, LIST_BAD),
})  # fmt: skip
VERDICTS = MappingProxyType({name: good | bad for name, (good, bad) in VERDICT_WORDS_OF.items()})
STATE_WORDS = frozenset[str]().union(*VERDICTS.values())
VERDICT_WORDS = re.compile(r"[^\W_]+|[,;.()|]|(?<=\s)[-–—](?=\s)")


def verdict(value: str | None, good: frozenset[str], bad: frozenset[str]) -> bool | None:
    """True for a good state, False for a bad one, None where the words say neither."""
    words = VERDICT_WORDS.findall(plain_letters((value or "")[:400]))
    spoken = [word for word in words if word not in CLAUSE_ENDS]
    if len(spoken) == 1 and spoken[0] in ANSWERS:
        return ANSWERS[spoken[0]]
    seen: set[bool] = set()
    negated = False
    for word in words:
        if word in CLAUSE_ENDS:
            negated = False
        elif word in NEGATIONS:
            negated = True
        elif word in good or word in bad:
            seen.add((word in good) is not negated)
    return all(seen) if seen else None


def plain_letters(text: str) -> str:
    """Lower case without accents."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
