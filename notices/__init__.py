"""Deliver events: signed webhooks to programs, and messages to people by Apprise."""

from notices.addresses import AddressRefusedError, find_endpoint
from notices.delivering import event_delivery
from notices.notifying import Message, Target, send_messages, targets_of
from notices.signing import message_id, new_secret
from notices.wording import TEST
