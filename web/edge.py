"""WSGI middleware in front of Flask: checks the Host header, sets the client address, drops unreadable headers.

Unknown host names are refused: a page of another site must not reach this app under its own name (DNS rebinding), and
our links must not point to another host. Proxy headers are used only if they come from a trusted proxy.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.sansio.utils import host_is_trusted
from werkzeug.wrappers import Response

from settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Railway's probe asks for /health by this name.
PROBE_HOST, PROBE_PATH = "healthcheck.railway.app", "/health"
#: Prefixes of headers that proxies add. A request with one of them passed through a proxy.
PROXY_HEADERS = (
    *("HTTP_X_FORWARDED", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_X_CLIENT", "HTTP_X_RAILWAY"),
    *("HTTP_X_ENVOY", "HTTP_X_PROXY", "HTTP_X_ORIGINAL", "HTTP_CF_", "HTTP_TRUE_CLIENT"),
)
REFUSAL = "The app does not know this address. Add its host name to TRUSTED_HOSTS and start the app again.\n"


class Edge:
    """Middleware that answers 400 to unknown hosts and sets REMOTE_ADDR to the address of the client."""

    def __init__(self, app: "WSGIApplication", settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Pass the request to the app, or refuse it."""
        if not self._is_for_us(environ):
            return Response(REFUSAL, 400, content_type="text/plain")(environ, start_response)
        self._name_client(environ)
        if not is_readable_url(environ.get("HTTP_REFERER", "")):
            del environ["HTTP_REFERER"]
        return self._app(environ, start_response)

    def _is_for_us(self, environ: dict[str, Any]) -> bool:
        host = environ.get("HTTP_HOST", "")
        if is_loopback_host(host) or (host.lower() == PROBE_HOST and environ.get("PATH_INFO") == PROBE_PATH):
            return True
        trusted = self._settings.trusted_hosts
        return bool(trusted) and host_is_trusted(host.lower(), trusted)

    def _name_client(self, environ: dict[str, Any]) -> None:
        """Replace address and scheme of a trusted proxy by those of the client."""
        if self._settings.on_railway:
            client = environ.get("HTTP_X_REAL_IP", "").strip()
        elif self._is_trusted(environ.get("REMOTE_ADDR", "")):
            hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
            client = next((hop for hop in reversed(hops) if not self._is_trusted(hop)), "")
        else:
            return
        if is_address(client):
            environ["REMOTE_ADDR"] = client
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme

    def _is_trusted(self, address: str) -> bool:
        return is_address(address) and any(ip_address(address) in net for net in self._settings.trusted_proxies)


def is_loopback_host(host: str) -> bool:
    """Return whether a Host header names this machine, with or without a port."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    return LOOPBACK.match(name.lower().removeprefix("[").removesuffix("]")) is not None


def is_direct(environ: dict[str, Any]) -> bool:
    """Return whether a request came from this machine, by its own name, and through no proxy."""
    address = environ.get("REMOTE_ADDR", "")
    return (
        is_address(address)
        and ip_address(address).is_loopback
        and is_loopback_host(environ.get("HTTP_HOST", ""))
        and not any(name.startswith(PROXY_HEADERS) for name in environ)
    )


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_readable_url(text: str) -> bool:
    """Return whether a URL can be parsed: urlsplit raises ValueError for `http://[` and its port for `http://a:b`."""
    try:
        _ = urlsplit(text).port
    except ValueError:
        return False
    return True
