"""What the rules look at: one result in the provider's words, read as states.

A finding that a result lacks is "not reported", and neither on, off nor unknown: a check of Find My iPhone has no
blacklist line. It is unknown where the text has it and its words are unclear or missing ("N/A"), or where the
service's name promises it.
"""

import re
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from devices import STATE_OF, SimState, fmi_state

#: Finding → the words by which a service's name promises it; "without blacklist" promises nothing.
PROMISES = MappingProxyType({
    "simlock": re.compile(r"(?<!no )(?<!without )\bsim[ -]?lock", re.IGNORECASE),
    "fmi": re.compile(r"(?<!no )(?<!without )\b(?:fmi\b|find my\b|icloud (?:lock|on)\b)", re.IGNORECASE),
    "blacklist": re.compile(r"(?<!no )(?<!without )\b(?:blacklist|black list)", re.IGNORECASE),
})  # fmt: skip
#: An iCloud status in a result text. Bounded, because texts are hostile.
ICLOUD = re.compile(
    r"\bicloud(?: account)?(?: clean ?[/ ] ?lost)?(?: status| state)?[ \t]{0,3}:[ \t]{0,9}([^\n]{1,60}?)(?= - |\n|$)",
    re.IGNORECASE,
)
#: The words of a value that say nothing about a device.
NO_VALUE = re.compile(
    r"\W*(?:|n/?a|none|null|error|failed|un(?:known|available|defined)|no (?:data|records?|info(?:rmation)?|results?)"
    r"|not (?:found|available|applicable|known|checked|supported))(?: found)?\W*",
    re.IGNORECASE,
)
#: A label of a finding without a word behind it: "Blacklist Status: N/A", "FMI: ?". Bounded, because texts are hostile.
LEFT_OPEN = MappingProxyType({
    name: re.compile(
        rf"(?:^|\n|[-|·,] )(?:current |usa? |gsma )?{label}(?: lock)?(?: status)?[ \t]{{0,9}}:"
        r"[^\w\n]{0,9}(?:n/?a|null|nil|undefined)?[^\w\n]{0,9}(?=\n|$)",
        re.IGNORECASE,
    )
    for name, label in {
        "simlock": "sim[ -]?lock",
        "fmi": "(?:fmi|find my(?: iphone)?|icloud lock|activation lock)",
        "blacklist": "(?:black ?list|gsma)",
    }.items()
})  # fmt: skip
#: "Refunded", "server down", "check failed"; and the words of conditions.
FAILURE = re.compile(
    r"\brefunded\b|\bserver (?:is )?(?:down|busy|offline|error|unavailable|under maintenance)\b"
    r"|\b(?:check|order|request|lookup|service) (?:has )?(?:failed|rejected|cancell?ed)\b"
    r"|\b(?:status|result|error): ?(?:failed|error|rejected|cancell?ed|timeout)\b|\btry again later\b|\btimed out\b"
)
NO_FAILURE = re.compile(r"\b(?:not|no|never|if|when|in case|will|would|can|may|are)\b")
LONGEST_FAILURE = 80  #: characters
SERVICES_REMEMBERED = 1024


class Findings(NamedTuple):
    """The result of one order, as far as rules look at it. Words are the provider's; "" where there are none."""

    is_rejected: bool = False  #: the provider rejected the order: there is no result
    is_about_another: bool = False  #: the result names another IMEI than the ordered one
    service_id: str = ""
    service_name: str = ""
    carrier: str = ""
    model: str = ""
    warranty: str = ""
    simlock: str = ""
    fmi: str = ""
    blacklist: str = ""
    text: str = ""  #: the result text without markup
    age: int | None = None  #: whole days since the order was placed; None where its date is unknown

    def state(self, name: str) -> StrEnum | None:
        """Return the state of a finding of STATE_OF; None where the result does not report it.

        An iCloud status "Lost" counts as Find My iPhone ON.
        """
        if self.is_rejected:
            return None
        if name == "fmi" and self._is_lost():
            return fmi_state("ON")
        words = getattr(self, name)
        if words or name in promised(self.service_name) or LEFT_OPEN[name].search(self.text):
            return STATE_OF[name](words)
        return None

    @property
    def is_usable(self) -> bool:
        """Whether the result is about this device, and something in it was understood."""
        if self.is_rejected or self.is_about_another:
            return False
        known = any(self.state(name) not in (None, SimState.UNKNOWN) for name in STATE_OF)
        if known:
            return True
        said = any(map(_says_something, (self.carrier, self.model, self.warranty)))
        return said and not _says_that_it_failed(self.text)

    def _is_lost(self) -> bool:
        found = ICLOUD.findall(self.text) if "icloud" in self.text.lower() else []
        return any(fmi_state(words) == fmi_state("ON") for words in found)


def _says_something(words: str) -> bool:
    """Return whether a value is there, and is not one such as "Unknown" or "Not found"."""
    return NO_VALUE.fullmatch(words) is None


def _says_that_it_failed(text: str) -> bool:
    """Return whether a short line says that the check failed or was refunded: "Refunded - server down"."""
    lines = (line for line in text.lower().split("\n") if len(line) <= LONGEST_FAILURE)
    return any(FAILURE.search(line) and not NO_FAILURE.search(line) for line in lines)


@lru_cache(SERVICES_REMEMBERED)
def promised(service_name: str) -> frozenset[str]:
    """Return the findings that a service's name promises: "Apple Carrier + SimLock + FMI" promises two."""
    return frozenset(name for name, words in PROMISES.items() if words.search(service_name))
