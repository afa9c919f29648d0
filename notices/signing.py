"""What a webhook is sent: the payload, and headers signed as Standard Webhooks says."""

import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook as Signer

from settings import VERSION

#: Random bytes of a secret; the standard asks for 24 to 64.
SECRET_BYTES = 32
PREFIX = "whsec_"


def new_secret() -> str:
    """Return a random secret in the form of the standard."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(event_id: int, created_at: datetime) -> str:
    """Return the webhook-id of an event: the same in each attempt, and another after a backup was put back."""
    return f"evt_{event_id}_{created_at:%Y%m%dT%H%M%S%f}"


def payload(kind: str, created_at: datetime, data: dict[str, Any]) -> str:
    """Return the body of an event as JSON; created_at is UTC without a zone."""
    timestamp = created_at.isoformat(timespec="milliseconds") + "Z"
    return json.dumps({"type": kind, "timestamp": timestamp, "data": data}, separators=(",", ":"))


def signed_headers(message: str, body: str, keys: Sequence[str], now: datetime) -> dict[str, str]:
    """Return the headers of one attempt at a moment (UTC without a zone), signed with each of these secrets."""
    signatures = (Signer(key).sign(message, now, body) for key in keys)
    return {
        "Content-Type": "application/json",
        "User-Agent": f"HAMMER-API/{VERSION}",
        "webhook-id": message,
        "webhook-timestamp": str(int(now.replace(tzinfo=UTC).timestamp())),
        "webhook-signature": " ".join(signatures),
    }
