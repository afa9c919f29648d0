"""Saved filters as pages show them: links to the history, a person's own and those that are shared. No routes."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import url_for

from database import IMEIDatabase
from people import Role
from storage.order_pages import Sort
from storage.saved_filter_store import SavedFilter, filters_of
from web.access import current_actor, may


@dataclass(frozen=True, slots=True)
class Chip:
    """A saved filter on a page."""

    filter_id: int
    name: str
    url: str  #: of the history with this filter
    is_shared: bool
    owner: str  #: who saved it, where that is somebody else
    is_current: bool  #: the page shows it
    may_change: bool
    objection: str = ""  #: why it is no longer valid


def saved_query(arguments: dict[str, Any], sort: Sort) -> str:
    """Return a filter and a sort as they are saved."""
    sorted_by = {} if sort is Sort.NEWEST else {"sort": str(sort)}
    return urlencode(arguments | sorted_by, doseq=True)


def chips(database: IMEIDatabase, current: str = "") -> list[Chip]:
    """Return the saved filters that the person of this request sees. current: the filter of the page, as saved."""
    return [chip_of(saved, current) for saved in filters_of(database, current_actor().name)]


def chip_of(saved: SavedFilter, current: str = "", objection: str = "") -> Chip:
    """Return a saved filter as a page shows it. current: the filter of the page, as saved."""
    owner = "" if saved.person == current_actor().name else saved.person
    url = f"{url_for('orders.history')}?{saved.query}"
    is_current = saved.query == current
    return Chip(
        saved.filter_id, saved.name, url, saved.is_shared, owner, is_current, may_change(saved), objection=objection
    )


def may_change(saved: SavedFilter) -> bool:
    """Return whether the person of this request may change a saved filter."""
    return saved.person == current_actor().name or (saved.is_shared and may(Role.ADMIN))
