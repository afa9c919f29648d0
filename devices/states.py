"""Decide whether words mean locked or unlocked, on or off, blacklisted or clean.

"Not Blacklisted" is clean and "Unlocked" holds no "locked"; "Not found" and "Eligible for unlock" are neither good nor
bad. This module must not know labels or markup: it reads one value at a time, by the words of words.py.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from devices.words import ANSWERS, FIELD_WORDS, LEXICONS, Lexicon, Mark, marked


class SimState(StrEnum):
    """State of the SIM lock."""

    LOCKED = "Locked"
    UNLOCKED = "Unlocked"
    UNKNOWN = "Unknown"  #: missing or unclear


class FmiState(StrEnum):
    """State of Find My iPhone (the activation lock)."""

    ON = "ON"
    OFF = "OFF"
    UNKNOWN = "Unknown"  #: missing or unclear


class BlacklistState(StrEnum):
    """State on the networks' lists of lost, stolen and unpaid devices."""

    CLEAN = "Clean"
    BLACKLISTED = "Blacklisted"
    UNKNOWN = "Unknown"  #: missing or unclear, for example "Not found"


def sim_state(simlock: str | None) -> SimState:
    """Return the state in a SIM lock value; any word for locked outweighs one for unlocked."""
    good = is_good(simlock, "simlock")
    return SimState.UNKNOWN if good is None else SimState.UNLOCKED if good else SimState.LOCKED


def fmi_state(fmi: str | None) -> FmiState:
    """Return the state in a Find My iPhone value; any word for on outweighs one for off."""
    good = is_good(fmi, "fmi")
    return FmiState.UNKNOWN if good is None else FmiState.OFF if good else FmiState.ON


def blacklist_state(blacklist: str | None) -> BlacklistState:
    """Return the state in a blacklist value; any word for blacklisted outweighs one for clean."""
    good = is_good(blacklist, "blacklist")
    if good is None:
        return BlacklistState.UNKNOWN
    return BlacklistState.CLEAN if good else BlacklistState.BLACKLISTED


FINDING_FIELDS = frozenset(LEXICONS)
#: The fields that hold a finding in the provider's words, and what reads it.
STATE_OF: Mapping[str, Callable[[str], StrEnum]] = MappingProxyType(
    {"simlock": sim_state, "fmi": fmi_state, "blacklist": blacklist_state}
)
#: Characters of a value that are read.
REACH = 400
#: Values whose state is cached: most texts repeat the same few values.
REMEMBERED = 4096
#: Records on a list, which make a clean state doubtful: "Clean (1 record)".
RECORDS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,5}\+? (?:black ?list(?:ed)? )?(?:records?|hits?|entry|entries|match(?:es)?)\b", re.I
)
SENTENCE_ENDS = frozenset({".", ";", "|", "\n", "。"})
LABEL_ENDS = frozenset({":", "=", "?"})
BRACKETS = frozenset("()")
STATES = MappingProxyType({
    Mark.GOOD: True, Mark.GOOD_NOUN: True, Mark.BAD: False, Mark.BAD_NOUN: False, Mark.REPORTED: False,
})  # fmt: skip
NEGATIONS = frozenset({Mark.NO, Mark.NOT, Mark.NOR})
#: Answers that the rest of the value only explains: "Yes - since 2020".
LEADING = frozenset({"yes", "true", "si", "oui", "ja", "tak", "да", "evet", "是"})
#: Most words in one part of an enumeration; longer parts are sentences of their own.
LONGEST_PART = 6


class Clause(NamedTuple):
    """The words of a value up to a comma, a bracket, a "but" …"""

    marks: tuple[tuple[Mark, str], ...]
    end: str  #: what ends it; empty at the end of the value

    def states(self) -> list[bool]:
        """Return the states that its words name, True for good, whatever else it says."""
        return [STATES[mark] for mark, _ in self.marks if mark in STATES]

    def answer(self) -> bool | None:
        """Return True for a clause that is no more than "no", False for "yes", else None, as for "no?"."""
        return ANSWERS.get(self.marks[0][1]) if len(self.marks) == 1 and self.end != "?" else None


class Claim(NamedTuple):
    """The meaning of one clause."""

    states: tuple[bool, ...]  #: True for good
    negated: bool  #: a negation was open at its end
    pending: bool  #: the negation has not met a word to negate


def is_good(value: str | None, name: str) -> bool | None:
    """Return True for a good state, False for a bad one, None if the words mean neither.

    name is one of FINDING_FIELDS. A word for bad outweighs every word for good; what
    may become good, or is good under a condition, is not good.
    """
    return _is_good((value or "")[:REACH], name)


@lru_cache(REMEMBERED)
def _is_good(value: str, name: str) -> bool | None:
    clauses = _clauses(value, LEXICONS[name])
    spoken = [clause for clause in clauses if clause.marks]
    answer = spoken[0].answer() if spoken else None
    if answer is not None and (len(spoken) == 1 or spoken[0].marks[0][1] in LEADING):
        return answer
    seen = [state for sentence in _sentences(clauses) for state in _sentence(sentence)]
    if not seen or (all(seen) and name == "blacklist" and RECORDS.search(value)):
        return None
    return all(seen)


def names_state(value: str, name: str) -> bool:
    """Return whether a value is about this state, even if it leaves the state open ("Eligible for unlock")."""
    clauses = _clauses(value[:REACH], LEXICONS[name])
    return is_good(value, name) is not None or any(clause.states() for clause in clauses)


