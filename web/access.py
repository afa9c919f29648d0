"""Which role each route needs, what the audit log calls it, and who acts in a request.

A route without a declaration is refused: `permission_of` finds none, and the check before each request answers 403.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import urlsplit

from flask import current_app, g, request
from werkzeug.exceptions import HTTPException

from people import Actor, Role, Scope

View = TypeVar("View", bound=Callable[..., object])
ATTRIBUTE = "permission"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route declares."""

    role: Role | None  #: the least role; None: the route answers without a login
    action: str = ""  #: the word of the audit log for a request that changes or hands out something; "" for none
    scope: Scope = Scope.READ  #: that a token needs
    takes_token: bool = False  #: accepts a token in place of a login; under /api every route does
    prove: bool = False  #: asks for password and second factor, if they were not given a short time ago


#: The scope that a token needs where a route does not declare another one.
USUAL_SCOPES = {Role.VIEWER: Scope.READ, Role.OPERATOR: Scope.ORDER, Role.ADMIN: Scope.MANAGE}


def allow(
    role: Role, action: str = "", *, scope: Scope | None = None, takes_token: bool = False, prove: bool = False
) -> Callable[[View], View]:
    """Declare the least role of a view, and the action that its POST (or download) is in the audit log.

    A token also needs the scope; without one it is that of the role. prove: a person must have given password and
    second factor in the last minutes.
    """
    return _declare(Permission(role, action, scope or USUAL_SCOPES[role], takes_token, prove))


def allow_everyone(action: str = "") -> Callable[[View], View]:
    """Declare that a view answers without a login."""
    return _declare(Permission(None, action))


def _declare(permission: Permission) -> Callable[[View], View]:
    def declare(view: View) -> View:
        setattr(view, ATTRIBUTE, permission)
        return view

    return declare


def permission_of(endpoint: str | None) -> Permission | None:
    """Return what the view of an endpoint declares; None for an unknown endpoint, and for one without declaration."""
    view = current_app.view_functions.get(endpoint or "")
    return cast(Permission | None, getattr(view, ATTRIBUTE, None))


def current_permission() -> Permission | None:
    """Return what the view of this request declares."""
    return permission_of(request.endpoint)


def set_actor(actor: Actor | None, still_allowed: Callable[[], bool] = lambda: True) -> None:
    """Remember who acts in this request. still_allowed: for streams, whether the login or token is still valid."""
    g.actor, g.still_allowed = actor, still_allowed


def current_check() -> Callable[[], bool]:
    """Return the function that tells, also after this request, whether its login or token is still valid."""
    return cast(Callable[[], bool], g.still_allowed)


def find_actor() -> Actor | None:
    """Return who acts in this request; None where nobody is logged in."""
    return cast(Actor | None, g.get("actor"))


def current_actor() -> Actor:
    """Return who acts in this request, which the check before the request has let in."""
    return cast(Actor, g.actor)


def may(role: Role) -> bool:
    """Return whether who acts in this request has this role: for buttons that others must not see."""
    actor = find_actor()
    return actor is not None and actor.role.includes(role)


def may_open(endpoint: str) -> bool:
    """Return whether a page exists and who acts in this request may open it: for links."""
    permission = permission_of(endpoint)
    return permission is not None and (permission.role is None or may(permission.role))


def may_use(url: str, method: str = "GET") -> bool:
    """Return whether who acts in this request may open an address of this app: for buttons. Nobody: True."""
    try:
        endpoint, _ = current_app.url_map.bind("").match(urlsplit(url).path, method)
    except HTTPException:
        return True
    return find_actor() is None or may_open(endpoint)


def describe(subject: str = "", **detail: object) -> None:
    """Note for the audit log what this request is about (such as "batch 12") and what it changed. Never a secret.

    Without a subject, the log takes what the address names: batch_id=12 is "batch 12". The detail refused= is the
    reason why the request did nothing although its answer is a page: then the action is recorded as refused.
    """
    known = described()
    g.described = (subject or known[0], {**known[1], **detail})


def described() -> tuple[str, dict[str, object]]:
    """Return what the view of this request has noted for the audit log: the subject, and the details."""
    return cast(tuple[str, dict[str, object]], g.get("described", ("", {})))


def record_nothing() -> None:
    """Note that this request changed and handed out nothing, so that the audit log gets no entry."""
    g.records_nothing = True


def records_nothing() -> bool:
    """Return whether the view of this request asked for no entry."""
    return bool(g.get("records_nothing"))
