"""Redirects after a form: to a page, with or without the reason why nothing was done. No routes."""

from typing import Any

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response


def go_to(endpoint: str, **values: Any) -> Response:
    """Redirect to a page with 303, so that reloading it does not send the form again."""
    return redirect(url_for(endpoint, **values), 303)


def refuse(why: str, endpoint: str, **values: Any) -> Response:
    """Redirect to a page that shows why nothing was done. The audit log takes the same words."""
    flash(why, "error")
    return go_to(endpoint, **values)
