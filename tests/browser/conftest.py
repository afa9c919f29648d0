"""Chromium and a running site. The tests of a module share both, so they run in one process, one after the other."""

from pathlib import Path

import pytest
from live_site import chromium_fixture, site_fixture, visitor_fixture

__all__ = ["chromium_fixture", "site_fixture", "visitor_fixture"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser tests of each module into a group of their own, for `--dist loadgroup`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
