"""Chromium, and a site for it to visit; each test module has its own."""

from browser_fixture import chromium_fixture, site_fixture, visitor_fixture

__all__ = ["chromium_fixture", "site_fixture", "visitor_fixture"]
