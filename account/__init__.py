"""What is known of the account at the provider: its services, its balance, and whether the provider answers."""

from account.answers import MOST_AT_ONCE, LocalProvider, Questions, answering, request_ages
from account.catalogue import AccountBalance, ServiceCatalog
from account.requests import LIST_PATIENCE, OrderLookup, ProviderRequests, RecentOrders
from account.state import provider_state, watching

__all__ = [
    "LIST_PATIENCE",
    "MOST_AT_ONCE",
    "AccountBalance",
    "LocalProvider",
    "OrderLookup",
    "ProviderRequests",
    "Questions",
    "RecentOrders",
    "ServiceCatalog",
    "answering",
    "provider_state",
    "request_ages",
    "watching",
]
