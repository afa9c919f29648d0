"""The locked door: who may come in, CSRF tokens on every form, and the headers that each answer carries.

The demo on loopback needs no login; everybody else is the user "admin" with ADMIN_PASSWORD. This module knows
nothing of batches, orders or the provider.
"""

import hmac
import logging
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import cast

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from database import IMEIDatabase
from settings import Settings
from web.edge import is_direct
from web.forms import expect_little
from web.throttle import LoginThrottle

logger = logging.getLogger(__name__)

USER = "admin"
#: A session ends this long after its last page, in seconds.
IDLE_SECONDS = 12 * 3600.0
#: The cookie is written anew at most this often, in seconds: it carries the time of the last page.
SEEN_EVERY = 60.0
#: Paths and endpoints that answer without a login.
OPEN_PATHS = frozenset({"/health"})
OPEN_ENDPOINTS = frozenset({"static"})
#: How the paths end that programs ask for; the answer to them is never a page.
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

blueprint = Blueprint("door", __name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What the gate compares with."""

    settings: Settings
    mark: str  #: what a session holds that came in with today's password
    user_digest: bytes
    password_digest: bytes
    digest_key: bytes
    throttle: LoginThrottle
    clock: Callable[[], float]  #: Unix time

    def opens_for(self, user: str, password: str) -> bool:
        """Whether these are the right ones; takes the same time whichever is wrong."""
        right_user = hmac.compare_digest(_digest(self.digest_key, user), self.user_digest)
        right_password = hmac.compare_digest(_digest(self.digest_key, password), self.password_digest)
        return bool(self.settings.admin_password) and right_user and right_password


class MaskedTokens(CSRFProtect):  # type: ignore[misc]
    """CSRF tokens that read differently in every response, so that the size of a compressed page tells nothing.

    The token of a session does not change, and pages repeat what an address asks for: whoever can have pages opened
    and see how long they are could otherwise guess it, sign by sign (BREACH).
    """

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


class DoorSession(SecureCookieSessionInterface):
    """Session cookies that are Secure exactly when the request came over https."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def init_auth(app: Flask, settings: Settings, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> None:
    """Put the gate before every endpoint of app but /health, /login and static files."""
    app.secret_key = settings.secret_key or database.setdefault_setting("secret_key", secrets.token_hex(32))
    app.config.update(
        SESSION_COOKIE_NAME="hammer_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=IDLE_SECONDS),
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = DoorSession()
    app.extensions["door"] = make_door(settings, database, app.secret_key, clock)
    app.register_blueprint(blueprint)
    app.before_request(gate)
    MaskedTokens(app)
    app.register_error_handler(CSRFError, refuse_form)
    app.after_request(add_headers)
    app.context_processor(describe_visitor)
    app.context_processor(lambda: {"csrf_token": lambda: masked(generate_csrf())})


def make_door(settings: Settings, database: IMEIDatabase, secret_key: str | bytes, clock: Callable[[], float]) -> Door:
    """The door for these settings. A session's mark depends on the password: a new one ends old sessions."""
    key = secrets.token_bytes(32)
    return Door(
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


def gate() -> ResponseReturnValue | None:
    """Before every request: let in, ask for the password, or say that there is none."""
    inside = is_inside()
    if not inside or request.endpoint == "door.login":
        expect_little()
    if request.path in OPEN_PATHS or request.endpoint in OPEN_ENDPOINTS:
        return None
    if inside:
        _remember_visit()
        return None
    if not _door().settings.admin_password:
        return _locked_page()
    if request.endpoint == "door.login":
        return None
    if not _wants_page():
        return {
            "error": "You are not logged in, or your session has ended.",
            "login": url_for("door.login"),
        }, 401
    back = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(url_for("door.login", next=back if back != "/" else None), 303)


def describe_visitor() -> dict[str, object]:
    """What every template knows: who is there, and that a stranger gets the bare page without what is inside."""
    user = current_user()
    return {"current_user": user, "demo": _door().settings.demo, "bare": not (user or is_open_demo())}


def is_open_demo() -> bool:
    """Whether nothing is at stake: the demo, asked from this very machine by its own name, and through no proxy."""
    return _door().settings.demo and is_direct(request.environ)


def is_inside() -> bool:
    """Whether this visitor may see everything: logged in, or at the open demo."""
    return is_open_demo() or bool(current_user())


def current_user() -> str:
    """Who is logged in, or an empty text."""
    if not hmac.compare_digest(str(session.get("mark", "")), _door().mark):
        return ""
    return USER if _door().clock() - float(session.get("seen", 0)) < IDLE_SECONDS else ""


def safe_next(target: str) -> str:
    """The path of this site that target names, or "/" for anything else."""
    if not target.startswith("/") or target.startswith(("//", "/login")):
        return "/"
    return target if "\\" not in target and target.isprintable() else "/"


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Ask for the password, and let in whoever knows it."""
    target = safe_next(request.values.get("next", "/"))
    if request.method == "GET":
        return redirect(target, 303) if is_inside() else _login_page(target)
    user, password = request.form.get("username", ""), request.form.get("password", "")
    wait = _door().throttle.attempt(client_address(), lambda: _door().opens_for(user, password))
    if wait is not None:
        return _turned_away(target, wait)
    session.clear()
    session.permanent = True
    session.update(mark=_door().mark, seen=_door().clock())
    logger.info("Logged in from %s", client_address())
    return redirect(target, 303)


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session of this browser."""
    session.clear()
    return redirect(url_for("door.login"), 303)


def _turned_away(target: str, wait: float) -> ResponseReturnValue:
    logger.warning("Refused a login from %s", client_address())
    if not wait:
        error = "The user name or the password is wrong."
        return _login_page(target, error), 401
    seconds = ceil(wait)
    error = f"Too many failed logins. Wait {seconds} second{'s' if seconds > 1 else ''}, then try again."
    return _login_page(target, error), 429, {"Retry-After": str(seconds)}


def client_address() -> str:
    """The address that the throttle counts by: of IPv6 the network that one customer gets."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def refuse_form(error: CSRFError) -> ResponseReturnValue:
    """400 for a form without a valid token: nothing was done."""
    logger.info("Refused a form for %s: %s", request.path, error.description)
    if not _wants_page():
        return {"error": "The page is out of date. Reload it and try again; nothing was done."}, 400
    return render_template("expired.html"), 400


def add_headers(response: Response) -> Response:
    """Headers that every answer carries."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _login_page(target: str, error: str = "") -> str:
    return render_template("login.html", next=target, error=error)


def _locked_page() -> ResponseReturnValue:
    if not _wants_page():
        return {"error": "The app has no password. Set ADMIN_PASSWORD and start it again."}, 503
    return render_template("locked.html"), 503


def _wants_page() -> bool:
    """Whether a person's browser asks for a page, rather than a script or an event stream."""
    if request.path.startswith("/api/") or request.path.endswith(FOR_PROGRAMS):
        return False
    if "text/event-stream" in request.headers.get("Accept", ""):
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def _remember_visit() -> None:
    """Keep the session alive for pages that a person opens, not for what an open tab fetches by itself."""
    now = _door().clock()
    if session.get("mark") and _wants_page() and now - float(session.get("seen", 0)) > SEEN_EVERY:
        session["seen"] = now


def _door() -> Door:
    return cast(Door, current_app.extensions["door"])
