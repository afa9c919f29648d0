"""A model of many machines on one PostgreSQL: where its limit is, and what happens during a day.

The parts are those of the program. One loop for each account claims calls and records answers, in transactions of
which only one runs at a time (the writer's lock). A claimed call is a job: a machine with a free thread fetches it,
begins it, waits for its turn in the account's rate, calls the provider and keeps the raw answer; a commit that notifies
waits for the one before it. Later one thread for each account asks for the results, list by list. What each step costs
is measured (bench_fleet.py); how the steps wait for each other is computed (`limits`) and simulated (`simulate`).
Not in the model: faults, pages, nightly work, and the time that threads of one process take from each other.
"""

import math
import random
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import simpy

Process = Generator[simpy.Event, Any, None]
HOUR, DAY = 3600.0, 86_400.0
#: The share of an account's rate that results may take while orders wait; calls that are never all placed.
READ_SHARE, MANY = 0.2, 1_000_000
#: When the office works, and the share of a day's IMEIs that it brings.
OFFICE, OFFICE_SHARE = (8 * HOUR, 16 * HOUR), 0.8
#: What else a day brings, and in which time.
NIGHT = 1 - OFFICE_SHARE, DAY - (OFFICE[1] - OFFICE[0])
LOCK, NOTICES, PROCESSOR = "writer's lock", "commits that notify", "database's processor"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step takes. Times are seconds of a processor."""

    client: float = 0.0  #: of the process that asks the database
    server: float = 0.0  #: of the database
    trips: float = 0.0  #: round trips between the two
    commits: float = 0.0  #: transactions that are flushed to the disk

    def __add__(self, other: "Step") -> "Step":
        return Step(
            self.client + other.client,
            self.server + other.server,
            self.trips + other.trips,
            self.commits + other.commits,
        )

    def __mul__(self, times: float) -> "Step":
        return Step(self.client * times, self.server * times, self.trips * times, self.commits * times)


NOTHING = Step()


@dataclass(frozen=True, slots=True)
class Costs:
    """What the steps of one call cost."""

    look: Step = NOTHING  #: before a turn of a loop: which answers are there
    read: Step = NOTHING  #: before a turn, for each answer: what it means
    turn: Step = NOTHING  #: the transaction of a turn; like the next one it holds the writer's lock
    record: Step = NOTHING  #: in it, for each call: its intent and its job, and in a later one its orders and outcomes
    fetch: Step = NOTHING  #: a machine takes a job
    miss: Step = NOTHING  #: a machine is notified of jobs, and looks for one in vain
    begin: Step = NOTHING  #: a call begins, with its time in the account's rate
    call: Step = NOTHING  #: the machine's own work for the request and its answer
    keep: Step = NOTHING  #: the raw answer, with a notification
    finish: Step = NOTHING  #: the job is done
    results: Step = NOTHING  #: the results of one list; holds the writer's lock


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines and accounts. Times are seconds."""

    accounts: int = 10
    machines: int = 100
    threads: int = 30  #: calls at once of a machine
    at_once: int = 3_000  #: calls at once of an account: those of all machines
    latency: float = 3.5  #: of a call that places orders
    rate: float = math.inf  #: calls a second that an account may make, orders and results together
    result_latency: float = 1.0  #: of a call for results
    result_share: float = 1.0  #: lists of results for each call that places orders
    result_delay: float = 60.0  #: from the order to its result
    cores: int = 8  #: of the database
    round_trip: float = 0.0003  #: between a machine and the database
    flush: float = 0.001  #: of the database's disk
    is_one_machine: bool = False  #: provider, machines and database share these cores, where the model is checked
    provider: float = 0.0  #: seconds of a processor that a call takes of the provider, where it shares the cores

    @property
    def claimed(self) -> int:
        """Calls of an account that are claimed at once: no more than its rate lets begin within a second."""
        soon = self.rate * (self.latency + 1)
        return min(self.at_once, math.ceil(soon)) if math.isfinite(soon) else self.at_once

    def seconds(self, step: Step) -> float:
        """Return how long a step takes where it waits for nothing else."""
        return step.client + step.server + step.trips * self.round_trip + step.commits * self.flush


