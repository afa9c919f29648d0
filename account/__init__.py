"""What is known of the account at the provider: its services, its balance, and whether the provider answers."""

from account.catalogue import AccountBalance, ServiceCatalog
from account.page_calls import PageCalls, RecentOrders
from account.state import provider_state, reporter, watching

__all__ = ["AccountBalance", "PageCalls", "RecentOrders", "ServiceCatalog", "provider_state", "reporter", "watching"]
