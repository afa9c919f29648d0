"""When to look at the provider's list while calls are in doubt, and how long each of these calls must rest first.

All moments are monotonic seconds of the caller's clock. A call rests until its deadline and then the quiet time have
passed, and at least for twice the longest delay at which an order was ever found. The learned delays are kept for the
next process.
"""

from dataclasses import KW_ONLY, dataclass, field

import submission.absence as absence
from database import Transaction, read_setting, write_setting
from settings import MAIN_ACCOUNT
from storage import call_queries
from storage.call_queries import DoubtfulCall

#: Seconds before each next look at the provider's list while something is in doubt; the last one stays.
LOOKS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
#: Pauses after looks alone that proved nothing, in quiet times; the last one stays.
TURNS = (1 / 12, 1 / 4, 1.0, 5.0)
#: Seconds in which calls are made again after those on the wire did not end in time for a look alone.
DRAIN_PAUSE = 60.0
#: The next turn of a call that only a person can settle.
FOR_A_PERSON = float("inf")
#: Names in the settings table: the learned delays, in seconds.
LAG, SLOWNESS = "learned_lag", "learned_seconds_per_imei"
#: Looks in a row without any order of ours after which the provider counts as one that does not list.
USELESS_LOOKS = 3
#: Seconds after the rest of a call for which IMEIs are held back for a proof.
LONGEST_PROOF = 60.0
#: IMEIs of a call that show how long the provider works on one; fewer show little.
LEAST_TIMED = 10


@dataclass(slots=True)
class Watch:
    """What this process knows of one attempt that may have placed orders."""

    size: int  #: IMEIs of the call
    since: float  #: monotonic seconds when it was first seen in doubt
    sent: float  #: monotonic seconds when it was sent; for a call of an earlier process, when it was noticed
    ended: float | None = None  #: when a readable answer ended it, though that does not name every IMEI
    found: float | None = None  #: when an order of it was last found
    looked: bool = False  #: its orders were looked for in a list since
    first: str = ""  #: fingerprint of the list at the first look
    shorter: frozenset[str] | None = None  #: order ids of the shortest list so far that left out no order of ours
    rested_at: int | None = None  #: the newest attempt when its rest had ended; None before
    is_followed: bool = False  #: a later attempt than that has begun
    ready: bool = False  #: only a look alone, with the balance, is missing before it can be settled
    failed_turns: int = 0
    next_turn: float = 0.0
    objection: str = ""  #: why the last look alone proved nothing
    is_own: bool = False  #: this process knows when it was sent