def limits(fleet: Fleet, costs: Costs) -> dict[str, float]:
    """Return for each resource the calls a second that keep it busy all the time.

    Turns then carry as many calls as an account may make at once. All machines are notified of each call and look for
    its job, as where calls are claimed one by one. Both are bounds: `most` shows what comes of them together.
    """
    share = fleet.result_share
    locked = costs.turn * (1 / fleet.claimed) + costs.record + costs.results * share
    begun = costs.fetch + costs.begin + costs.keep + costs.finish
    server = locked.server + costs.read.server + begun.server + costs.miss.server * fleet.machines
    client = costs.call.client + begun.client + costs.miss.client * fleet.machines
    loop = costs.read.client + costs.record.client
    if fleet.is_one_machine:
        server += client + loop + costs.results.client * share + fleet.provider
    seconds = {
        LOCK: fleet.seconds(locked),
        NOTICES: (costs.keep.commits + costs.turn.commits / fleet.claimed) * fleet.flush,
        PROCESSOR: server / fleet.cores,
        "machines' processors": client / fleet.machines,
        "loops' processors": loop / fleet.accounts,
        "machines' threads": (fleet.latency + fleet.seconds(begun + costs.call)) / (fleet.machines * fleet.threads),
        "accounts' calls at once": fleet.latency / (fleet.accounts * fleet.at_once),
        "accounts' rate": (1 + share) / (fleet.accounts * fleet.rate),
        "accounts' lists of results": share * (fleet.result_latency + fleet.seconds(costs.results)) / fleet.accounts,
    }
    return {name: 1 / needed if needed else math.inf for name, needed in seconds.items()}


