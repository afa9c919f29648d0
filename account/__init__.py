"""What is known of the account at the provider: its services, its balance, and whether the provider answers."""

from account.answerer import answering_requests
from account.call_counting import LIMITS, CallCounts, CallOutcome
from account.catalogue import AccountBalance, ServiceCatalog
from account.requests import ProviderRequests
from account.state import call_counts, provider_state, read_state, watching
