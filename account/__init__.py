"""What is known of the account at the provider: its services, its balance, and whether the provider answers."""

from account.answerer import LocalProvider, Questions, answering_requests
from account.catalogue import AccountBalance, ServiceCatalog
from account.requests import ProviderRequests
from account.state import provider_state, watching

__all__ = [
    "AccountBalance",
    "LocalProvider",
    "ProviderRequests",
    "Questions",
    "ServiceCatalog",
    "answering_requests",
    "provider_state",
    "watching",
]
