"""Who hears of events: signed webhooks to programs, and messages to people by Apprise."""

from notices.addresses import AddressRefusedError, find_endpoint
from notices.delivering import NOTICE_DELAYS, WEBHOOK_DELAYS, event_delivery
from notices.notifying import Message, Sent, Target, send_messages, targets_of
from notices.signing import message_id, new_secret, payload
from notices.wording import TEST

__all__ = [
    "NOTICE_DELAYS",
    "TEST",
    "WEBHOOK_DELAYS",
    "AddressRefusedError",
    "Message",
    "Sent",
    "Target",
    "event_delivery",
    "find_endpoint",
    "message_id",
    "new_secret",
    "payload",
    "send_messages",
    "targets_of",
]
