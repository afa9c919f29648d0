"""Authentication: the login check before each request, sessions, CSRF tokens and security headers.

Users and sessions are rows (access/); the demo on loopback needs no login. The pages for logging in and out are in
web/login.py. This module must not know batches, orders or the provider.
"""

import logging
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, abort, after_this_request, current_app, g, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from access import (
    LONGEST_SESSION,
    Logins,
    Passwords,
    adopt_environment,
    begin_session,
    end_session,
    find_session,
    has_users,
    is_proved,
    make_passwords,
    remember_visit,
    renew_session,
)
from database import DatabaseUnavailableError, IMEIDatabase
from people import DEMO_USER, Role
from settings import Settings
from storage.session_store import Session
from storage.user_store import User
from web.access import Permission, current_permission, find_actor, may, may_open, may_use, record_nothing, set_actor
from web.bearer import came_with_token, is_for_token, require_token
from web.edge import is_direct
from web.forms import expect_little, keep_typed
from web.redirects import go_to

logger = logging.getLogger(__name__)

#: The endpoint of static files, which answers without a login.
STATIC = "static"
#: Endings of paths that scripts request: the response is never an HTML page.
FOR_PROGRAMS = (".json", "/events", "-stream")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

LOGIN, SECOND_FACTOR, PROVE = "login.login", "second_factor.show", "second_factor.prove"
#: What a user may open who must set up a second factor first.
WITHOUT_FACTOR = (SECOND_FACTOR, "second_factor.store", PROVE, "login.logout")
#: The cookie of a login holds a random id; the signed cookie of Flask holds CSRF tokens and messages only.
SESSION_COOKIE, FORM_COOKIE = "hammer_session", "hammer_form"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """What finds and checks users."""

    settings: Settings
    database: IMEIDatabase
    passwords: Passwords
    logins: Logins
    clock: Callable[[], float]  #: Unix time

    def now(self) -> datetime:
        """Return the time in UTC, as the tables store it."""
        return datetime.fromtimestamp(self.clock(), UTC).replace(tzinfo=None)


class MaskedTokens(CSRFProtect):  # type: ignore[misc]
    """CSRF tokens under a mask that differs in each response, against the BREACH attack.

    The token of a session does not change, and pages repeat parts of the URL. An attacker who can make a browser open
    pages and see their compressed size could otherwise guess the token character by character.
    """

    def protect(self, apply_exemptions: bool = False) -> None:
        """Refuse a form without a CSRF token, unless a token of a program decided about the request."""
        if not came_with_token():
            super().protect(apply_exemptions)

    def _get_csrf_token(self) -> str:
        return unmasked(super()._get_csrf_token() or "")


def masked(token: str) -> str:
    """Return a token under a random mask."""
    plain = token.encode()
    mask = secrets.token_bytes(len(plain))
    return urlsafe_b64encode(mask + _xor(mask, plain)).decode()


