"""The provider's wire: one POST over pooled connections, and what its XML answers mean. Knows no database."""

from provider.answers import parse_account, parse_asked_orders, parse_placement, parse_recent_orders, parse_services
from provider.dates import read_dates
from provider.failures import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    SlowProviderError,
    UnreadableAnswerError,
    refusal_kind,
)
from provider.http import (
    MAX_BODY,
    BrokenCallError,
    NotConnectedError,
    Patience,
    PostSession,
    Reply,
    SilentError,
    TooLargeError,
    sending_by,
    uptime,
)
from provider.xml import ORDER_ID
