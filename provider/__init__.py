"""The provider's wire: one POST over a pooled session, and what its XML says. This room knows no database."""

from provider.body import LIST_PART, UnreadableError, hides_ids, is_answer, list_parts, read_opaque_list, read_root
from provider.dates import read_dates
from provider.http import MAX_BODY, BrokenCallError, NotConnectedError, PostSession, Reply, TooLargeError
from provider.xml import (
    ORDER_ID,
    Record,
    error_texts,
    read_account,
    read_orders,
    read_placement,
    read_plain_placement,
    read_records,
    read_services,
    texts_name_orders,
)

__all__ = [
    "LIST_PART",
    "MAX_BODY",
    "ORDER_ID",
    "BrokenCallError",
    "NotConnectedError",
    "PostSession",
    "Record",
    "Reply",
    "TooLargeError",
    "UnreadableError",
    "error_texts",
    "hides_ids",
    "is_answer",
    "list_parts",
    "read_account",
    "read_dates",
    "read_opaque_list",
    "read_orders",
    "read_placement",
    "read_plain_placement",
    "read_records",
    "read_root",
    "read_services",
    "texts_name_orders",
]