@dataclass(slots=True)
class Watches:
    """The calls in doubt, and the moments of the next looks at the provider's list."""

    quiet: float  #: seconds after a call's deadline before absence may count
    timeout: float = 0.0  #: seconds that a call may take: its deadline, unless the provider was slower
    _: KW_ONLY
    calls: list[DoubtfulCall] = field(default_factory=list)
    watches: dict[int, Watch] = field(default_factory=dict)  #: by the id of the attempt that is in doubt
    sent: dict[int, float] = field(default_factory=dict)  #: attempt id → monotonic seconds
    ended: dict[int, float] = field(default_factory=dict)  #: attempt id → monotonic seconds of its readable answer
    lag: float = 0.0  #: the largest age (seconds) at which a doubtful order was ever found
    seconds_per_imei: float = 0.0  #: the slowest answered call
    learned: bool = False  #: what earlier processes learned was read
    looks: int = 0
    idle_looks: int = 0  #: looks in a row at a list that showed no order of ours
    next_look: float = 0.0
    free_at: float = 0.0  #: no look before this: reading a slow list may take half of the time at most
    balance_failures: int = 0  #: in a row
    account: str = MAIN_ACCOUNT  #: whose calls

    # What the loop reports

    def began(self, attempt_id: int, moment: float, ended: float | None = None) -> None:
        """Note when a call was sent that left something in doubt, and when a readable answer ended it, if any did.

        Both in monotonic seconds. A provider that has answered does not work on the call any more.
        """
        self.sent[attempt_id] = moment
        if ended is not None:
            self.ended[attempt_id] = ended

    def answered(self, seconds: float, imeis: int) -> None:
        """Learn from a call of this many IMEIs that was answered after these seconds."""
        if imeis >= LEAST_TIMED:
            self.seconds_per_imei = max(self.seconds_per_imei, seconds / imeis)

    def note(self, connection: Transaction, now: float) -> bool:
        """Read which calls are in doubt (now in monotonic seconds). Return whether any is."""
        if not self.learned:
            self._learn(connection)
        self.calls = call_queries.doubtful_calls(connection, self.account)
        sizes = {call.attempt_id: call.imeis for call in self.calls}
        if sizes.keys() - self.watches.keys():
            self.look_soon(now)
        for attempt_id, size in sizes.items():
            if attempt_id not in self.watches:
                sent, ended = self.sent.get(attempt_id), self.ended.get(attempt_id)
                is_own = sent is not None
                self.watches[attempt_id] = Watch(size, now, now if sent is None else sent, ended, is_own=is_own)
        for attempt_id in self.watches.keys() - sizes.keys():
            del self.watches[attempt_id]
        self.sent = {attempt_id: moment for attempt_id, moment in self.sent.items() if attempt_id in sizes}
        self.ended = {attempt_id: moment for attempt_id, moment in self.ended.items() if attempt_id in sizes}
        if sizes:
            self._note_rest(call_queries.newest_attempt(connection, self.account), now)
        return bool(sizes)

    def _learn(self, connection: Transaction) -> None:
        self.lag = float(read_setting(connection, LAG) or 0.0)
        self.seconds_per_imei = max(self.seconds_per_imei, float(read_setting(connection, SLOWNESS) or 0.0))
        self.learned = True

    def _note_rest(self, newest: int, now: float) -> None:
        """Look soon where a call has rested, and where the first call after its rest has begun."""
        for watch in self.watches.values():
            if watch.rested_at is None and now >= self.rests_until(watch):
                watch.rested_at = newest
                self.look_soon(now)
            if watch.rested_at is not None and newest > watch.rested_at and not watch.is_followed:
                watch.is_followed = True
                self.look_soon(now)

    # How long a call rests

    def rests_until(self, watch: Watch) -> float:
        """Return when absence may count for this call, in monotonic seconds."""
        if watch.ended is not None:
            return absence.rests_until(watch.ended, 0.0, self.quiet, self.lag, watch.found)
        deadline = absence.call_deadline(self.timeout, watch.size, self.seconds_per_imei)
        return absence.rests_until(watch.sent, deadline, self.quiet, self.lag, watch.found)

    def may_be_cleared(self, watch: Watch, now: float) -> bool:
        """Return whether a person's decision to send a call again may be carried out: the provider cannot work on it.

        The page makes the person wait as long, but by a wall clock, which may be set. The clock of the process that has
        sent the call may not.
        """
        return not watch.is_own or now >= self.rests_until(watch)

    def may_be_worked_on(self, now: float) -> bool:
        """Return whether the provider may still be working on a call in doubt, so that the balance may change."""
        return any(now < self.rests_until(watch) for watch in self.watches.values())

    def note_found(self, connection: Transaction, watch: Watch, now: float) -> None:
        """Let a call rest again after an order of it was found. Remember the delay if it is the longest so far."""
        watch.found = now
        if watch.looked and now - watch.sent > self.lag:
            self.lag = now - watch.sent
            write_setting(connection, LAG, f"{self.lag:.3f}")

    def keep_slowness(self, connection: Transaction) -> None:
        """Write how slow the provider was, for the next process."""
        slowness = f"{self.seconds_per_imei:.3f}"
        if slowness != read_setting(connection, SLOWNESS):
            write_setting(connection, SLOWNESS, slowness)

    # When to look

    def look_soon(self, now: float) -> None:
        """Start the series of looks again."""
        self.looks, self.next_look = 0, min(self.next_look, now + LOOKS[1]) if self.looks else now

    def is_due(self, now: float) -> bool:
        """Return whether to ask the provider for its list now."""
        return bool(self.watches) and self.may_look(now)

    def may_look(self, now: float) -> bool:
        """Return whether the pause after the last look has passed."""
        return now >= max(self.next_look, self.free_at)

    def looked(self, now: float, seconds: float = 0.0) -> None:
        """Plan the next look after one that took these seconds: later each time, but as soon as a call has rested."""
        self.free_at = now + seconds
        self.looks += 1
        self.next_look = now + LOOKS[min(self.looks, len(LOOKS) - 1)]
        rested = [self.rests_until(watch) for watch in self.watches.values()]
        self.next_look = min((moment for moment in (self.next_look, *rested) if moment > now), default=self.next_look)

    # When to look alone

    def wants_turn(self, now: float) -> bool:
        """Return whether to stop sending until a look was taken alone, because it may settle a call."""
        return any(call.waits and not call.paused and self._may_settle(call, now) for call in self.calls)

    def _may_settle(self, call: DoubtfulCall, now: float) -> bool:
        """Return whether a look alone may settle a call now. For a call left to a person, only once it is cleared."""
        watch = self.watches[call.attempt_id]
        is_cleared = call.cleared and self.may_be_cleared(watch, now)
        if is_cleared and watch.next_turn == FOR_A_PERSON:
            return True
        return now >= watch.next_turn and (watch.ready or is_cleared)

    def postpone(self, watch: Watch, now: float, seconds: float = 0.0) -> None:
        """Let other calls be made for at least `seconds` after a look alone that proved nothing about this one."""
        watch.next_turn = now + max(seconds, self.quiet * TURNS[min(watch.failed_turns, len(TURNS) - 1)])
        watch.failed_turns += 1

    def leave_to_person(self, watch: Watch) -> None:
        """Take no look alone for a call that only a person can settle."""
        watch.next_turn = FOR_A_PERSON

    def postpone_turns(self, now: float) -> None:
        """Let other work go on for a while, because the calls on the wire did not end in time for a look alone."""
        for watch in self.watches.values():
            watch.next_turn = max(watch.next_turn, now + DRAIN_PAUSE)

    # What the loop may do meanwhile

    @property
    def cannot_prove(self) -> bool:
        """Whether nothing can be proven: the last looks showed no order of ours, or the balance cannot be read."""
        return self.idle_looks >= USELESS_LOOKS or self.balance_failures >= USELESS_LOOKS

    @property
    def waits_for_person(self) -> bool:
        """Whether all that is in doubt is left to a person."""
        is_left = bool(self.watches) and all(watch.next_turn == FOR_A_PERSON for watch in self.watches.values())
        return self.cannot_prove or (is_left and not any(call.cleared for call in self.calls))

    def doubts(self, batch_id: int) -> bool:
        """Return whether a call of this batch is in doubt."""
        return any(call.batch_id == batch_id for call in self.calls)

    def may_send_last(self, connection: Transaction, now: float) -> bool:
        """Return whether one of the last IMEIs of a batch may be sent: its order is a proof, or no proof is possible.

        It is held back until the calls in doubt have rested, and until a look was taken after an earlier proof.
        """
        if self.cannot_prove:
            return True
        newest = call_queries.newest_attempt(connection, self.account)
        return all(
            watch.rested_at is not None and (watch.rested_at == newest or now > self.rests_until(watch) + LONGEST_PROOF)
            for watch in self.watches.values()
        )
