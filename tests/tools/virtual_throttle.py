"""The submission loop in virtual time: a throttle, workers and one of the simulator's rate limiters."""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.limits import Limiter, limiter, told_wait
from submission.throttle import Throttle

POLL = 0.25  #: seconds that the loop waits at most
TURN = 0.002  #: seconds of one turn of the loop, about a commit
QUICK = 0.2  #: seconds: quicker calls are planned ahead


@dataclass(frozen=True, slots=True)
class Scene:
    """What a throttle is measured against. Times are seconds."""

    kind: Any = "fixed"
    told: str = "exact"  #: "exact", "half", "one_second" or "none"
    calls: int = 200
    limit: int = 60  #: calls a window; 0 is no limit
    window: float = 60.0
    burst: int = 10
    latency: float = 0.1
    workers: int = 30
    refusal: float = 0.005  #: from sending a call until its 429
    began: float = 7.0
    seed: int = 1

    def limiter(self) -> Limiter | None:
        return limiter(self.kind, self.limit, self.window, self.burst) if self.limit else None


@dataclass(slots=True)
class Run:
    seconds: float = 0.0
    refused: int = 0
    passed: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.refused / max(1, self.refused + len(self.passed))


def least(scene: Scene) -> float:
    """Seconds of a program that knows the limiter: each call starts as soon as a worker is free and it may pass."""
    counter, free, last = scene.limiter(), [scene.began] * scene.workers, scene.began
    moment = scene.began
    for _ in range(scene.calls):
        moment = max(moment, heapq.heappop(free))
        while counter is not None and (wait := counter.wait(moment)):
            moment += wait + 1e-9
        last = max(last, moment + scene.latency)
        heapq.heappush(free, moment + scene.latency)
    return last - scene.began


class Loop:
    """One run of the loop over a scene."""

    def __init__(self, scene: Scene, throttle: Throttle) -> None:
        self.scene, self.throttle, self.limiter = scene, throttle, scene.limiter()
        self.chance = random.Random(scene.seed)
        self.now, self.wire, self.left = scene.began, 0, scene.calls
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.answers: deque[Callable[[], None]] = deque()
        self.waiting: list[float] = []  #: planned starts that have not begun
        self.busy, self.result = 0, Run()

    def at(self, moment: float, step: Callable[[], None]) -> None:
        heapq.heappush(self.events, (moment, next(self.order), step))

    def run(self) -> Run:
        while len(self.result.passed) < self.scene.calls:
            self._turn()
            self._wait(self.now + max(self.throttle.wait(self.now, POLL), 1e-4))
        self.result.seconds = max(self.result.passed) + self.scene.latency - self.scene.began
        return self.result

    def _turn(self) -> None:
        while self.answers:
            self.answers.popleft()()
        ahead = self.scene.workers if self.scene.latency < QUICK else 0
        count = min(self.left, self.throttle.permits(self.now, self.wire, ahead))
        self._pass(self.now + TURN)
        for start in self.throttle.start(self.now, count):
            self.left -= 1
            self.wire += 1
            self.waiting.append(start)
            self.at(start + self.chance.random() * 0.002, lambda start=start: self._begin(start))  # type: ignore[misc]

    def _wait(self, until: float) -> None:
        while not self.answers and self.events and self.events[0][0] <= until:
            self._next()
        if not self.answers:
            self.now = max(self.now, until)

    def _pass(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self._next()
        self.now = until

    def _next(self) -> None:
        moment, _, step = heapq.heappop(self.events)
        self.now = max(self.now, moment)
        step()

    def _begin(self, start: float) -> None:
        if start not in self.waiting:
            return  # it was given back
        if self.busy >= self.scene.workers:
            self.at(self.now + 0.001, lambda: self._begin(start))
            return
        self.waiting.remove(start)
        began = self.now
        wait = self.limiter.wait(began) if self.limiter else 0.0
        self.busy += 1
        if wait:
            self.at(began + self.scene.refusal, lambda: self._refused(began, wait))
        else:
            self.result.passed.append(began)
            self.at(began + self.scene.latency, lambda: self._answered(began))

    def _answered(self, began: float) -> None:
        self.busy -= 1
        seconds = self.now - began

        def learn() -> None:
            self.wire -= 1
            self.throttle.answered(seconds, began)

        self.answers.append(learn)

    def _refused(self, began: float, wait: float) -> None:
        self.busy -= 1
        self.result.refused += 1
        self.result.refusals.append(began)
        told = None if self.scene.told == "none" else math.ceil(told_wait(self.scene.told, wait))  # type: ignore[arg-type]
        given_back, self.waiting = len(self.waiting), []

        def learn() -> None:
            self.wire -= 1
            self.left += 1
            self.throttle.limited(self.now, told, self.chance.random(), began)

        def take_back() -> None:
            self.wire -= 1
            self.left += 1
            self.throttle.take_back()

        self.answers.append(learn)
        self.answers.extend([take_back] * given_back)


def drive(scene: Scene, throttle: Throttle | None = None) -> Run:
    """Return what came of one run, with a new throttle or one that knows something."""
    return Loop(scene, throttle or Throttle(scene.workers)).run()
