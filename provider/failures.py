"""What a failed call means: each exception answers whether something may have been charged.

NotSentError: no. RefusedError: the provider refused, and says why. OutcomeUnknownError: perhaps. This module must not
know HTTP or XML.
"""

from enum import StrEnum

from logs import Redactor


class RefusalKind(StrEnum):
    """Why the provider refused a call."""

    CREDENTIALS = "credentials"  #: key, user or address; every call would be refused
    CREDIT = "credit"  #: no money; earlier IMEIs of the same call may have been placed
    SERVICE = "service"  #: no such service
    INVALID_IMEI = "invalid_imei"  #: one IMEI is not accepted
    DUPLICATE = "duplicate"  #: already known; for a call of many it does not say which
    ORDER_ID = "order_id"  #: getimeis does not know an order
    UNKNOWN = "unknown"  #: a text that is not in REFUSALS, or several reasons at once: stop and ask


#: Parts of the provider's error texts, in lower case.
REFUSALS = (
    ("invalid user", RefusalKind.CREDENTIALS),
    ("invalid api key", RefusalKind.CREDENTIALS),
    ("api access to you is not allowed", RefusalKind.CREDENTIALS),
    ("this user is not active", RefusalKind.CREDENTIALS),
    ("invalid ip request", RefusalKind.CREDENTIALS),
    ("credit has been finished", RefusalKind.CREDIT),
    ("credits have been finished", RefusalKind.CREDIT),
    ("invalid value of network id", RefusalKind.SERVICE),
    ("invalid imei", RefusalKind.INVALID_IMEI),
    ("imei already exists", RefusalKind.DUPLICATE),
    ("invalid order id", RefusalKind.ORDER_ID),
    ("no imei found", RefusalKind.ORDER_ID),
)


class GSMFusionAPIError(Exception):
    """A call failed. str() never holds the key or the user name and may be shown (escaped)."""

    def __init__(
        self, message: str, *, raw: str = "", retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.raw = raw  #: the provider's words, if any
        self.retry_after = retry_after  #: seconds the provider asks to wait, at most LONGEST_WAIT
        self.status = status  #: the HTTP status where it is the reason

    def hide(self, secrets: Redactor) -> None:
        """Replace secrets that the provider echoed, in the message and in its words."""
        self.raw = secrets.hide(self.raw)
        self.args = tuple(secrets.hide(str(arg)) for arg in self.args)


class NotSentError(GSMFusionAPIError):
    """Nothing was placed: the call may be made again."""


class MaintenanceError(NotSentError):
    """The provider is down for maintenance and placed nothing: wait, then call again."""


class RateLimitedError(NotSentError):
    """The provider rejected the call (HTTP 429) and placed nothing: wait, then call again."""


class RefusedError(GSMFusionAPIError):
    """The provider refused the whole call; kind says why."""

    def __init__(self, kind: RefusalKind, raw: str) -> None:
        super().__init__(f"The provider refused: {raw}", raw=raw)
        self.kind = kind


class OutcomeUnknownError(GSMFusionAPIError):
    """The call was sent and has no readable answer: its orders may have been placed and charged."""


class SlowProviderError(OutcomeUnknownError):
    """The provider may still be at work on an answer that costs nothing: ask later, and wait longer."""


class UnreadableAnswerError(OutcomeUnknownError):
    """The answer to a question for some orders cannot be read: ask for fewer of them."""


def refusal_kind(words: str) -> RefusalKind:
    """Return the reason that an error text gives; UNKNOWN for a new text and for several reasons at once."""
    text = " ".join(words.lower().split())
    kinds = {kind for part, kind in REFUSALS if part in text}
    return kinds.pop() if len(kinds) == 1 else RefusalKind.UNKNOWN