def unmasked(text: str) -> str:
    """Return the token under its mask, or "" for any other text."""
    try:
        both = urlsafe_b64decode(text.encode())
        return _xor(both[: len(both) // 2], both[len(both) // 2 :]).decode()
    except ValueError:
        return ""


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


class SchemeAwareSession(SecureCookieSessionInterface):
    """Cookies of Flask that are Secure, and bound to this host by their name, exactly over HTTPS."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name for the scheme of this request."""
        return cookie_name(FORM_COOKIE)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether this request came over HTTPS."""
        return request.is_secure


def cookie_name(name: str) -> str:
    """Return the name of a cookie for the scheme of this request. Browsers bind `__Host-` to one host over HTTPS."""
    return f"__Host-{name}" if request.is_secure else name


def init_auth(app: Flask, settings: Settings, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
    """Require a login for every endpoint of app except /health, /login and static files."""
    app.secret_key = settings.secret_key or database.setdefault_setting("secret_key", secrets.token_hex(32))
    app.config.update(
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        WTF_CSRF_SECRET_KEY=[*settings.secret_key_fallbacks, app.secret_key],  # the last one signs
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LONGEST_SESSION,
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = SchemeAwareSession()
    passwords = make_passwords(settings.password_memory)
    adopt_environment(database, passwords, settings.admin_password)
    logins = Logins(database, passwords, clock)
    app.extensions["authenticator"] = Authenticator(settings, database, passwords, logins, clock)
    app.before_request(require_login)
    MaskedTokens(app)
    app.register_error_handler(CSRFError, _refuse_form)
    app.after_request(_add_headers)
    app.context_processor(_describe_user)
    app.context_processor(lambda: {"may_open": may_open, "may_use": may_use})
    app.context_processor(lambda: {"csrf_token": lambda: masked(generate_csrf())})


def authenticator() -> Authenticator:
    """Return the authenticator of this app."""
    return cast(Authenticator, current_app.extensions["authenticator"])


def require_login() -> ResponseReturnValue | None:
    """Before each request: let it pass (None), redirect to the login, or refuse it.

    A route needs a declaration of web/access.py. Aborts with 403 where there is none, or where the role is too low.
    """
    if is_for_token(is_open_demo()):
        require_token()
        if not is_inside():
            expect_little()
        return None
    permission = current_permission()
    is_public = request.endpoint == STATIC or (permission is not None and permission.role is None)
    if request.endpoint != STATIC:
        _recognise(is_public)
    if not is_inside() or request.endpoint == LOGIN:
        expect_little()
    if not is_inside() and (request.endpoint == LOGIN or not is_public) and not has_users(authenticator().database):
        return _locked_page()
    if is_public:
        return None
    if not is_inside():
        return _ask_to_log_in()
    if request.endpoint and not (permission and permission.role and may(permission.role)):
        abort(403)
    return _ask_for_second_factor() or _ask_for_proof(permission)


def _ask_for_second_factor() -> ResponseReturnValue | None:
    """Lead a user who needs a second factor and has none to the page that sets it up."""
    login = current_session()
    if login is None or request.endpoint in (None, *WITHOUT_FACTOR) or not needs_second_factor(login.user):
        return None
    if not _wants_page():
        return {"error": "Set up a second factor first.", "login": url_for(SECOND_FACTOR)}, 403
    record_nothing()
    return go_to(SECOND_FACTOR)


def needs_second_factor(user: User) -> bool:
    """Return whether a user must set up a second factor: whoever may spend real money, or decide who may."""
    return user.role.includes(Role.OPERATOR) and not user.has_second_factor and not authenticator().settings.demo


def _ask_for_proof(permission: Permission | None) -> ResponseReturnValue | None:
    """Lead to the page that asks for password and second factor, where a route needs a proof that is not recent."""
    login = current_session()
    if login is None or not permission or not permission.prove or is_proved(login, authenticator().now()):
        return None
    if not _wants_page():
        return {"error": "Confirm that it is you first. Nothing was changed.", "login": url_for(PROVE)}, 403
    record_nothing()
    if request.method == "GET":
        return go_to(PROVE, next=request.full_path.rstrip("?"))
    keep_typed()
    return go_to(PROVE, next=_path_of_form(), unsent=1)


def safe_next(target: str) -> str:
    """Return the path on this site that target names, or "/" for anything else."""
    if not target.startswith("/") or target.startswith(("//", "/login")):
        return "/"
    return target if "\\" not in target and target.isprintable() else "/"


def _path_of_form() -> str:
    """Return the path of the page that sent this form."""
    page = urlsplit(request.referrer or "")  # parsable: Edge drops other referrers
    return (page.path + (f"?{page.query}" if page.query else "")) if page.netloc == request.host else "/"


def _recognise(is_public: bool) -> None:
    """Find out who acts in this request. A public page is served also while the database cannot be read."""
    if is_open_demo():
        return set_actor(DEMO_USER)
    found, token = authenticator(), request.cookies.get(cookie_name(SESSION_COOKIE), "")
    database, now = found.database, found.now
    try:
        login = find_session(database, token, now())
    except DatabaseUnavailableError:
        if is_public:
            return None
        raise
    if login is None:
        return None
    g.login_session = login
    set_actor(login.user.actor, lambda: find_session(database, token, now()) is not None)
    if _wants_page():  # requests of scripts in an open tab do not keep a session alive
        remember_visit(database, login, now())
    return None


def _ask_to_log_in() -> ResponseReturnValue:
    if not _wants_page():
        return {"error": "You are not logged in, or your session has ended.", "login": url_for(LOGIN)}, 401
    back = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return go_to(LOGIN, next=back if back != "/" else None)


def _describe_user() -> dict[str, object]:
    """Return template variables: the user, whether this is the demo, and "bare" for a page without a login.

    must_set_up: the user may open nothing but the page of the second factor.
    """
    login = current_session()
    return {
        "current_user": current_user(),
        "demo": authenticator().settings.demo,
        "bare": not is_inside(),
        "must_set_up": login is not None and needs_second_factor(login.user),
    }


def is_open_demo() -> bool:
    """Return whether no login is needed: the demo, requested from this machine by its own name, without a proxy."""
    return authenticator().settings.demo and is_direct(request.environ)


def is_inside() -> bool:
    """Return whether this request may see something: it is logged in, or it needs no login."""
    return find_actor() is not None


def current_user() -> str:
    """Return the name of the user who is logged in, or ""."""
    login = current_session()
    return login.user.name if login else ""


def current_session() -> Session | None:
    """Return the session of this request; None without a login, and in the open demo."""
    return cast(Session | None, g.get("login_session"))


def session_or_403() -> Session:
    """Return the session of this request; answers 403 in the open demo, which has none."""
    return current_session() or abort(403, "The demo on this machine needs no login, so there is no account.")


def start_session(user_id: int) -> None:
    """Log this browser in under a new random id. The session that it had ends."""
    _end_own("replaced")
    found = authenticator()
    user_agent = request.headers.get("User-Agent", "")
    token = begin_session(found.database, user_id, request.remote_addr or "", user_agent, found.now())
    after_this_request(partial(_hand_out, token))


def stop_session() -> None:
    """Log this browser out."""
    _end_own("logout")
    after_this_request(partial(_hand_out, ""))


def _end_own(reason: str) -> None:
    """End the session of this request, if there is one, and forget its CSRF token."""
    session.clear()
    session.permanent = True
    login, found = current_session(), authenticator()
    if login:
        end_session(found.database, login.session_id, login.user.user_id, reason, found.now())


def renew_proof(login: Session) -> None:
    """Record that the user of this session has just proved who it is, under a new random id."""
    found = authenticator()
    after_this_request(partial(_hand_out, renew_session(found.database, login, found.now())))


def _hand_out(token: str, response: Response) -> Response:
    """Set the cookie of a session, or delete it."""
    response.set_cookie(
        cookie_name(SESSION_COOKIE),
        token,
        max_age=LONGEST_SESSION if token else 0,
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


def _refuse_form(error: CSRFError) -> ResponseReturnValue:
    """Answer 400 to a form without a valid token."""
    logger.info("Refused a form for %s: %s", request.path, error.description)
    if not _wants_page():
        return {"error": "The page is out of date. Reload it and try again; nothing was changed."}, 400
    return render_template("expired.html"), 400


def _add_headers(response: Response) -> Response:
    """Add the headers that each response has."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _locked_page() -> ResponseReturnValue:
    if not _wants_page():
        return {"error": "The app has no user. Set ADMIN_PASSWORD and start it again, or add a user."}, 503
    return render_template("locked.html"), 503


def _wants_page() -> bool:
    """Return whether a browser requests a page, and not a script that requests data or an event stream."""
    if request.path.startswith("/api/") or request.path.endswith(FOR_PROGRAMS):
        return False
    if "text/event-stream" in request.headers.get("Accept", ""):
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
