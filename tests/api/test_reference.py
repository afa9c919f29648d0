"""The page of the API shows every operation of the document, for people without a token."""

import re
from typing import Any

from api_client import PREFIX
from web_client import Browser, words

from api.problems import ProblemKind


def test_the_page_shows_every_operation_field_and_problem(browser: Browser) -> None:
    document: Any = browser.get(f"{PREFIX}/openapi.json").json
    page = browser.get("/api/docs")
    text = words(page)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                assert f"{method.upper()} {path} {operation['summary']}" in text
    for name in ("Idempotency-Key", "take_wrong_check_digits", "max_cost", "BatchAnswer", "in_doubt"):
        assert name in text
    assert all(kind.uri in text for kind in ProblemKind)
    assert "flask tokens create NAME --role operator" in text
    assert not re.search(r'(src|href)="(https?:)?//', page.text)
