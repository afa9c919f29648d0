"""Tokens of programs in requests: `Authorization: Bearer hmr_…` (RFC 6750).

Under /api a token is the only way in: cookies count for nothing there, so that no other site can use a browser's login.
Elsewhere a route declares that it takes a token; then a request that carries one is judged by it alone.
"""

from typing import Any

from flask import request
from werkzeug.exceptions import Forbidden, HTTPException

from access import actor_of
from backend import backend
from people import Actor
from web.access import current_permission, find_actor, set_actor

REALM = "hammer-api"
FOR_TOKENS = "/api/"
#: The one address under /api that answers without a token in the open demo.
OPEN_IN_DEMO = "/api/status"


class BearerError(HTTPException):
    """The token is missing or not valid (401), or does not allow this request (403)."""

    def __init__(self, code: int, sentence: str, **parameters: str) -> None:
        super().__init__(sentence)
        self.code = code
        self._parameters = {"realm": REALM, **parameters}

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return the headers of the answer. A realm is always quoted (RFC 9110, section 11.5); Werkzeug does not."""
        challenge = ", ".join(f'{name}="{value}"' for name, value in self._parameters.items())
        return [*super().get_headers(*args, **kwargs), ("WWW-Authenticate", f"Bearer {challenge}")]


def is_for_token(open_demo: bool) -> bool:
    """Return whether only a token decides about this request, whatever cookies it has."""
    has_token = bearer_token() is not None
    if request.path.startswith(FOR_TOKENS):
        return has_token or not (open_demo and request.path == OPEN_IN_DEMO)
    permission = current_permission()
    return has_token and permission is not None and permission.takes_token


def require_token() -> None:
    """Set the actor of this request by its token. Aborts with 401 without a valid one, 403 where it may not do this."""
    permission = current_permission()
    if permission is not None and permission.role is None:
        return
    actor, database, token = _actor(), backend().database, bearer_token() or ""
    set_actor(actor, lambda: actor_of(database, token) is not None)
    if request.endpoint is None:
        return  # the answer is 404 or 405
    if permission is None or permission.role is None:
        raise Forbidden
    if not actor.role.includes(permission.role) or permission.scope not in actor.scopes:
        sentence = f"This needs a token with the role {permission.role} and the scope {permission.scope}."
        raise BearerError(403, sentence, error="insufficient_scope", scope=permission.scope)


def _actor() -> Actor:
    token = bearer_token()
    if token is None:
        raise BearerError(401, "Send a token in the header “Authorization: Bearer …”.")
    actor = actor_of(backend().database, token, request.remote_addr or "")
    if actor is None:
        raise BearerError(401, "The token is unknown, revoked or expired.", error="invalid_token")
    return actor


def bearer_token() -> str | None:
    """Return the token that this request carries; "" for a header without one, None without such a header."""
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def came_with_token() -> bool:
    """Return whether a valid token decided about this request: then no browser sent it, and no CSRF token is needed."""
    actor = find_actor()
    return actor is not None and actor.token_id is not None
