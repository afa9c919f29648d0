"""Chromium and a running site. The tests of a module share both."""

from live_site import chromium_fixture, site_fixture, visitor_fixture

__all__ = ["chromium_fixture", "site_fixture", "visitor_fixture"]
