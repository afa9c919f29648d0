"""What is known of the account at the provider: its services, its balance, and whether the provider answers."""

from account.answers import LocalProvider, Questions, answering_requests
from account.catalogue import AccountBalance, ServiceCatalog
from account.requests import OrderLookup, ProviderRequests, RecentOrders
from account.state import provider_state, watching

__all__ = [
    "AccountBalance",
    "LocalProvider",
    "OrderLookup",
    "ProviderRequests",
    "Questions",
    "RecentOrders",
    "ServiceCatalog",
    "answering_requests",
    "provider_state",
    "watching",
]
