"""A provider that counts how often it is asked, and two processes that ask it."""

import threading
from collections.abc import Callable

from web_client import SERVICES

from gsm_fusion_client import (
    GSMFusionAPIError,
)
from orders import IMEIOrder, ServiceInfo
from submission import Throttle

LISTED = [IMEIOrder("7", "353370080000001", "Pending", "long text", "1739", "2026-11-25 10:00:00")]


class Provider:
    """Lists its orders, or fails, and counts how often it was asked."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        self.asked = 0
        self.error = ""
        self._throttle = throttle

    def __call__(self, *_: str) -> list[IMEIOrder]:
        if self._throttle:
            self._throttle.before_request()
        self.asked += 1
        if self.error:
            raise GSMFusionAPIError(self.error)
        return LISTED


def slowly(asked: list[str], free: threading.Event) -> Callable[[], list[ServiceInfo]]:
    """A service list that comes when it is set free."""

    def services() -> list[ServiceInfo]:
        asked.append("services")
        free.wait(10)
        return list(SERVICES)

    return services