def _clauses(value: str, lexicon: Lexicon) -> list[Clause]:
    clauses: list[Clause] = []
    marks: list[tuple[Mark, str]] = []
    for mark, text in marked(value, lexicon):
        if mark is not Mark.END:
            marks.append((mark, text))
        elif text != "/" or [mark for mark, _ in marks] == [Mark.NO]:  # "lost/stolen" is one thing, "No / Stolen" two
            clauses.append(Clause(tuple(marks), text))
            marks = []
    return [*clauses, Clause(tuple(marks), "")]


def _sentences(clauses: list[Clause]) -> Iterator[list[Clause]]:
    sentence: list[Clause] = []
    for clause in clauses:
        sentence.append(clause)
        if clause.end in SENTENCE_ENDS or not clause.end:
            yield sentence
            sentence = []


def _sentence(clauses: list[Clause]) -> list[bool]:
    """Return the states that the clauses of a sentence claim."""
    seen: list[bool] = []
    negated, last_part = False, 0
    at = 0
    while at < len(clauses):
        clause = clauses[at]
        answer = clauses[at + 1].answer() if clause.end in LABEL_ENDS and at + 1 < len(clauses) else None
        claim = _claim(clause, negated, asked=answer is not None)
        seen += claim.states if answer is None else [state is not answer for state in claim.states]
        if claim.negated and at >= last_part:
            last_part = _last_part(clauses, at)
        negated = at < last_part or (claim.pending and clause.end in BRACKETS)
        at += 1 if answer is None else 2
    return [state for state in seen if not (state and _is_conditional(clauses))]


def _is_conditional(clauses: list[Clause]) -> bool:
    """Return whether a sentence has a condition, or states that something is not verified."""
    marks = [mark for clause in clauses for mark, _ in clause.marks]
    return Mark.CONDITION in marks or (Mark.VERIFIED in marks and not NEGATIONS.isdisjoint(marks))


def _claim(clause: Clause, negated: bool, *, asked: bool) -> Claim:
    """Return the meaning of a clause alone; negated: a negation before it is still open.

    asked: an answer follows, so that a noun in it is a question ("Blacklist: No").
    """
    states: list[bool] = []
    pending, open_yet = negated, False
    unverified = any(mark is Mark.VERIFIED for mark, _ in clause.marks)  # "not verified as clean" is not bad
    named: set[str] = set()
    for at, (mark, word) in enumerate(clause.marks):
        match mark:
            case _ if mark in NEGATIONS:
                negated, pending = True, mark is not Mark.NO
            case Mark.AND:
                negated = pending = False
            case Mark.REPORTED if not pending and _starts_statement(clause, at):
                negated = pending = False
            case Mark.NOT_BEFORE:
                states = [not state for state in states]
            case Mark.AHEAD | Mark.NOT_YET:
                open_yet, pending = True, False
            case Mark.FOUND if negated:
                open_yet, pending = True, False
        if mark in STATES and (asked or not _is_field(clause, at)):
            negated = negated and word not in named  # "not blocked in US / blocked in EU"
            named.add(word)
            state = STATES[mark] is not negated
            later = (clause.end in LABEL_ENDS and not asked) or _opens_later(clause, at, negated=negated)
            unsure = open_yet or later if state else STATES[mark] and unverified
            states += [] if unsure else [state]
            pending = False
    return Claim(tuple(states), negated, pending)


def _starts_statement(clause: Clause, at: int) -> bool:
    """Return whether "reported" begins a new statement after another: "not stolen / reported lost"."""
    before, after = clause.marks[:at], clause.marks[at + 1 :]
    states_before = any(mark in STATES for mark, _ in before)
    return states_before and before[-1][0] not in (Mark.OR, Mark.NOR) and any(mark is Mark.BAD for mark, _ in after)


def _is_field(clause: Clause, at: int) -> bool:
    """Return whether a noun names a field ("Blacklist status", "Blacklist: …") instead of a state."""
    if clause.marks[at][0] is not Mark.BAD_NOUN:
        return False
    after = clause.marks[at + 1 : at + 2]
    return after[0][1] in FIELD_WORDS if after else clause.end in LABEL_ENDS


def _opens_later(clause: Clause, at: int, *, negated: bool) -> bool:
    """Return whether the words after a state make it no fact: "unlock possible", "no SIM lock information".

    What follows an "and" does not.
    """
    after = [mark for mark, _ in clause.marks[at + 1 :]]
    here = after[: after.index(Mark.AND)] if Mark.AND in after else after
    if clause.marks[at][0] is Mark.GOOD_NOUN and after:
        return True
    return Mark.NOT_YET in here or (Mark.FOUND in here and (negated or not NEGATIONS.isdisjoint(here)))


def _last_part(clauses: list[Clause], at: int) -> int:
    """Return the end of the enumeration that a negated clause begins ("not reported lost, stolen or unpaid"), or 0.

    The parts after it name nothing but bad states, and an "or" leads to the last; after "reported" bare words will do.
    """
    if clauses[at].end != "," or set(clauses[at].states()) != {False}:
        return 0
    bare = any(mark is Mark.REPORTED for mark, _ in clauses[at].marks)
    for last, clause in enumerate(clauses[at + 1 :], at + 1):
        marks = [mark for mark, _ in clause.marks]
        if marks and marks[0] in (Mark.OR, Mark.NOR):
            return last
        if set(clause.states()) != {False} or len(marks) > LONGEST_PART or marks[0] is Mark.REPORTED:
            return 0
        if Mark.OR in marks or Mark.NOR in marks:
            return last
        bare = bare and len(marks) == 1
        if clause.end != ",":
            return last if bare else 0
    return 0
