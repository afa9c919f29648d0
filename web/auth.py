"""Authentication: the login check before each request, sessions, CSRF tokens and security headers.

There is one user, "admin" with ADMIN_PASSWORD; the demo on loopback needs no login. The pages for logging in and out
are in web/login.py. This module must not know batches, orders or the provider.
"""

import hmac
import logging
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from flask import Flask, Response, abort, current_app, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from database import IMEIDatabase
from people import DEMO_USER, Actor, Role
from settings import Settings
from web.access import current_permission, find_actor, may, may_open, set_actor
from web.bearer import came_with_token, is_for_token, require_token
from web.edge import is_direct
from web.forms import expect_little
from web.login_throttle import LoginThrottle

logger = logging.getLogger(__name__)

USER = "admin"
#: A session ends this long after its last page, in seconds.
IDLE_SECONDS = 12 * 3600.0
#: The session cookie holds the time of the last page; it is updated at most this often, in seconds.
SEEN_EVERY = 60.0
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

LOGIN = "login.login"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The credentials and session mark that requests are compared with."""

    settings: Settings
    mark: str  #: the value in a session that logged in with the current password
    user_digest: bytes
    password_digest: bytes
    digest_key: bytes
    throttle: LoginThrottle
    clock: Callable[[], float]  #: Unix time

    def accepts(self, user: str, password: str) -> bool:
        """Return whether user name and password are correct, in a time that does not depend on which is wrong."""
        right_user = hmac.compare_digest(_digest(self.digest_key, user), self.user_digest)
        right_password = hmac.compare_digest(_digest(self.digest_key, password), self.password_digest)
        return bool(self.settings.admin_password) and right_user and right_password


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
    """Session cookies that are Secure exactly when the request came over HTTPS."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether this request came over HTTPS."""
        return request.is_secure


def init_auth(app: Flask, settings: Settings, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
    """Require a login for every endpoint of app except /health, /login and static files."""
    app.secret_key = settings.secret_key or database.setdefault_setting("secret_key", secrets.token_hex(32))
    app.config.update(
        SESSION_COOKIE_NAME="hammer_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=IDLE_SECONDS),
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = SchemeAwareSession()
    app.extensions["authenticator"] = _make_authenticator(settings, database, app.secret_key, clock)
    app.before_request(require_login)
    MaskedTokens(app)
    app.register_error_handler(CSRFError, _refuse_form)
    app.after_request(_add_headers)
    app.context_processor(_describe_user)
    app.context_processor(lambda: {"may": may, "may_open": may_open, "roles": Role})
    app.context_processor(lambda: {"csrf_token": lambda: masked(generate_csrf())})


def authenticator() -> Authenticator:
    """Return the authenticator of this app."""
    return cast(Authenticator, current_app.extensions["authenticator"])


def _make_authenticator(
    settings: Settings, database: IMEIDatabase, secret_key: str | bytes, clock: Callable[[], float]
) -> Authenticator:
    """Return the authenticator for settings. The mark depends on the password: a new password ends old sessions."""
    key = secrets.token_bytes(32)
    return Authenticator(
        settings=settings,
        mark=_digest(secret_key, "session " + settings.admin_password).hex(),
        user_digest=_digest(key, USER),
        password_digest=_digest(key, settings.admin_password),
        digest_key=key,
        throttle=LoginThrottle(database, clock),
        clock=clock,
    )


def _digest(key: str | bytes, text: str) -> bytes:
    return hmac.digest(key.encode() if isinstance(key, str) else key, text.encode(), "sha256")


def require_login() -> ResponseReturnValue | None:
    """Before each request: let it pass (None), redirect to the login, or refuse it.

    A route needs a declaration of web/access.py. Aborts with 403 where there is none, or where the role is too low.
    """
    if is_for_token(is_open_demo()):
        require_token()
        if not is_inside():
            expect_little()
        return None
    set_actor(_find_actor())
    if not is_inside() or request.endpoint == LOGIN:
        expect_little()
    permission = current_permission()
    if request.endpoint == LOGIN and not is_inside() and not authenticator().settings.admin_password:
        return _locked_page()
    if request.endpoint == STATIC or (permission and permission.role is None):
        return None
    if is_inside():
        _remember_visit()
        if request.endpoint and not (permission and permission.role and may(permission.role)):
            abort(403)
        return None
    return _ask_to_log_in()


def _find_actor() -> Actor | None:
    if is_open_demo():
        return DEMO_USER
    return Actor(USER, Role.ADMIN) if current_user() else None


def _ask_to_log_in() -> ResponseReturnValue:
    if not authenticator().settings.admin_password:
        return _locked_page()
    if not _wants_page():
        return {"error": "You are not logged in, or your session has ended.", "login": url_for(LOGIN)}, 401
    back = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(url_for(LOGIN, next=back if back != "/" else None), 303)


def _describe_user() -> dict[str, object]:
    """Return template variables: the user, whether this is the demo, and "bare" for a page without a login."""
    user = current_user()
    return {"current_user": user, "demo": authenticator().settings.demo, "bare": not (user or is_open_demo())}


def is_open_demo() -> bool:
    """Return whether no login is needed: the demo, requested from this machine by its own name, without a proxy."""
    return authenticator().settings.demo and is_direct(request.environ)


def is_inside() -> bool:
    """Return whether this request may see everything: it is logged in, or it needs no login."""
    return find_actor() is not None


def current_user() -> str:
    """Return the user who is logged in, or ""."""
    if not hmac.compare_digest(str(session.get("mark", "")), authenticator().mark):
        return ""
    return USER if authenticator().clock() - float(session.get("seen", 0)) < IDLE_SECONDS else ""


def start_session() -> None:
    """Log this browser in."""
    session.clear()
    session.permanent = True
    session.update(mark=authenticator().mark, seen=authenticator().clock())


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
        return {"error": "The app has no password. Set ADMIN_PASSWORD and start it again."}, 503
    return render_template("locked.html"), 503


def _wants_page() -> bool:
    """Return whether a browser requests a page, and not a script that requests data or an event stream."""
    if request.path.startswith("/api/") or request.path.endswith(FOR_PROGRAMS):
        return False
    if "text/event-stream" in request.headers.get("Accept", ""):
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def _remember_visit() -> None:
    """Extend the session for a page that a person opens, not for requests that an open tab makes by itself."""
    now = authenticator().clock()
    if session.get("mark") and _wants_page() and now - float(session.get("seen", 0)) > SEEN_EVERY:
        session["seen"] = now