@dataclass(slots=True)
class Figures:
    """What a simulation has counted. Times are seconds."""

    planned: int = 0  #: calls
    recorded: int = 0
    turns: int = 0  #: transactions of the loops
    most_waiting: int = 0  #: calls that were planned and not claimed, at most
    waits: list[float] = field(default_factory=list)  #: from the plan of a call to its recorded answer
    busy: dict[str, float] = field(default_factory=dict)  #: seconds of use, by the names of `limits`
    ended: float = 0.0  #: when the last answer was recorded
    with_results: int = 0  #: lists of results that were stored

    def wait(self, share: float) -> float:
        """Return the time within which this share of the calls was recorded."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(slots=True)
class _Account:
    """One account: its loop, and its place in the rate."""

    results: simpy.Store  #: when the results of each recorded call can be asked for
    bell: simpy.Event  #: wakes the loop
    answers: list[float] = field(default_factory=list)  #: when the calls were planned that are answered
    in_flight: int = 0
    next_order: float = 0.0  #: when the account's rate has room for the next call that places orders
    next_read: float = 0.0  #: and for the next one that asks for results

    def wake(self) -> None:
        if not self.bell.triggered:
            self.bell.succeed()


class Simulation:
    """One run. Each of `lists` is the seconds since the list before it, and its calls."""

    def __init__(self, fleet: Fleet, costs: Costs, lists: Iterable[tuple[float, int]]) -> None:
        self.fleet, self.costs, self.figures = fleet, costs, Figures()
        self._env = env = simpy.Environment()
        self._writer, self._notices = simpy.Resource(env), simpy.Resource(env)
        self._cores = simpy.Resource(env, fleet.cores)
        self._threads = simpy.Resource(env, fleet.machines * fleet.threads)
        self._machines = [simpy.Resource(env) for _ in range(fleet.machines)]
        self._next_machine = cycle(self._machines)
        self._waiting: deque[float] = deque()  #: when the calls were planned that no loop has claimed
        self._accounts = [_Account(simpy.Store(env), env.event()) for _ in range(fleet.accounts)]
        env.process(self._plan(lists))
        for account, machine in zip(self._accounts, cycle(self._machines)):
            env.process(self._loop(account, machine))
            env.process(self._ask_for_results(account, machine))

    def run(self, until: float | None = None) -> Figures:
        """Run until nothing is left to do, or for this many seconds."""
        self._env.run(until)
        return self.figures

    def _plan(self, lists: Iterable[tuple[float, int]]) -> Process:
        for pause, calls in lists:
            yield self._env.timeout(pause)
            self._waiting.extend([self._env.now] * calls)
            self.figures.planned += calls
            self.figures.most_waiting = max(self.figures.most_waiting, len(self._waiting))
            for account in self._accounts:
                account.wake()

    def _loop(self, account: _Account, machine: simpy.Resource) -> Process:
        """Take turns: record the answers that have come, and claim the calls that there is room for."""
        while True:
            if not account.answers and not self._room(account):
                account.bell = self._env.event()
                yield account.bell
            answers, account.answers = account.answers, []
            yield from self._work(self.costs.look + self.costs.read * len(answers), machine)
            with self._writer.request() as lock:
                yield lock
                account.in_flight -= len(answers)
                claimed = [self._waiting.popleft() for _ in range(self._room(account))]
                account.in_flight += len(claimed)
                halves = self.costs.record * ((len(claimed) + len(answers)) / 2)
                yield from self._locked(self._notifying(self.costs.turn + halves, machine))
            self._note(answers)
            for _ in answers:
                account.results.put(self._env.now + self.fleet.result_delay)
            for planned in claimed:
                self._env.process(self._call(account, planned))
            if claimed:  # all machines look for the new jobs
                looks = self.costs.miss.server * self.fleet.machines
                self._env.process(self._use(self._cores, PROCESSOR, looks))

    def _room(self, account: _Account) -> int:
        return min(self.fleet.claimed - account.in_flight, len(self._waiting))

    def _note(self, answers: Sequence[float]) -> None:
        self.figures.turns += 1
        self.figures.recorded += len(answers)
        self.figures.waits += [self._env.now - planned for planned in answers]
        self.figures.ended = self._env.now

    def _call(self, account: _Account, planned: float) -> Process:
        """Carry one call on the machine that gets its job."""
        costs, sending = self.costs, Step(self.costs.call.client / 2)
        with self._threads.request() as thread:
            yield thread
            machine = next(self._next_machine)
            yield from self._work(costs.fetch + costs.begin, machine)
            yield self._env.timeout(self._until_order(account))
            yield from self._work(sending, machine)
            if self.fleet.is_one_machine:
                yield from self._use(self._cores, PROCESSOR, self.fleet.provider)
            yield self._env.timeout(self.fleet.latency)
            yield from self._notifying(sending + costs.keep, machine)
            account.answers.append(planned)
            account.wake()
            yield from self._work(costs.finish, machine)

    def _ask_for_results(self, account: _Account, machine: simpy.Resource) -> Process:
        """Ask for the results of one list after another, as the one thread of an account does."""
        owed = 0.0
        while True:
            due = yield account.results.get()
            yield self._env.timeout(max(0.0, due - self._env.now))
            owed += self.fleet.result_share
            while owed >= 1:
                owed -= 1
                yield self._env.timeout(self._until_read(account) + self.fleet.result_latency)
                with self._writer.request() as lock:
                    yield lock
                    yield from self._locked(self._work(self.costs.results, machine))
                self.figures.with_results += 1

    def _until_order(self, account: _Account) -> float:
        """Take the next place in the account's rate. Return the seconds until then."""
        start = max(account.next_order, self._env.now)
        left = 1 - READ_SHARE if self.fleet.result_share else 1.0
        account.next_order = start + 1 / (self.fleet.rate * left)
        return start - self._env.now

    def _until_read(self, account: _Account) -> float:
        """Take the next place for results, which may have the whole rate where no orders wait. Return the seconds."""
        start = max(account.next_read, self._env.now)
        share = READ_SHARE if account.next_order > self._env.now else 1.0
        account.next_read = start + 1 / (self.fleet.rate * share)
        return start - self._env.now

    def _locked(self, work: Process) -> Process:
        began = self._env.now
        yield from work
        self._count(LOCK, self._env.now - began)

    def _notifying(self, step: Step, machine: simpy.Resource) -> Process:
        """PostgreSQL lets one transaction commit at a time of those that notify."""
        yield from self._work(replace(step, commits=0), machine)
        yield from self._use(self._notices, NOTICES, step.commits * self.fleet.flush)

    def _work(self, step: Step, machine: simpy.Resource) -> Process:
        """Let a process of the program, the database's processor and its disk do their parts, one after another."""
        if step.client:
            with machine.request() as turn:  # one thread of a process computes at a time
                yield turn
                if self.fleet.is_one_machine:
                    yield from self._use(self._cores, PROCESSOR, step.client)
                else:
                    yield self._env.timeout(step.client)
        if step.server:
            yield from self._use(self._cores, PROCESSOR, step.server)
        waiting = step.trips * self.fleet.round_trip + step.commits * self.fleet.flush
        if waiting:
            yield self._env.timeout(waiting)

    def _use(self, resource: simpy.Resource, name: str, seconds: float) -> Process:
        if seconds:
            with resource.request() as turn:
                yield turn
                yield self._env.timeout(seconds)
            self._count(name, seconds)

    def _count(self, name: str, seconds: float) -> None:
        self.figures.busy[name] = self.figures.busy.get(name, 0.0) + seconds


def most(fleet: Fleet, costs: Costs, seconds: float = 120.0) -> float:
    """Return the calls a second that are recorded while many more wait, and results are asked for as they come."""
    figures = Simulation(replace(fleet, result_delay=0.0), costs, [(0.0, MANY)]).run(seconds)
    return figures.recorded / seconds


def day_of(imeis: int, per_call: int, per_list: int, seed: int = 14) -> Iterator[tuple[float, int]]:
    """Yield the lists of one day, at random moments: seconds since the list before, and calls."""
    chance, now = random.Random(seed), 0.0
    begin, end = OFFICE
    office, night = (imeis * share / hours for share, hours in ((OFFICE_SHARE, end - begin), NIGHT))
    for _ in range(round(imeis / per_list)):
        is_office = begin <= now % DAY < end
        pause = chance.expovariate((office if is_office else night) / per_list)
        now += pause
        yield pause, -(-per_list // per_call)
