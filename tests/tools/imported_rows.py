"""Rows of an export, and what an import of them does."""

from typing import Any

from import_rows import FIRST

from spreadsheets.order_rows import ImportRow, read_orders

TITLES = "SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE"


def rows_of(*lines: str, titles: str = TITLES) -> list[ImportRow]:
    return list(read_orders("\r\n".join([titles, *lines]).encode("utf-8-sig")))


def line(
    imei: str = FIRST, status: str = "Completed", model: str = "iPhone 12", date: str = "2025-11-14 3:33:00"
) -> str:
    return f"Service A,{imei},$0.08,{status},Model: {model},,T-Mobile,Locked,{model},ON,{date}"


def site_row(order_id: str, imei: str, status: str = "Pending", **more: Any) -> ImportRow:
    """A row with an order id, as copied from the provider's site."""
    return ImportRow(1, {"order_id": order_id, "imei": imei, "status": status, "service_name": "T-Mobile", **more})
