"""The deliveries that tests of several modules use."""

from webhook_receivers import receivers_fixture

__all__ = ["receivers_fixture"]
