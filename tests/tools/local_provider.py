"""A provider that the process of a test or benchmark asks itself, where a leader would answer its requests."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from account.answerer import Answerer, Questions
from account.requests import ProviderRequests
from database import IMEIDatabase
from settings import MAIN_ACCOUNT
from storage.request_store import Request

#: Seconds that a look waits for an answer. Most are there at once, and to look again takes longer than to answer.
AT_ONCE = 0.05


class LocalProvider(ProviderRequests):
    """Requests that are answered at once, with given functions."""

    def __init__(
        self,
        database: IMEIDatabase,
        questions: Questions,
        clock: Callable[[], float] = time.time,
        more: Mapping[str, Questions] = MappingProxyType({}),
    ) -> None:
        """more: the functions of the accounts beside the main one."""
        super().__init__(database, clock)
        self._answerer = Answerer(database, {MAIN_ACCOUNT: questions, **more}, clock)

    def _look(self, request_id: int) -> Request:
        self._answerer.take_waiting()
        answering = self._answerer._asked.get(request_id)
        if answering is not None:
            answering.join(AT_ONCE)
        return super()._look(request_id)
